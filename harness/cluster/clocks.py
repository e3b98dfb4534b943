"""The wall clock of one server, and how far it is from this machine's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

GRAIN_S = 0.0001  # what is lost in text and in sums of seconds


@dataclass(frozen=True)
class Reading:
    """How far a wall clock is ahead of this machine's: surely from `low_s` to `high_s` seconds.

    A server reads its clock at some instant between a request and its answer; what is
    between these two is not known.
    """

    low_s: float
    high_s: float

    @property
    def width_s(self) -> float:
        """Return how much is not known."""
        return self.high_s - self.low_s

    @property
    def middle_s(self) -> float:
        """Return the best guess."""
        return (self.low_s + self.high_s) / 2

    def agrees(self, ahead_s: float) -> bool:
        """Tell whether the clock can be just `ahead_s` seconds ahead."""
        return self.low_s - GRAIN_S <= ahead_s <= self.high_s + GRAIN_S


class WallClock(Protocol):
    """The wall clock (CLOCK_REALTIME) that one server goes by; never its monotonic clock."""

    @property
    def asked_s(self) -> float:
        """Return how far ahead the server's process was made to be; 0 when nobody did."""

    async def read(self, limit_s: float) -> Reading:
        """Ask the server for its time and compare it; FaultError when it does not tell."""

    async def skew(self, skew_s: float, limit_s: float) -> float:
        """Make the clock jump, ahead if `skew_s` is positive; FaultError when it cannot be done.

        Returns:
            For how many seconds the process was stopped to do it.
        """

    async def restore(self, limit_s: float) -> float | None:
        """Take the skew off the process that was given it; FaultError when it cannot be done.

        Returns:
            For how many seconds the process was stopped; None when there was nothing to do,
            since the process that had the skew has ended.
        """
