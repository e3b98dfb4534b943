"""From iterations to samples: one value of each statistic from each iteration."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.comparison.metrics import BEST_EFFORT, LAGS, TAILS, base_of, is_guarantee, known
from harness.comparison.runs import RunIteration
from harness.report.model import IterationMetric
from harness.stats.modes import Cluster, find_modes, within
from harness.stats.permutation import Floats

MODE_SHARE = 0.2  # of the values of each side that a mode needs for a mean of its own
HALF = 0.5
LEAST_GAP = 0.03  # seconds: modes that lie closer are the same to everybody
SHARE = "share"  # the unit of what is a part of one
Sides = tuple[Sequence[RunIteration], Sequence[RunIteration]]
Metrics = tuple[list[IterationMetric], list[IterationMetric]]
Values = tuple[Floats, Floats]
Read = Callable[[IterationMetric], float | None]


@dataclass(frozen=True)
class Sample:
    """A statistic of a metric, one value from each iteration that has one.

    Censored values are infinite. `by` says what is compared: ranks, for values with a spread,
    or means, for counts and shares. The clusters are those of all values, if there are several.
    """

    metric: str
    unit: str
    statistic: str
    baseline: Floats
    candidate: Floats
    by: Literal["ranks", "means"]
    modes: tuple[Cluster, ...] = ()
    shares: tuple[tuple[float, float], ...] = ()


def find_samples(sides: Sides, resolution: Mapping[str, float]) -> Iterator[Sample]:
    """Yield every statistic that either side has values of; see `harness.comparison.metrics`."""
    names = dict.fromkeys(name for side in sides for one in side for name in one.metrics)
    for name in names:
        if not known(name):
            continue
        trusted = {"all", "guarantees"} if is_guarantee(name) else {"all"}
        found = tuple(
            [one.metrics[name] for one in side if one.trust in trusted and name in one.metrics]
            for side in sides
        )
        metrics = (found[0], found[1])
        if not any(metrics):
            continue
        if next(one for side in metrics for one in side).kind == "counter":
            yield from _count(name, metrics)
        else:
            yield from _measure(name, metrics, resolution.get(base_of(name), 0.0))


def read_lag(side: Sequence[RunIteration], statistic: str) -> Floats:
    """Return how late the harness itself sent in steady, iteration by iteration, in seconds."""
    found = []
    for one in side:
        name = next((name for name in LAGS if name in one.metrics), None)
        value = getattr(one.metrics[name], statistic) if name and one.trust == "all" else None
        if value is not None:
            found.append(value)
    return np.array(found, dtype=np.float64)


def _count(name: str, metrics: Metrics) -> Iterator[Sample]:
    unit = next(one for side in metrics for one in side).unit

    def sample(statistic: str, read: Read) -> Sample:
        shown = unit if statistic == "count" else SHARE
        return Sample(name, shown, statistic, *_read(metrics, read), "means")

    if not is_guarantee(name):
        statistic = BEST_EFFORT[base_of(name)]
        yield sample(statistic, lambda one: one.count if statistic == "count" else one.ratio)
        return
    yield sample("count", lambda one: one.count)
    if any(one.count for side in metrics for one in side):
        yield sample("any", lambda one: float(bool(one.count)))


def _measure(name: str, metrics: Metrics, resolution: float) -> Iterator[Sample]:
    one = next(one for side in metrics for one in side)
    listed = all(_is_listed(one) for side in metrics for one in side)
    if listed and one.unit == "s":
        modes = _find_modes(metrics, max(LEAST_GAP, 2 * resolution))
        if len(modes) > 1:
            yield from _measure_modes(name, metrics, modes)
            return
    typical = _mean if listed else _statistic("p50")
    values = _read(metrics, typical)
    yield Sample(name, one.unit, "mean" if listed else "p50", *values, "ranks")
    several = any(one.n > 1 for side in metrics for one in side)
    if base_of(name) in TAILS and several:
        worst = "max" if listed else "p99"
        values = _read(metrics, _statistic(worst))
        if listed or not all(_mostly_lost(side) for side in values):
            yield Sample(name, one.unit, worst, *values, "ranks")


def _mostly_lost(values: Floats) -> bool:
    """Tell whether the tail lies among messages that never arrived: `lost` says more of it."""
    return bool(np.isinf(values).mean() >= HALF) if len(values) else False


def _is_listed(metric: IterationMetric) -> bool:
    return metric.values is not None and metric.lower_values is not None


def _find_modes(metrics: Metrics, least_gap: float) -> tuple[Cluster, ...]:
    baseline, candidate = (
        np.array([value for one in side for value in one.values or ()]) for side in metrics
    )
    if len(baseline) + len(candidate) == 0:
        return ()
    return find_modes(baseline, candidate, least_gap)


def _measure_modes(name: str, metrics: Metrics, modes: tuple[Cluster, ...]) -> Iterator[Sample]:
    totals = [sum(one.n for one in side) for side in metrics]
    shares = tuple(
        tuple(
            sum(len(within(np.array(one.values), mode)) for one in side) / max(1, total)
            for side, total in zip(metrics, totals, strict=True)
        )
        for mode in modes
    )
    both = tuple((one, other) for one, other in shares)
    censored = any(one.lower_values for side in metrics for one in side)
    for number, mode in enumerate(modes, start=1):
        if number < len(modes) or censored:
            values = _read(metrics, _share_beyond(mode))
            statistic = f"share beyond mode {number}"
            yield Sample(name, SHARE, statistic, *values, "means", modes, both)
        if min(both[number - 1]) >= MODE_SHARE:
            values = _read(metrics, _mean_within(mode))
            yield Sample(name, "s", f"mean in mode {number}", *values, "ranks", modes, both)


def _read(metrics: Metrics, read: Read) -> Values:
    baseline, candidate = (
        np.array([value for one in side if (value := read(one)) is not None], dtype=np.float64)
        for side in metrics
    )
    return baseline, candidate


def _mean(metric: IterationMetric) -> float | None:
    if metric.lower_values:
        return math.inf
    return float(np.mean(metric.values)) if metric.values else None


def _statistic(name: str) -> Read:
    def read(metric: IterationMetric) -> float | None:
        value = getattr(metric, name)
        return math.inf if name in metric.lower_bounds else value

    return read


def _share_beyond(mode: Cluster) -> Read:
    def read(metric: IterationMetric) -> float | None:
        if not metric.n:
            return None
        reached = sum(value <= mode.high for value in metric.values or ())
        return 1 - reached / metric.n

    return read


def _mean_within(mode: Cluster) -> Read:
    def read(metric: IterationMetric) -> float | None:
        values = within(np.array(metric.values), mode)
        return float(values.mean()) if len(values) else None

    return read
