"""Exact permutation tests: what the sum over one group would be, had chance formed the groups.

Under "no difference" every choice of the candidate's iterations out of all of them is equally
likely, so the p-value is the share of choices that are at least as extreme. It is two-sided:
twice the smaller tail, at most 1. The choices are counted, not drawn (Streitberg and Röhmel,
1986, the shift algorithm), which takes whole numbers: other values are first rounded to steps
of their range. That keeps the test exact, since rounding does not know whose a value is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MAX_WORK = 200_000_000  # additions of counting exactly: about a second
MAX_STEPS = 200  # that a range of values is rounded to
MIN_STEPS = 40  # fewer would make the values too coarse
MAX_CHOICES = 10_000
DRAWS = 10_000  # of an interval; the tests need none
MOST_DRAWN = 1_000  # values that choices are drawn of; sums of more are as good as normal
SEED = 20_150_901
EXACT = "exact permutation of iterations"
FISHER = "Fisher"  # what the exact permutation of zeros and ones is
NORMAL = "permutation of iterations, normal approximation"
CLOSE = 1e-9  # differences below that are of rounding only


@dataclass(frozen=True)
class Significance:
    """What a test says.

    Attributes:
        p_value: two-sided.
        least: the smallest p-value that any grouping of these values could have had.
        name: which test it was.
    """

    p_value: float
    least: float
    name: str


def countable(scores: Numbers, chosen: int) -> bool:
    """Tell whether sums over `chosen` of the scores can be counted in a bearable time."""
    if _are_flags(scores):
        return True
    return len(scores) * chosen * (int(scores.sum()) + 1) <= MAX_WORK


def count_sums(scores: Numbers, chosen: int) -> Floats:
    """Return the share of choices of `chosen` scores (whole, >= 0) that have the sum s, by s.

    Numbers of choices are beyond any float from 1030 scores on. So each score is taken with
    the same chance, `chosen` of all, and of what may happen then only that counts in which
    `chosen` are taken: all such choices are equally likely, and no chance is above 1.

    Raises:
        ArithmeticError: the shares are no numbers.
    """
    total = int(scores.sum())
    if _are_flags(scores):
        return _count_flags(len(scores), total, chosen)
    chance = chosen / len(scores)
    ways = np.zeros((chosen + 1, total + 1))
    ways[0, 0] = 1.0
    for taken, score in enumerate(scores.tolist(), start=1):
        most = min(taken, chosen)
        moved = ways[0:most, : total + 1 - score] * chance
        ways[: most + 1] *= 1 - chance
        ways[1 : most + 1, score:] += moved
    return _share(ways[chosen])


def _are_flags(scores: Numbers) -> bool:
    return bool(scores.max(initial=0) <= 1)


def _count_flags(n: int, ones: int, chosen: int) -> Floats:
    """Return the same of zeros and ones: the hypergeometric distribution, shape (ones + 1,)."""
    least, most = max(0, chosen - (n - ones)), min(ones, chosen)
    after = np.arange(least + 1, most + 1, dtype=np.float64)
    rising = (ones - after + 1) * (chosen - after + 1)  # from one number of ones to the next
    falling = after * (n - ones - chosen + after)
    logs = np.concatenate([[0.0], np.cumsum(np.log(rising) - np.log(falling))])
    shares = np.zeros(ones + 1)
    shares[least : most + 1] = np.exp(logs - logs.max())
    return _share(shares)


def _share(ways: Floats) -> Floats:
    total = float(ways.sum())
    if not math.isfinite(total) or total <= 0:
        raise ArithmeticError(f"choices cannot be counted: they add up to {total}")
    return np.asarray(ways / total)


def sum_test(scores: Numbers, is_chosen: Flags, name: str) -> Significance:
    """Test whether the chosen scores (whole numbers >= 0) are larger or smaller than chance."""
    shares = count_sums(scores, int(is_chosen.sum()))
    seen = int(scores[is_chosen].sum())
    possible = np.flatnonzero(shares)
    least = min(float(shares[possible[0]]), float(shares[possible[-1]]))
    tail = max(least, min(float(shares[: seen + 1].sum()), float(shares[seen:].sum())))
    return Significance(min(1.0, 2 * tail), min(1.0, 2 * least), name)


def normal_test(scores: Floats, is_chosen: Flags, name: str, *, half_step: float) -> Significance:
    """Test the same of very many scores, by the normal distribution that sums come close to.

    `half_step` is half of what sums differ by at least; 0 where that is any amount.
    """
    n, chosen = len(scores), int(is_chosen.sum())
    spread = math.sqrt(float(scores.var()) * chosen * (n - chosen) / (n - 1))
    if spread == 0:
        return Significance(1.0, 1.0, name)
    distance = abs(float(scores[is_chosen].sum()) - chosen * float(scores.mean()))
    twice_tail = math.erfc(max(0.0, distance - half_step) / spread / math.sqrt(2))
    return Significance(twice_tail, 0.0, name)


@lru_cache(maxsize=8)
def choices(n: int, chosen: int) -> tuple[Flags, bool]:
    """Return choices of `chosen` out of n, one a row of flags; and whether these are all."""
    if math.comb(n, chosen) <= MAX_CHOICES:
        picked = np.array(list(combinations(range(n), chosen)), dtype=np.intp)
        every = True
    else:
        random = np.random.default_rng(SEED)
        keys = random.random((DRAWS, n))
        picked = np.argpartition(keys, chosen - 1, axis=1)[:, :chosen]
        every = False
    flags = np.zeros((len(picked), n), dtype=np.bool_)
    np.put_along_axis(flags, picked, values=True, axis=1)
    return flags, every


@dataclass(frozen=True)
class MeanShift:
    """How much the mean of the candidate differs, and the test of that; ends may be infinite."""

    estimate: float
    low: float
    high: float
    test: Significance


def compare_means(baseline: Floats, candidate: Floats, confidence: float) -> MeanShift:
    """Compare the means of two groups of finite values.

    The confidence interval holds the shifts that, taken off the candidate, a permutation test
    would not refuse (Tritchler, 1984), by drawn choices where there are many, and by the
    normal distribution where there are more than `MOST_DRAWN` values. Swapped sides
    give exactly the mirrored result, and the order of values does not matter.
    """
    if baseline.min() == baseline.max() == candidate.min() == candidate.max():
        return MeanShift(0.0, 0.0, 0.0, Significance(1.0, 1.0, EXACT))
    swapped = _key(candidate) < _key(baseline)
    first, second = (candidate, baseline) if swapped else (baseline, candidate)
    pooled = np.concatenate([np.sort(first), np.sort(second)])
    is_second = np.arange(len(pooled)) >= len(first)
    order = np.argsort(pooled, kind="stable")
    found = _compare(pooled[order], is_second[order], confidence)
    if not swapped:
        return found
    return MeanShift(-found.estimate, -found.high, -found.low, found.test)


def _key(values: Floats) -> tuple[float, ...]:
    return (float(len(values)), *np.sort(values).tolist())


def _compare(pooled: Floats, is_second: Flags, confidence: float) -> MeanShift:
    """Compare the mean of those in the second group with the rest's; it is the larger group."""
    test = _test_means(pooled, ~is_second)
    seen = float(pooled[is_second].mean() - pooled[~is_second].mean())
    invert = _invert if len(pooled) <= MOST_DRAWN else _approximate
    low, high = invert(seen, pooled, is_second, confidence)
    return MeanShift(seen, low, high, test)


