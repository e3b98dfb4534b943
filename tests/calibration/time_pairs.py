"""Each time as the harness judged it beside the same time by the servers' own clock."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from measured import Measured

from harness.history.facts import FaultWindow, Iteration
from harness.history.model import History
from harness.stats.distribution import rank


@dataclass(frozen=True)
class Pair:
    """One time as the harness judged it and as the servers' clock has it, in seconds."""

    metric: str
    whose: str
    judged_s: float
    true_s: float

    @property
    def difference_s(self) -> float:
        """Return judged less true."""
        return self.judged_s - self.true_s


class Clockwork:
    """The servers' truth about when things happened; all times monotonic ns."""

    def __init__(self, measured: Measured) -> None:
        truths = measured.truths.values()
        self._greeted: dict[str, list[int]] = defaultdict(list)
        self._left: dict[str, list[int]] = defaultdict(list)
        self.written: dict[str, list[int]] = defaultdict(list)
        self.deliveries: list[tuple[int, int, int]] = []
        for truth in truths:
            for connection in truth.connections:
                self._greeted[connection["name"]].append(connection["pong_ns"])
                self._left[connection["name"]].append(connection["eof_ns"])
            for receiver, sender, sequence, at_ns in truth.deliveries:
                self.written[receiver].append(at_ns)
                self.deliveries.append((at_ns, sender, sequence))
        for times in (*self._greeted.values(), *self._left.values(), *self.written.values()):
            times.sort()
        self.deliveries.sort()

    def greeted_ns(self, client: str, after_ns: int) -> int | None:
        """Return when a client's next connection got its first PONG."""
        return _next(self._greeted[client], after_ns)

    def left_ns(self, client: str, after_ns: int) -> int | None:
        """Return when a server next saw a client close its connection."""
        return _next(self._left[client], after_ns)


def _next(times: list[int], after_ns: int) -> int | None:
    place = bisect_right(times, after_ns)
    return times[place] if place < len(times) else None


@dataclass(frozen=True)
class Timed:
    """All pairs of a plan, and what made some of them impossible."""

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...] = field(default=())

    def differences_s(self, metric: str) -> list[float]:
        """Return the differences of one metric in seconds, ascending."""
        return sorted(pair.difference_s for pair in self.pairs if pair.metric == metric)


def summarise(differences_s: list[float]) -> dict[str, Any]:
    """Return n, min, p50, p99 and max in milliseconds, nearest rank."""
    n = len(differences_s)
    ranks = {"min": 1, "p50": rank(0.5, n), "p99": rank(0.99, n), "max": n}
    return {
        "n": n,
        **{f"{name}_ms": differences_s[place - 1] * 1e3 for name, place in ranks.items()},
    }
