"""Strips of dots: every value of a metric on one axis, a row for each side."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.report.model import Iteration, IterationMetric
from harness.scenario.metrics import METRICS, Metric
from harness.scenario.thresholds import format_value, parse_selector

HEIGHT, EDGE, SPREAD, DOT = 44, 2, 34, 6.5  # in pixels; a dot's own pitch is `DOT`
MIDDLE = HEIGHT / 2
FIRST, LAST = 2.0, 94.0  # where the axis lies, in percent; what has no place is beyond it
BEYOND = 98.0
MOST_DOTS = 600
LOG_FROM = 30.0  # an axis is logarithmic where the greatest value is so many times the least
TICKS = 4


@dataclass(frozen=True)
class Dot:
    """A value: where it lies (percent from the left, pixels from the top) and what it is."""

    x: float
    y: float
    text: str
    bound: bool = False


@dataclass(frozen=True)
class Row:
    """The values of one side; `median` is where it lies, None where it is not known exactly.

    `middle` says what it is, where it is another middle than the median.
    """

    label: str
    dots: tuple[Dot, ...]
    n: int
    bounds: int
    median: float | None
    median_text: str
    range_text: str
    middle: str = "median"

    @property
    def left_out(self) -> int:
        """Return how many values have no dot of their own: there are too many."""
        return self.n - len(self.dots)


@dataclass(frozen=True)
class Strip:
    """A metric's rows on one axis; `ticks` are (percent, text)."""

    metric: str
    about: str
    what: str
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    log: bool


@dataclass(frozen=True)
class Typical:
    """What a comparison says is typical of a side, and its name; None: not seen to its end."""

    name: str
    value: float | None


@dataclass(frozen=True)
class Values:
    """The values of one side: those known exactly, and lower bounds (None: longer than any).

    Without `typical`, the median of report.json is shown.
    """

    label: str
    exact: Sequence[float]
    bounds: Sequence[float | None] = ()
    typical: Typical | None = None


def strip_metrics(sides: Mapping[str, Sequence[Iteration]]) -> list[Strip]:
    """Return a strip for each metric that any iteration has values of, in the usual order.

    Where every iteration lists its values, each of them is a dot; otherwise each iteration
    gives its p99, or its count. Counters that are zero throughout are left out.
    """
    names = [name for its in sides.values() for one in its for name in one.metrics]
    strips = []
    for name in sorted(dict.fromkeys(names), key=_usual_place):
        found = {
            label: [one.metrics[name] for one in its if name in one.metrics and one.metrics[name].n]
            for label, its in sides.items()
        }
        strip = _strip_metric(name, {label: its for label, its in found.items() if its})
        if strip is not None:
            strips.append(strip)
    return strips


def _usual_place(name: str) -> tuple[int, str]:
    return list(METRICS).index(parse_selector(name).metric), name


def _strip_metric(name: str, found: Mapping[str, Sequence[IterationMetric]]) -> Strip | None:
    metric = METRICS[parse_selector(name).metric]
    every = [one for its in found.values() for one in its]
    if not every:
        return None
    if metric.kind == "counter":
        if not any(one.count for one in every):
            return None
        sides = [
            Values(label, [float(one.count or 0) for one in its]) for label, its in found.items()
        ]
        return lay_out(name, "count", "count of each iteration", sides)
    if all(one.values is not None for one in every):
        sides = [
            Values(
                label,
                [value for one in its for value in one.values or ()],
                [value for one in its for value in one.lower_values or ()],
            )
            for label, its in found.items()
        ]
        return lay_out(name, "max", "every value", sides)
    sides = [
        Values(
            label,
            [one.p99 for one in its if one.p99 is not None and "p99" not in one.lower_bounds],
            [one.p99 for one in its if "p99" in one.lower_bounds],
        )
        for label, its in found.items()
    ]
    return lay_out(name, "p99", "p99 of each iteration", sides)


