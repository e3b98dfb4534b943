"""Named messages: a few that one sends by hand, each at its own time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from harness.clock import seconds, to_ns
from harness.load.plan import ClientPlan
from harness.scenario.model import Model, Phases
from harness.scenario.quantities import Clients, Duration
from harness.units import format_duration
from harness.workloads.base import Bootstrap, Subject, Workload

MAX_MESSAGES = 100
UNPLANNED = ("recovery", "drain")

Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]


class NamedMessage(Model):
    """One message: its text, and when it is due, `at` after the planned start of a phase."""

    text: Text
    phase: Literal["warmup", "steady", "fault"]
    at: Duration = 0.0

    @field_validator("phase", mode="before")
    @classmethod
    def _refuse_what_cannot_be_planned(cls, value: Any) -> Any:
        if value in UNPLANNED:
            raise ValueError(
                f"nobody knows beforehand when {value} begins (recovery once everything is "
                "healed, drain some time after it), so no message can be due then; "
                "warmup, steady and fault can be planned"
            )
        return value


class Named(Workload):
    """Publish named messages at stated times; every subscriber gets each (NATS docs, Pub-Sub).

    One publisher sends all `messages`, in the order in which they are due. The report says of
    each what became of it. `subject` is the workload's name unless it is given.
    """

    roles: ClassVar[tuple[str, ...]] = ("publishers", "subscribers")
    also: ClassVar[frozenset[str]] = frozenset({"core"})
    paced: ClassVar[bool] = False

    kind: Literal["named"] = "named"
    messages: tuple[NamedMessage, ...] = Field(
        max_length=MAX_MESSAGES, json_schema_extra={"minItems": 1}
    )
    subscribers: Clients = 1
    subject: Subject | None = None

    @field_validator("messages")
    @classmethod
    def _require_some(cls, messages: tuple[NamedMessage, ...]) -> tuple[NamedMessage, ...]:
        if not messages:  # a bound of the field would complain of wrong messages as well
            raise ValueError("there is no message in it; expected at least one")
        return messages

    def clients(
        self, first_id: int, bootstrap: Bootstrap, phases: Phases
    ) -> tuple[ClientPlan, ...]:
        """Return the publisher, then the subscribers."""
        subject = self.subject or self.name
        starts_ns = _starts_ns(phases)
        due = [(starts_ns[one.phase] + to_ns(one.at), one.text) for one in self.messages]
        due.sort(key=lambda one: one[0])  # of two at one time the first in the list stays first
        publisher = replace(
            self.client(first_id, "publishers", 0, bootstrap, subject),
            due_s=tuple(seconds(due_ns) for due_ns, _ in due),
            texts=tuple(text for _, text in due),
        )
        subscribers = (
            replace(
                self.client(first_id + 1 + index, "subscribers", index, bootstrap, subject),
                senders=(first_id,),
            )
            for index in range(self.subscribers)
        )
        return publisher, *subscribers

    def due_in(self, phase: str) -> bool:
        """Tell whether a message is due in a phase; see the base class."""
        return any(one.phase == phase for one in self.messages)

    def untimely(
        self, phases: Phases, fault_s: float
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield the messages that are due beyond their phase; see the base class."""
        lengths_s = {"warmup": phases.warmup, "steady": phases.steady, "fault": fault_s}
        for index, one in enumerate(self.messages):
            length_s = lengths_s[one.phase]
            if one.at < length_s:
                continue
            if length_s == 0:
                message = (
                    "there is no fault phase: the scenario has no faults that last, and no "
                    "phases.fault"
                    if one.phase == "fault" and phases.fault is None
                    else f"phases.{one.phase} has no length here"
                )
                yield ("messages", index, "phase"), message
                continue
            limit = format_duration(length_s)
            found = format_duration(one.at)
            if one.phase == "fault" and phases.fault is None:
                message = (
                    f"the faults keep the fault phase going for {limit} for certain, and this "
                    f"message is due after {found}; set phases.fault to make it last longer"
                )
            else:
                message = f"phases.{one.phase} ends at {limit}, and this is due after {found}"
            yield ("messages", index, "at"), message


def _starts_ns(phases: Phases) -> Mapping[str, int]:
    """Return when each phase begins, after the start of traffic."""
    steady_ns = to_ns(phases.warmup)
    return {"warmup": 0, "steady": steady_ns, "fault": steady_ns + to_ns(phases.steady)}
