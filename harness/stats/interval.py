"""Values that are known only to lie somewhere: closed intervals of real numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """The true value lies between `lower` and `upper`, both included.

    A value that is known exactly has equal ends; one that is only known to be at least
    `lower`, because the watch ended too early, has an infinite `upper`.
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if math.isnan(self.lower) or math.isnan(self.upper) or self.lower > self.upper:
            raise ValueError(f"no interval: {self.lower} to {self.upper}")

    @classmethod
    def exactly(cls, value: float) -> Interval:
        """Return the interval that holds one value."""
        return cls(value, value)

    @property
    def exact(self) -> bool:
        """Tell whether the value is known exactly."""
        return self.lower == self.upper

    def widened(self, below: float, above: float) -> Interval:
        """Return the interval with room for errors; values are never below zero."""
        return Interval(max(min(0.0, self.lower), self.lower - below), self.upper + above)

    def scaled(self, divisor: float) -> Interval:
        """Return the interval with both ends divided by a positive number."""
        return Interval(self.lower / divisor, self.upper / divisor)