def _test_means(values: Floats, is_chosen: Flags) -> Significance:
    chosen = int(is_chosen.sum())
    whole = values.astype(np.int64)
    if np.array_equal(whole, values) and whole.min() >= 0 and countable(whole, chosen):
        return sum_test(whole, is_chosen, FISHER if whole.max() <= 1 else EXACT)
    steps = min(MAX_STEPS, MAX_WORK // (len(values) ** 2 * chosen))
    if steps < MIN_STEPS:
        return normal_test(values, is_chosen, NORMAL, half_step=0.0)
    low, high = float(values.min()), float(values.max())
    return sum_test(np.rint((values - low) / (high - low) * steps).astype(int), is_chosen, EXACT)


def _invert(
    seen: float, pooled: Floats, is_second: Flags, confidence: float
) -> tuple[float, float]:
    """Return the interval of shifts that are not refused.

    Taking a shift d off the second group lowers what was seen by d, and a choice's difference
    by d times what its groups differ in their share of the second; they cross at one d.
    """
    large = int(is_second.sum())
    small = len(is_second) - large
    drawn, every = choices(len(pooled), small)  # of the smaller group, whichever side that is
    both = np.stack([pooled, is_second.astype(np.float64)], axis=1)
    sums, moved = (drawn.astype(np.float64) @ both).T
    differences = (float(pooled.sum()) - sums) / large - sums / small
    slope = 1.0 - ((large - moved) / large - moved / small)
    same = slope <= CLOSE
    crossing = (seen - differences) / np.where(same, 1.0, slope)
    extra = 0 if every else 1  # what was seen is one of the choices
    tolerated = math.floor((1 - confidence) / 2 * (len(drawn) + extra) + CLOSE)
    index = tolerated - extra
    if index < 0:
        return -math.inf, math.inf
    rising = np.sort(np.where(same, -math.inf, crossing))
    falling = np.sort(np.where(same, math.inf, crossing))
    return float(rising[index]), float(falling[len(falling) - 1 - index])


def _approximate(
    seen: float, pooled: Floats, is_second: Flags, confidence: float
) -> tuple[float, float]:
    """Return about the same interval of very many values, by their spread within the groups."""
    groups = pooled[is_second], pooled[~is_second]
    within = sum(float(one.var()) * len(one) for one in groups) / (len(pooled) - 2)
    spread = math.sqrt(within * sum(1 / len(one) for one in groups))
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * spread
    return seen - reach, seen + reach
