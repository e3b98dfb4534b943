"""The Hodges-Lehmann shift of two groups of values, its interval and the rank test behind it.

Values may be infinite: a right-censored value is one that is above all that are known, and
equal to other such values as far as anybody can tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from harness.stats.permutation import (
    Floats,
    Numbers,
    Significance,
    count_sums,
    countable,
    normal_test,
    sum_test,
)

EXACT = "exact rank-sum"
EXACT_WITH_TIES = "exact rank-sum, ties permuted"
NORMAL = "rank-sum, normal approximation"
MOST_PAIRS = 4_000_000  # of which all differences are listed
HALVINGS = 80


@dataclass(frozen=True)
class Shift:
    """By how much the candidate is above the baseline; any of these may be infinite."""

    estimate: float
    low: float
    high: float
    test: Significance


def compare_ranks(baseline: Floats, candidate: Floats, confidence: float) -> Shift:
    """Estimate the shift, and test by ranks whether there is one.

    The estimate is the median of all differences between a candidate's and a baseline's value;
    the interval holds the shifts that the rank test without ties would not refuse, so it
    is wider than it need be when there are ties (Hollander, Wolfe, Chicken 2014, 4.2).
    """
    test = rank_test(baseline, candidate)
    pairs = len(baseline) * len(candidate)
    cut = _cut(len(baseline), len(candidate), confidence)
    ends = [] if cut < 0 else [cut, pairs - 1 - cut]
    below, above, *found = _pick_differences(
        baseline, candidate, [(pairs - 1) // 2, pairs // 2, *ends]
    )
    low, high = found or (-math.inf, math.inf)
    return Shift(_mean(below, above), low, high, test)


def _pick_differences(baseline: Floats, candidate: Floats, places: Sequence[int]) -> list[float]:
    """Return the differences of all pairs that are at these places, from the least on."""
    if len(baseline) * len(candidate) <= MOST_PAIRS:
        ordered = np.sort(_subtract(candidate[:, None], baseline[None, :]).ravel())
        return [float(ordered[place]) for place in places]
    pooled = np.concatenate([baseline, candidate])
    finite = pooled[np.isfinite(pooled)]
    span = float(np.ptp(finite)) if len(finite) else 0.0
    endless = (float(finite.max()) if len(finite) else 0.0) + 2 * span + 1
    first, second = (
        np.sort(np.where(np.isinf(side), endless, side)) for side in (baseline, candidate)
    )
    found = [_search(first, second, place, 2 * (2 * span + 1)) for place in places]
    return [math.copysign(math.inf, one) if abs(one) > span else one for one in found]


def _search(baseline: Floats, candidate: Floats, place: int, reach: float) -> float:
    """Return the difference at a place, by halving; both sides are sorted and finite.

    No difference is beyond `reach`. What is left in the end lies closer than floats can tell,
    so the largest difference up to there is the one.
    """
    low, high = -reach, reach
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        first = np.searchsorted(baseline, candidate - middle, side="left")
        up_to = len(baseline) * len(candidate) - int(first.sum())
        low, high = (low, middle) if up_to > place else (middle, high)
    first = np.searchsorted(baseline, candidate - high, side="left")
    there = first < len(baseline)
    return float((candidate[there] - baseline[first[there]]).max())


def rank_test(baseline: Floats, candidate: Floats) -> Significance:
    """Test the rank sum (Wilcoxon, Mann, Whitney), exactly unless there are very many values."""
    pooled = np.concatenate([baseline, candidate])
    is_candidate = np.arange(len(pooled)) >= len(baseline)
    doubled, tied = rank_doubled(pooled)
    scores = doubled if tied else doubled // 2
    chosen = is_candidate if len(candidate) <= len(baseline) else ~is_candidate
    if countable(scores, int(chosen.sum())):
        return sum_test(scores, chosen, EXACT_WITH_TIES if tied else EXACT)
    return normal_test(doubled / 2, chosen, NORMAL, half_step=0.5)


def rank_doubled(values: Floats) -> tuple[Numbers, bool]:
    """Return twice the mid-ranks of values (whole numbers then), and whether any are tied."""
    _, place, size = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(size)
    return (2 * last - size + 1)[place].astype(np.int64), bool((size > 1).any())


def _subtract(left: Floats, right: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        differences = left - right
    return np.where(np.isnan(differences), 0.0, differences)


def _mean(left: float, right: float) -> float:
    return 0.0 if math.isinf(left) and left == -right else (left + right) / 2


@lru_cache(maxsize=64)
def _cut(n: int, m: int, confidence: float) -> int:
    """Return how many differences to leave out at each end; -1 when too few even for none."""
    tail = (1 - confidence) / 2
    ranks = np.arange(1, n + m + 1, dtype=np.int64)
    least = m * (m + 1) // 2
    if countable(ranks, m):
        below = np.cumsum(count_sums(ranks, m)[least:])
        return int(np.searchsorted(below, tail * (1 + 1e-12), side="right")) - 1
    z = NormalDist().inv_cdf(tail)
    spread = math.sqrt(n * m * (n + m + 1) / 12)
    return max(-1, math.floor(n * m / 2 + z * spread - 0.5))
