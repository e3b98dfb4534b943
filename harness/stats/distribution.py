"""Distributions of measured values, some of which are only lower bounds.

A right-censored value is one whose end was not seen: a client that had not reconnected
when the watch ended took at least that long. Such a value is never dropped. Order
statistics are nearest-rank: the q-quantile of n values is the one of rank ceil(q * n).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from harness.stats.interval import Interval

Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

QUANTILES: Mapping[str, float] = MappingProxyType(
    {"min": 0.0, "p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}
)


def rank(quantile: float, n: int) -> int:
    """Return the nearest rank, 1 to n, of a quantile of n values.

    The product is rounded to 9 decimals first, so that 0.95 * 20 is 19, not 19 and a bit.
    """
    return min(n, max(1, math.ceil(round(quantile * n, 9))))


@dataclass(frozen=True)
class Distribution:
    """Sorted values, built by `of`.

    Attributes:
        bounds: every value, a censored one as its lower bound; ascending.
        exact: the values that are not censored; ascending. The same array as `bounds`
            when nothing is censored.
    """

    bounds: Floats
    exact: Floats

    @classmethod
    def of(cls, values: npt.ArrayLike, censored: npt.ArrayLike | None = None) -> Distribution:
        """Sort values of shape (n,); `censored`, of the same shape, marks lower bounds.

        Floating-point values keep their width.

        Raises:
            ValueError: the shapes differ, or a value is not a finite number.
        """
        array = np.asarray(values)
        if array.dtype.kind != "f":
            array = array.astype(np.float64)
        if array.ndim != 1 or not np.isfinite(array).all():
            raise ValueError("a distribution needs a flat array of finite numbers")
        bounds = np.sort(array)
        if censored is None:
            return cls(bounds, bounds)
        flags = np.asarray(censored, dtype=np.bool_)
        if flags.shape != array.shape:
            raise ValueError(f"{array.shape[0]} values, but {flags.shape} flags")
        if not flags.any():
            return cls(bounds, bounds)
        return cls(bounds, np.sort(array[~flags]))

    @property
    def n(self) -> int:
        """Return how many values there are, censored ones included."""
        return len(self.bounds)

    @property
    def censored(self) -> int:
        """Return how many values are lower bounds only."""
        return len(self.bounds) - len(self.exact)

    def order(self, number: int) -> Interval:
        """Return where the value of rank `number` (1 to n) lies, whatever the censored ones are.

        The k-th smallest can only grow when values grow. So it is least when each censored
        value equals its bound, and greatest when all of them are beyond every exact value.
        """
        if not 1 <= number <= self.n:
            raise ValueError(f"no rank {number} among {self.n} values")
        lower = float(self.bounds[number - 1])
        upper = float(self.exact[number - 1]) if number <= len(self.exact) else math.inf
        return Interval(lower, upper)

    def statistic(self, name: str) -> Interval | None:
        """Return a statistic by its name in thresholds; None when there is no value for it."""
        if name == "n":
            return Interval.exactly(self.n)
        if self.n == 0:
            return None
        if name == "censored":
            return Interval.exactly(self.censored)
        return self.order(rank(QUANTILES[name], self.n))
