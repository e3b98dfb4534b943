"""Tell two rates of failure apart, with as few trials as that takes.

Wald's sequential probability ratio test (A. Wald, Sequential Tests of Statistical
Hypotheses, Annals of Mathematical Statistics 16, 1945): trials go on until the likelihood
of one hypothesis exceeds that of the other by a factor that the allowed error sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.stats.permutation import Numbers, count_sums

PRIOR = 0.5  # of a failure as of a pass, Jeffreys'


@dataclass(frozen=True)
class Trials:
    """How often something was tried, and how often it failed."""

    failed: int = 0
    passed: int = 0

    @property
    def n(self) -> int:
        """Return how many trials there were."""
        return self.failed + self.passed

    @property
    def rate(self) -> float:
        """Return the estimated rate of failure, never 0 or 1 (Jeffreys' prior)."""
        return (self.failed + PRIOR) / (self.n + 2 * PRIOR)


def exceeds(low: Trials, high: Trials) -> float:
    """Return how likely it is that `high` fails as much more often than `low` by chance.

    Fisher's exact test, one-sided: both have one rate, and the failures fell as they did.
    """
    failed = low.failed + high.failed
    scores: Numbers = (np.arange(low.n + high.n) < failed).astype(np.int64)
    return min(1.0, float(count_sums(scores, high.n)[high.failed :].sum()))


@dataclass(frozen=True)
class LikenessTest:
    """Decide by trials whether something fails as rarely as `low` did, or as often as `high`.

    How often those fail is known from few trials of theirs only. So it is not their estimated
    rates whose likelihoods are compared but all rates that their trials allow for, each with
    its weight (Jeffreys' prior): how likely the new trials are after theirs.

    Attributes:
        low: the trials of what is good.
        high: the trials of what is bad, more of which failed.
        error: how likely a wrong decision may be, either way.
    """

    low: Trials
    high: Trials
    error: float

    def __post_init__(self) -> None:
        if self.low.rate >= self.high.rate or not 0 < self.error < 0.5:  # noqa: PLR2004 - a half
            raise ValueError(f"no test: {self.low} against {self.high} with error {self.error}")

    def decide(self, trials: Trials) -> Literal["low", "high"] | None:
        """Return which of both it is like; None while more trials are needed."""
        weight = _log_chance(trials, self.high) - _log_chance(trials, self.low)
        bound = math.log((1 - self.error) / self.error)
        if weight >= bound:
            return "high"
        return "low" if weight <= -bound else None

    def least_trials(self) -> int:
        """Return how many trials a decision takes when all of them end alike, at least.

        Those of `low` and `high` may be too few for any decision; then it is as many as theirs.
        """
        most = max(1, self.low.n, self.high.n)
        for n in range(1, most):
            if self.decide(Trials(n, 0)) or self.decide(Trials(0, n)):
                return n
        return most


def _log_chance(trials: Trials, before: Trials) -> float:
    """Return the logarithm of how likely trials are, in their order, after those before them."""
    failed, passed = before.failed + PRIOR, before.passed + PRIOR
    return _log_beta(failed + trials.failed, passed + trials.passed) - _log_beta(failed, passed)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
