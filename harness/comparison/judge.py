"""Judge samples: is there a shift, is it more than chance, and does it matter?

A statistic has regressed (or, mirrored, improved) only when all three hold:

1. the shift is significant after Holm's correction over everything that is compared at once;
2. the shift is larger than the practical limit: a shift up to it does not matter;
3. the shift is larger than the noise floor: what the measurement itself may be off by.

A shift for the worse that is significant and matters, but that the harness's own lateness may
explain, is not comparable: it is neither a regression nor none.

Where none of that is so, and even the most extreme outcome could not have been significant, or
the confidence interval goes beyond the limit and is wider than it, there were too few iterations
to tell. Of what must never happen, more of it without significance is too few to tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.comparison.metrics import (
    BEYOND_MODE,
    BEYOND_RARE,
    RARE,
    base_of,
    limit_of,
    lower_is_better,
)
from harness.comparison.model import Change, MetricChange, Mode, Summary
from harness.comparison.samples import Sample
from harness.comparison.wording import explain
from harness.stats.correction import adjust, count_able
from harness.stats.permutation import Floats, MeanShift, Significance, compare_means
from harness.stats.power import least_runs, runs_for_rate, runs_for_shift
from harness.stats.shift import Shift, compare_ranks

ALPHA = 0.01
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Case:
    """A sample and what the measurement may be off by, in the sample's unit.

    `resolution` is how far apart it looked; `lag` is by how much the harness's own lateness
    may differ between the sides.
    """

    sample: Sample
    resolution: float = 0.0
    lag: float = 0.0

    @property
    def noise(self) -> float:
        """Return the noise floor."""
        return max(self.resolution, self.lag)

    @property
    def told(self) -> bool:
        """Tell whether both sides have any value."""
        return min(len(self.sample.baseline), len(self.sample.candidate)) > 0


@dataclass(frozen=True)
class Rules:
    """What counts: `alpha` for all tests together, and practical limits that replace defaults.

    `practical` holds shares of the baseline by metric; under ``""`` is the one for all others.
    """

    alpha: float = ALPHA
    practical: Mapping[str, float] | None = None

    def limit(self, sample: Sample) -> float:
        """Return the shift up to which nothing matters, in the sample's unit.

        The share is taken of the side that has less, so that swapped sides mirror.
        """
        limit = limit_of(sample.metric, sample.statistic)
        own = self.practical or {}
        share = limit.share
        if share > 0:
            asked = (sample.metric, base_of(sample.metric), "")
            share = next((own[name] for name in asked if name in own), share)
        centers = [abs(center_of(sample, side)) for side in (sample.baseline, sample.candidate)]
        known = [center for center in centers if math.isfinite(center)]
        if limit == BEYOND_MODE and min(known, default=0.0) < RARE:
            limit = BEYOND_RARE
        return max(limit.least, share * min(known, default=0.0))


def center_of(sample: Sample, values: Floats) -> float:
    """Return what is typical of one side: the median, or the mean of counts and shares."""
    if len(values) == 0:
        return math.inf
    return float(np.mean(values) if sample.by == "means" else _median(values))


def judge(cases: Sequence[Case], rules: Rules) -> list[MetricChange]:
    """Judge all cases of a comparison together; in their order."""
    told = [case for case in cases if case.told]
    shifts = [_compare(case.sample) for case in told]
    tests = [shift.test for shift in shifts]
    levels = _find_levels(told, tests, rules.alpha)
    adjusted = adjust(tests, rules.alpha)
    found = iter(zip(shifts, adjusted, strict=True))
    return [
        _judge_one(case, *next(found), levels, rules) if case.told else refuse(case)
        for case in cases
    ]


@dataclass(frozen=True)
class _Levels:
    """What one test has to reach to be significant: here, and with as many runs as one likes."""

    here: float
    later: float


def _find_levels(cases: Sequence[Case], tests: Sequence[Significance], alpha: float) -> _Levels:
    able = count_able(tests, alpha)
    varying = sum(
        len(np.unique(np.concatenate([case.sample.baseline, case.sample.candidate]))) > 1
        for case in cases
    )
    return _Levels(alpha / able, alpha / max(able, varying))


def _compare(sample: Sample) -> Shift | MeanShift:
    compare = compare_means if sample.by == "means" else compare_ranks
    return compare(sample.baseline, sample.candidate, CONFIDENCE)


@dataclass(frozen=True)
class _Worse:
    """A shift seen so that above zero is worse."""

    shift: float
    low: float
    high: float

    @classmethod
    def of(cls, shift: Shift | MeanShift, *, lower_is_better: bool) -> _Worse:
        if lower_is_better:
            return cls(shift.estimate, shift.low, shift.high)
        return cls(-shift.estimate, -shift.high, -shift.low)


def _judge_one(
    case: Case, shift: Shift | MeanShift, adjusted: float, levels: _Levels, rules: Rules
) -> MetricChange:
    sample = case.sample
    practical = rules.limit(sample)
    less = lower_is_better(sample.metric)
    worse = _Worse.of(shift, lower_is_better=less)
    change = _decide(case, worse, practical, significant=adjusted <= rules.alpha, each=levels.here)
    needed = (
        _runs_needed(case, worse, practical, levels.later) if change == "too-few-runs" else None
    )
    baseline = summarise(sample.baseline)
    facts = MetricChange(
        metric=sample.metric,
        unit=sample.unit,
        statistic=sample.statistic,
        lower_is_better=less,
        baseline=baseline,
        candidate=summarise(sample.candidate),
        change=change,
        shift=finite(shift.estimate),
        shift_low=finite(shift.low),
        shift_high=finite(shift.high),
        confidence=CONFIDENCE,
        relative=finite(shift.estimate / baseline.p50) if baseline.p50 else None,
        test=shift.test.name,
        p_value=shift.test.p_value,
        p_adjusted=adjusted,
        practical_limit=practical,
        noise_floor=case.noise,
        modes=list(_show_modes(sample)),
        runs_needed=needed,
        why="",
    )
    return facts.model_copy(update={"why": explain(facts, worst=shift.estimate)})


def _decide(
    case: Case, worse: _Worse, practical: float, *, significant: bool, each: float
) -> Change:
    limit = max(practical, case.resolution)
    if significant and abs(worse.shift) > max(limit, case.lag):
        return "regressed" if worse.shift > 0 else "improved"
    if significant and worse.shift > limit:
        return "not-comparable"
    runs = len(case.sample.baseline), len(case.sample.candidate)
    if 2 / math.comb(sum(runs), runs[0]) > each:
        return "too-few-runs"
    if limit == 0:
        return "too-few-runs" if worse.shift > 0 else "unchanged"
    wide = worse.high > limit and worse.high - worse.shift > limit
    beyond = worse.shift > limit  # it seems worse than what matters, if not for certain
    return "too-few-runs" if (wide or beyond) and not significant else "unchanged"


def _runs_needed(case: Case, worse: _Worse, practical: float, each: float) -> int | None:
    sample = case.sample
    limit = max(practical, case.resolution)
    runs = len(sample.baseline), len(sample.candidate)
    if limit == 0:
        if worse.shift <= 0:
            return least_runs(each)
        shares = [float((values > 0).mean()) for values in (sample.baseline, sample.candidate)]
        return runs_for_rate(shares, each)
    half_width = worse.high - worse.shift
    if math.isfinite(half_width):
        return runs_for_shift(runs, half_width, limit, alpha=each, confidence=CONFIDENCE)
    return least_runs(each) if min(runs) < least_runs(each) else None


def refuse(case: Case, why: str | None = None) -> MetricChange:
    """Return that a sample cannot be compared, since a side has no values or for another reason."""
    sample = case.sample
    facts = MetricChange(
        metric=sample.metric,
        unit=sample.unit,
        statistic=sample.statistic,
        lower_is_better=lower_is_better(sample.metric),
        baseline=summarise(sample.baseline),
        candidate=summarise(sample.candidate),
        change="not-comparable",
        modes=list(_show_modes(sample)),
        why="",
    )
    return facts.model_copy(update={"why": why or explain(facts, worst=0.0)})


def _show_modes(sample: Sample) -> Iterator[Mode]:
    for mode, (baseline, candidate) in zip(sample.modes, sample.shares, strict=True):
        yield Mode(low=mode.low, high=mode.high, baseline=baseline, candidate=candidate)


def summarise(values: Floats) -> Summary:
    """Return the summary of a side; infinite values are its censored ones."""
    known = values[np.isfinite(values)]
    return Summary(
        n=len(values),
        censored=len(values) - len(known),
        min=float(known.min()) if len(known) else None,
        p50=finite(_median(values)) if len(values) else None,
        max=float(known.max()) if len(known) else None,
        values=[finite(value) for value in values.tolist()],
    )


def _median(values: Floats) -> float:
    """Return the median; infinite when half of the values or more are."""
    ordered = np.sort(values)
    half = len(ordered) // 2
    return float(ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2)


def finite(value: float) -> float | None:
    """Return a number as JSON can hold it: null for what is infinite."""
    return value if math.isfinite(value) else None
