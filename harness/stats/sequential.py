"""Tell two rates of failure apart, with as few trials as that takes.

Wald's sequential probability ratio test (A. Wald, Sequential Tests of Statistical
Hypotheses, Annals of Mathematical Statistics 16, 1945): trials go on until the likelihood
of one rate exceeds that of the other by a factor that the allowed error sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.stats.permutation import Numbers, count_sums


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
        return (self.failed + 0.5) / (self.n + 1)


def exceeds(low: Trials, high: Trials) -> float:
    """Return how likely it is that `high` fails as much more often than `low` by chance.

    Fisher's exact test, one-sided: both have one rate, and the failures fell as they did.
    """
    failed = low.failed + high.failed
    scores: Numbers = (np.arange(low.n + high.n) < failed).astype(np.int64)
    return min(1.0, float(count_sums(scores, high.n)[high.failed :].sum()))


@dataclass(frozen=True)
class SequentialTest:
    """Decide by trials whether a rate of failure is `low` or `high`.

    Attributes:
        low: the rate of what is good, above 0.
        high: the rate of what is bad, above `low` and below 1.
        error: how likely a wrong decision may be, either way.
    """

    low: float
    high: float
    error: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < 1 or not 0 < self.error < 0.5:  # noqa: PLR2004 - a half
            raise ValueError(f"no test: {self.low} against {self.high} with error {self.error}")

    def decide(self, trials: Trials) -> Literal["low", "high"] | None:
        """Return which rate it is; None while more trials are needed."""
        weight = trials.failed * math.log(self.high / self.low)
        weight += trials.passed * math.log((1 - self.high) / (1 - self.low))
        bound = math.log((1 - self.error) / self.error)
        if weight >= bound:
            return "high"
        return "low" if weight <= -bound else None

    def least_trials(self) -> int:
        """Return how many trials a decision takes when all of them end alike, at least."""
        bound = math.log((1 - self.error) / self.error)
        up = math.log(self.high / self.low)
        down = math.log((1 - self.low) / (1 - self.high))
        return math.ceil(bound / max(up, down))
