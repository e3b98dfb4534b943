"""What a comparison says, in words and numbers for people."""

from __future__ import annotations

import math

from harness.comparison.metrics import base_of
from harness.comparison.model import MetricChange, Summary
from harness.scenario.metrics import METRICS
from harness.stats.power import MOST_RUNS
from harness.units import human_duration

SHARE = "share"


def show_value(change: MetricChange, value: float | None) -> str:
    """Return a value of a change for people; a dash for what is not known."""
    if value is None:
        return "-"
    if change.unit == SHARE:
        return f"{value * 100:.3g}%"
    if change.unit == "s":
        return human_duration(value)
    return f"{value:.3g}"


def show_shift(change: MetricChange, value: float | None) -> str:
    """Return a shift with its sign; shares are told in percentage points."""
    if value is None:
        return "?"
    sign = "+" if value > 0 else "-" if value < 0 else ""
    if change.unit == SHARE:
        return f"{sign}{abs(value) * 100:.3g} points"
    return sign + show_value(change, abs(value))


def show_side(change: MetricChange, side: Summary) -> str:
    """Return a side's typical value and range: ``240 ms (212 to 251 ms)``."""
    if side.n == 0:
        return "none"
    typical = typical_of(change, side)
    shown = show_value(change, typical) if typical is not None else "not seen to end"
    if side.min is None:
        return shown
    top = "never" if side.censored else show_value(change, side.max)
    low = show_value(change, side.min)
    return shown if low == top == shown else f"{shown} ({low} to {top})"


def typical_of(change: MetricChange, side: Summary) -> float | None:
    """Return what is typical of a side: the mean of counts and shares, else the median."""
    if not is_count(change):
        return side.p50
    values = [value for value in side.values if value is not None]
    return math.fsum(values) / len(values) if values else None


def is_count(change: MetricChange) -> bool:
    """Tell whether means are compared, as of counts and shares, and not ranks."""
    return change.unit == SHARE or METRICS[base_of(change.metric)].kind == "counter"


def show_statistic(change: MetricChange) -> str:
    """Return the metric and its statistic, modes with where they lie."""
    if not change.statistic[-1:].isdigit() or not change.modes:
        return f"{change.metric} {change.statistic}"
    mode = change.modes[int(change.statistic.rsplit(" ", 1)[1]) - 1]
    if change.unit == SHARE:
        return f"{change.metric} share beyond {human_duration(mode.high)}"
    return f"{change.metric} mean within {human_duration(mode.low)} to {human_duration(mode.high)}"


def show_p(value: float | None) -> str:
    """Return a p-value for people."""
    if value is None:
        return "-"
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"  # noqa: PLR2004 - as printed


def explain(change: MetricChange, *, worst: float) -> str:
    """Return the change in one sentence; `worst` is the estimated shift, maybe infinite."""
    name = show_statistic(change)
    if change.change == "not-comparable" and change.p_value is None:
        missing = "baseline" if change.baseline.n == 0 else "candidate"
        return f"{name} cannot be compared: no iteration of the {missing} has a value"
    sides = f"{show_side(change, change.baseline)} -> {show_side(change, change.candidate)}"
    shift = f"shift {_show_estimate(change, worst)} [{_interval(change)}]"
    chance = f"p {show_p(change.p_adjusted)} adjusted"
    facts = f"{sides}, {shift}, {chance}, limit {show_limit(change)}"
    if change.change == "not-comparable":
        return (
            f"{name} cannot be compared: {facts}: the harness itself may have been later by as "
            "much; run both sides in turn on a machine that does nothing else"
        )
    if change.change == "too-few-runs":
        needed = change.runs_needed
        runs = f"about {needed}" if needed is not None else f"more than {MOST_RUNS}"
        return f"{name} cannot be told: {facts}; needs {runs} iterations a side"
    return f"{name} {change.change}: {facts}"


def show_limit(change: MetricChange) -> str:
    """Return the limit that a shift has to exceed, and the noise floor where that is more."""
    practical, noise = change.practical_limit or 0.0, change.noise_floor or 0.0
    if noise > practical:
        return f"{show_value(change, noise)} of noise"
    return show_value(change, practical) if practical else "0"


def _show_estimate(change: MetricChange, worst: float) -> str:
    if math.isinf(worst):
        return "without end" if worst > 0 else "from without end"
    text = show_shift(change, change.shift)
    if change.relative is None or change.unit == SHARE:
        return text
    return f"{text} ({change.relative:+.1%})"


def _interval(change: MetricChange) -> str:
    return f"{show_shift(change, change.shift_low)}, {show_shift(change, change.shift_high)}"
