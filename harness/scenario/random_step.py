"""The random step: faults drawn from the scenario's seed, before the fault phase begins."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_serializer

from harness.scenario.model import MAX_STEPS, FaultStep, Step
from harness.scenario.quantities import Count, Span

RANDOM = "random"
DRAWN_KEYS = ("name", "at", "target", "repeat_every", "times")  # what the draw decides

Keep = Literal["majority", "one", "none"]


class RandomStep(Step):
    """Draw faults from `actions`, one each `pace`, from the scenario's seed alone.

    From `at` to the end of `phases.fault`; each strikes one of `targets`, or `count` of
    them, for a `duration` of its own or one that is drawn. `keep` says how many servers
    are left alone at any time. What was drawn is a list of plain faults.
    """

    action: Literal["random"]
    actions: tuple[SerializeAsAny[FaultStep], ...] = Field(min_length=1, max_length=MAX_STEPS)
    targets: str | tuple[str, ...] = "all"
    pace: Span = (3.0, 3.0)
    duration: Span = (0.5, 2.0)
    keep: Keep = "majority"
    times: Count | None = None

    @field_serializer("actions")
    def _write_actions(self, actions: tuple[FaultStep, ...]) -> list[dict[str, Any]]:
        return [action.model_dump(mode="json", exclude=set(DRAWN_KEYS)) for action in actions]
