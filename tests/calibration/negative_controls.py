"""Mistakes planted in the plan and in the judge: the comparison must see every one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from measured import Measured
from planted_counts import CountPlan, compare, rule

PLAN = CountPlan(
    "control",
    (rule("drop", 60, 3), rule("duplicate", 80, 2)),
    {"lost": 6, "duplicates": 4},
    {"drop": 6, "duplicate": 4},
)


@dataclass(frozen=True)
class Control:
    """One planted mistake: another plan than the server's, or another report than the judge's."""

    name: str
    spoil: Callable[[CountPlan, Measured], tuple[CountPlan, Measured]]

    def run(self, reports: Path) -> bool:
        """Tell whether the comparison, content with the truth, sees the mistake."""
        measured = PLAN.run(reports)
        return compare(PLAN, measured) == [] and self.seen(measured)

    def seen(self, measured: Measured) -> bool:
        """Tell whether the comparison sees the mistake in a run of `PLAN`."""
        return compare(*self.spoil(PLAN, measured)) != []


def expecting(selector: str, count: int) -> Callable[..., tuple[CountPlan, Measured]]:
    """Return a spoiler: the plan expects another count than was planted."""

    def spoil(plan: CountPlan, measured: Measured) -> tuple[CountPlan, Measured]:
        return replace(plan, expected={**plan.expected, selector: count}), measured

    return spoil


def judging(
    metric: str, change: Callable[[float], float]
) -> Callable[..., tuple[CountPlan, Measured]]:
    """Return a spoiler: the judge reports another value of one metric."""

    def spoil(plan: CountPlan, measured: Measured) -> tuple[CountPlan, Measured]:
        findings = [
            {**one, "value": change(one["value"])} if one.get("metric") == metric else one
            for one in measured.report["findings"]
        ]
        return plan, replace(measured, report={**measured.report, "findings": findings})

    return spoil


def idle_server(plan: CountPlan, measured: Measured) -> tuple[CountPlan, Measured]:
    """Have the server do less than the plan says."""
    truth = replace(measured.truth, applied=measured.truth.applied[1:])
    return plan, replace(measured, truths={"n1": truth})


def silent_judge(plan: CountPlan, measured: Measured) -> tuple[CountPlan, Measured]:
    """Have the judge say nothing at all."""
    return plan, replace(measured, report={**measured.report, "findings": []})


def failing_judge(plan: CountPlan, measured: Measured) -> tuple[CountPlan, Measured]:
    """Have the judge come to another verdict on the right counts."""
    return plan, replace(measured, report={**measured.report, "verdict": "fail"})


CONTROLS = (
    Control("the plan expects one loss too few", expecting("lost", 5)),
    Control("the plan expects one reordering too many", expecting("out_of_order", 1)),
    Control("the judge is blind to loss", judging("lost", lambda _: 0)),
    Control("the judge counts duplicates twice", judging("duplicates", lambda n: 2 * n)),
    Control("the judge sees corruption where there is none", judging("corrupted", lambda _: 1)),
    Control("the judge says nothing", silent_judge),
    Control("the judge comes to another verdict", failing_judge),
    Control("the server dropped one message less", idle_server),
)
