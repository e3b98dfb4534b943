"""Open-loop pacing: when each message is due, whatever became of those before it.

Every due time is computed from the message's number, never from the time of the one
before, so lateness does not add up; a sender that was held up sends all that is
overdue and is seen to be late.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

NS_PER_S = 1_000_000_000
NEVER_NS = 2**63 - 1


@dataclass(frozen=True)
class Schedule:
    """Message k is due at `start_ns` + `offset_s` + k / `rate` (per second)."""

    start_ns: int
    offset_s: float
    rate: float

    @property
    def first_ns(self) -> int:
        """Return when message 0 is due."""
        return self.start_ns + round(self.offset_s * NS_PER_S)

    def due_ns(self, k: int) -> int:
        """Return when message `k` is due."""
        return self.first_ns + int(k * NS_PER_S / self.rate)

    def due_between(self, first: int, last: int) -> list[int]:
        """Return when the messages from `first` up to and without `last` are due."""
        zero_ns, rate = self.first_ns, self.rate
        return [zero_ns + int(k * NS_PER_S / rate) for k in range(first, last)]

    def count_before(self, at_ns: int) -> int:
        """Return how many messages are due before `at_ns`, that instant excluded."""
        k = max(0, int((at_ns - self.first_ns) * self.rate / NS_PER_S))
        while self.due_ns(k) < at_ns:
            k += 1
        while k and self.due_ns(k - 1) >= at_ns:
            k -= 1
        return k


@dataclass(frozen=True)
class ListedSchedule:
    """Message k is due at `start_ns` + `due_s`[k], in ascending order; then no more are."""

    start_ns: int
    due_s: tuple[float, ...]

    @cached_property
    def _times_ns(self) -> list[int]:
        return [self.start_ns + round(due_s * NS_PER_S) for due_s in self.due_s]

    def due_ns(self, k: int) -> int:
        """Return when message `k` is due; `NEVER_NS` when there is no such message."""
        return self._times_ns[k] if k < len(self.due_s) else NEVER_NS

    def due_between(self, first: int, last: int) -> list[int]:
        """Return when the messages from `first` up to and without `last` are due."""
        return self._times_ns[first:last]

    def count_before(self, at_ns: int) -> int:
        """Return how many messages are due before `at_ns`, that instant excluded."""
        return bisect_left(self._times_ns, at_ns)