def lay_out(name: str, statistic: str, what: str, sides: Sequence[Values]) -> Strip:
    """Return a strip: the rows of several sides on one axis that holds all their values."""
    metric = METRICS[parse_selector(name).metric]

    def show(value: float) -> str:
        return format_value(value, statistic, metric)

    known = [
        value for side in sides for value in (*side.exact, *side.bounds) if value is not None
    ] or [0.0]
    axis = _Axis.over(known, _whole(statistic, metric))
    return Strip(
        metric=name,
        about=metric.summary,
        what=what,
        rows=tuple(_lay_out_row(side, axis, show) for side in sides),
        ticks=tuple((axis.place(at), show(at)) for at in axis.ticks),
        log=axis.log,
    )


def _whole(statistic: str, metric: Metric) -> bool:
    return statistic == "count" or metric.unit == "attempts"


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], whole: bool) -> _Axis:  # noqa: FBT001 - of what kind
        low, high = min(values), max(values)
        if low > 0 and high / low >= LOG_FROM:
            first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
            every = max(1, math.ceil((last - first) / TICKS))
            ticks = tuple(10.0**at for at in range(first, last + 1, every))
            return cls(10.0**first, 10.0**last, log=True, ticks=ticks)
        if low >= 0 and low < high / 2:
            low = 0.0
        if low == high:
            low, high = min(0.0, low), high or 1.0
        rough = (high - low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * one for one in (1, 2, 5, 10) if power * one >= rough)
        step = max(step, 1.0) if whole else step
        first, last = math.floor(low / step), math.ceil(high / step)
        ticks = tuple(round(at * step, 12) for at in range(first, last + 1))
        return cls(first * step, last * step, log=False, ticks=ticks)

    def place(self, value: float) -> float:
        """Return where a value lies, in percent of the width."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return round(FIRST + (LAST - FIRST) * (value - low) / (high - low), 2)


def _lay_out_row(side: Values, axis: _Axis, show: Callable[[float], str]) -> Row:
    exact = sorted(side.exact)
    found = [(axis.place(value), show(value), False) for value in exact]
    found += [
        (BEYOND, "no value, or not known", True)
        if value is None
        else (axis.place(value), f"at least {show(value)}", True)
        for value in side.bounds
    ]
    median, known = _median(side)
    if side.typical is not None:
        median, known = side.typical.value, side.typical.value is not None
    return Row(
        label=side.label,
        dots=tuple(_stack(_thin(found))),
        n=len(found),
        bounds=len(side.bounds),
        median=axis.place(median) if known and median is not None else None,
        median_text="not known" if median is None else f"{'' if known else '≥ '}{show(median)}",
        range_text=f"{show(exact[0])} to {show(exact[-1])}" if exact else "nothing known exactly",
        middle="median" if side.typical is None else side.typical.name,
    )


def _median(side: Values) -> tuple[float | None, bool]:
    """Return the value of the middle rank, and whether it is known exactly, as in report.json.

    A value that is not known exactly is a lower bound; None is that nothing is known.
    """
    exact = sorted(side.exact)
    least = sorted([*exact, *(math.inf if one is None else one for one in side.bounds)])
    place = math.ceil(len(least) / 2) - 1
    if not least or math.isinf(least[place]):
        return None, False
    return least[place], place < len(exact) and exact[place] == least[place]


def _thin(found: list[tuple[float, str, bool]]) -> list[tuple[float, str, bool]]:
    """Leave out some of too many values, but neither extreme nor any lower bound."""
    bounds = [one for one in found if one[2]]
    exact = [one for one in found if not one[2]]
    if len(exact) <= MOST_DOTS:
        return found
    step = (len(exact) - 1) / (MOST_DOTS - 1)
    return [exact[round(place * step)] for place in range(MOST_DOTS)] + bounds[:MOST_DOTS]


def _stack(found: list[tuple[float, str, bool]]) -> list[Dot]:
    """Put dots that would hide one another above and below."""
    columns: dict[int, list[tuple[float, str, bool]]] = {}
    for one in found:
        columns.setdefault(round(one[0]), []).append(one)
    dots = []
    for column in columns.values():
        pitch = min(DOT, SPREAD / len(column))
        for place, (x, text, bound) in enumerate(column):
            away = (place + 1) // 2 * (1 if place % 2 else -1)
            dots.append(Dot(x, round(MIDDLE + away * pitch, 2), text, bound))
    return dots
