"""How many iterations it takes: from the spread that was seen to the number that is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

MOST_RUNS = 1000
POWER = 0.9


def least_runs(alpha: float) -> int:
    """Return how many values a side needs so that the rank test can be significant at all."""
    n = 1
    while 2 / math.comb(2 * n, n) > alpha:
        n += 1
    return n


def runs_for_shift(
    runs: tuple[int, int], half_width: float, limit: float, *, alpha: float, confidence: float
) -> int | None:
    """Return how many iterations a side would need; None for more than `MOST_RUNS`.

    With so many, a shift of twice the limit is found in nine of ten comparisons (significant
    at `alpha`, and estimated above the limit), and the confidence interval
    is not wider than the limit to either side. What was seen says how much the
    estimate scatters: that falls with the root of the number of iterations.

    Args:
        runs: how many values each side had.
        half_width: of the confidence interval that they gave; finite.
        limit: the shift that matters, above zero.
        alpha: the level that one test has to reach.
        confidence: of the interval.
    """
    normal = NormalDist()
    n = 2 / (1 / runs[0] + 1 / runs[1])
    to_confidence = normal.inv_cdf(0.5 + confidence / 2)
    error = half_width / to_confidence
    surely = normal.inv_cdf(POWER)
    tolerable = min(
        2 * limit / (normal.inv_cdf(1 - alpha / 2) + surely),
        limit / surely,
        limit / to_confidence,
    )
    needed = max(math.ceil(n * (error / tolerable) ** 2), least_runs(alpha))
    return needed if needed <= MOST_RUNS else None


def runs_for_rate(shares: Sequence[float], alpha: float) -> int | None:
    """Return how many iterations a side show that these shares of them differ; None for too many.

    So many that, one side having none, the expected number of the other is significant.
    """
    difference = abs(shares[0] - shares[1])
    if difference == 0:
        return None
    hits = math.ceil(math.log2(2 / alpha))
    needed = math.ceil(hits / difference)
    return needed if needed <= MOST_RUNS else None
