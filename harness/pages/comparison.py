"""A comparison as it is shown: both distributions of each metric, and the shift between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.comparison.model import Comparison, MetricChange, ScenarioChange
from harness.comparison.wording import is_count, show_shift, typical_of
from harness.pages.strips import Strip, Typical, Values, lay_out

# What changed comes first, the worst before all else.
ORDER = ("regressed", "improved", "not-comparable", "too-few-runs", "unchanged")
CENTRE, HALF, EDGE = 50.0, 44.0, 1.15


@dataclass(frozen=True)
class Shift:
    """The shift on an axis of its own, in percent of the width; zero lies in the middle.

    `limit` is half the width of the band in which a shift does not matter; None without one.
    """

    at: float
    low: float | None
    high: float | None
    limit: float | None
    text: str
    interval_text: str
    limit_text: str


@dataclass(frozen=True)
class Change:
    """A metric's change as a page shows it."""

    told: MetricChange
    strip: Strip
    shift: Shift | None


@dataclass(frozen=True)
class Compared:
    """A scenario's changes, what changed first; `changed` is how many did."""

    told: ScenarioChange
    changes: list[Change]

    @property
    def changed(self) -> int:
        """Return how many metrics got worse or better."""
        return sum(one.told.change in ORDER[:2] for one in self.changes)


def compare_scenarios(comparison: Comparison) -> Sequence[Compared]:
    """Return what a page shows of a comparison, scenario by scenario."""
    return [
        Compared(one, [_show(one, change) for change in sorted(one.metrics, key=_by_importance)])
        for one in comparison.scenarios
    ]


def _by_importance(change: MetricChange) -> tuple[int, float]:
    adjusted = 1.0 if change.p_adjusted is None else change.p_adjusted
    return ORDER.index(change.change), adjusted


def _show(scenario: ScenarioChange, change: MetricChange) -> Change:
    sides = [
        Values(
            f"{role}: {side.label}",
            [value for value in summary.values if value is not None],
            [None for value in summary.values if value is None],
            Typical("mean" if is_count(change) else "median", typical_of(change, summary)),
        )
        for role, side, summary in (
            ("baseline", scenario.baseline, change.baseline),
            ("candidate", scenario.candidate, change.candidate),
        )
    ]
    what = f"{change.statistic} of each iteration"
    return Change(change, lay_out(change.metric, change.statistic, what, sides), _shift(change))


def _shift(change: MetricChange) -> Shift | None:
    if change.shift is None:
        return None
    low, high, limit = change.shift_low, change.shift_high, change.practical_limit
    widest = max(abs(one) for one in (change.shift, low, high, limit) if one is not None) or 1.0

    def place(value: float | None) -> float | None:
        return None if value is None else round(CENTRE + HALF * value / (widest * EDGE), 2)

    band = place(limit)

    def show(value: float) -> str:
        return show_shift(change, value)

    share = ""
    if change.relative is not None and not is_count(change):
        share = f" ({change.relative * 100:+.3g}%)"
    return Shift(
        at=place(change.shift) or CENTRE,
        low=place(low),
        high=place(high),
        limit=None if band is None else round(band - CENTRE, 2),
        text=f"{show(change.shift)}{share}",
        interval_text=""
        if low is None or high is None
        else f"{change.confidence * 100:g}% interval {show(low)} to {show(high)}",
        limit_text="no practical limit"
        if limit is None
        else f"up to {show(limit).lstrip('+')} does not matter",
    )
