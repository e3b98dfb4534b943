"""What a link can be made to do to packets, and how that is measured.

A shape says how a link treats every IP packet: later, lost, twice, out of order, or at a
limited rate. What has no shape passes as it always does.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from harness.cluster.links import Link

QUEUE_S = 0.1  # what a narrow link can hold, in time at its rate ...
ROUNDING = 1e-9  # of sums in binary
LEAST_QUEUE_BYTES = 64 * 1024  # ... and at least: one segment as the kernel hands it on


@dataclass(frozen=True)
class Shape:
    """How a link treats packets.

    Attributes:
        delay_s: how long each packet is held.
        jitter_s: the delay wanders by up to this much both ways.
        loss: share of packets that vanish, 0 to 1.
        duplicate: share that arrives twice, 0 to 1.
        reorder: share that is not held and so overtakes others, 0 to 1.
        rate_bytes_s: how much passes in a second, counted in Ethernet frames; None: no limit.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    rate_bytes_s: float | None = None

    @property
    def plain(self) -> bool:
        """Tell whether packets pass as if there were no shape."""
        return self == Shape()

    @property
    def rate_only(self) -> bool:
        """Tell whether nothing but the rate is limited."""
        return self == Shape(rate_bytes_s=self.rate_bytes_s) and not self.plain

    @property
    def latest_s(self) -> float:
        """Return how late a packet comes at most that is not lost."""
        queued_s = 0.0 if self.rate_bytes_s is None else self.queue_bytes / self.rate_bytes_s
        return self.delay_s + self.jitter_s + queued_s

    @property
    def queue_bytes(self) -> int:
        """Return how much waits for its turn at the rate; what comes beyond it is lost."""
        return max(LEAST_QUEUE_BYTES, int((self.rate_bytes_s or 0.0) * QUEUE_S))


def combine(shapes: Iterable[Shape]) -> Shape:
    """Return what several shapes on one link do together.

    Delays and jitters add up, chances are independent of one another, and the lowest
    rate is what passes.
    """
    known = tuple(shapes)
    rates = [one.rate_bytes_s for one in known if one.rate_bytes_s is not None]
    return Shape(
        delay_s=sum(one.delay_s for one in known),
        jitter_s=sum(one.jitter_s for one in known),
        loss=_either(one.loss for one in known),
        duplicate=_either(one.duplicate for one in known),
        reorder=_either(one.reorder for one in known),
        rate_bytes_s=min(rates, default=None),
    )


def includes(whole: Shape, part: Shape) -> bool:
    """Tell whether a link that has the shape `whole` does at least what `part` asks."""
    rates = (whole.rate_bytes_s or math.inf, part.rate_bytes_s or math.inf)
    shares = ("delay_s", "jitter_s", "loss", "duplicate", "reorder")
    return rates[0] <= rates[1] and all(
        getattr(whole, name) >= getattr(part, name) * (1 - ROUNDING) for name in shares
    )


def _either(chances: Iterable[float]) -> float:
    total = 0.0
    for chance in chances:
        total += (1.0 - total) * chance
    return total


@dataclass(frozen=True)
class Trial:
    """What is sent over each link to see what it does: UDP datagrams, one way.

    Attributes:
        count: how many.
        gap_s: from one to the next on the same link.
        payload_bytes: of each.
        patience_s: how long to wait for stragglers after the last one was sent.
        crowd_s: how much longer where other traffic is before them, which is no rule.
    """

    count: int
    gap_s: float
    payload_bytes: int = 32
    patience_s: float = 0.2
    crowd_s: float = 0.0

    @property
    def takes_s(self) -> float:
        """Return how long it takes at most on a link that is not crowded."""
        return self.count * self.gap_s + self.patience_s

    @property
    def wait_s(self) -> float:
        """Return how long to wait after the last one was sent."""
        return self.patience_s + self.crowd_s


@dataclass(frozen=True)
class Arrival:
    """A datagram that came: its number from 0, and when it was sent and received (ns)."""

    number: int
    sent_ns: int
    received_ns: int

    @property
    def delay_s(self) -> float:
        """Return how long it was on its way."""
        return (self.received_ns - self.sent_ns) / 1e9


@dataclass(frozen=True)
class Sample:
    """What became of a trial on one link; `arrivals` are in the order they came."""

    sent: int
    frame_bytes: int
    arrivals: tuple[Arrival, ...]

    @property
    def numbers(self) -> frozenset[int]:
        """Return the numbers that came at least once."""
        return frozenset(one.number for one in self.arrivals)

    @property
    def lost(self) -> float:
        """Return the share that never came."""
        return 1.0 - len(self.numbers) / self.sent

    @property
    def duplicated(self) -> float:
        """Return the share of those that came that came more than once."""
        seen = self.numbers
        return (len(self.arrivals) - len(seen)) / len(seen) if seen else 0.0

    @property
    def overtaking(self) -> int:
        """Return how many came before one that was sent earlier."""
        latest: float = math.inf
        count = 0
        for one in reversed(self.arrivals):
            if one.number > latest:
                count += 1
            latest = min(latest, one.number)
        return count

    def delay(self, share: float = 0.5) -> float:
        """Return the delay that `share` of the arrivals stay within; NaN when none came."""
        delays = sorted(one.delay_s for one in self.arrivals)
        if not delays:
            return math.nan
        return delays[min(len(delays) - 1, int(share * len(delays)))]

    def rate_bytes_s(self, burst_bytes: float = 0.0) -> float:
        """Return how fast frames came after the first `burst_bytes`; NaN with too few."""
        skipped = min(int(burst_bytes / self.frame_bytes), len(self.arrivals) // 2)
        counted = self.arrivals[skipped:]
        if len(counted) < 2 or counted[-1].received_ns == counted[0].received_ns:  # noqa: PLR2004 - a rate needs two points
            return math.nan
        span_s = (counted[-1].received_ns - counted[0].received_ns) / 1e9
        return (len(counted) - 1) * self.frame_bytes / span_s


class Shaper(Protocol):
    """The links of one iteration, and what can be made of them."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the places that are nodes, the seed first."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the places that are client groups."""

    def effective(self, link: Link) -> Shape:
        """Return what all shapes that were asked for on the link do together right now."""

    def shaped(
        self, shapes: Mapping[Link, Shape], seed: int
    ) -> AbstractAsyncContextManager[Mapping[Link, str]]:
        """Add a shape to each of the links for as long as the body runs.

        Yields what makes it happen on each link (``netem``, ``wire``, ``tbf``), once it
        does. Several may hold at one time, also on the same link: see `combine`.

        Raises:
            FaultError: it cannot be done, could not be undone, or broke meanwhile.
        """

    async def probe(self, links: Collection[Link], trial: Trial) -> Mapping[Link, Sample]:
        """Make the trial on all links at once and return what came; FaultError if it cannot."""
