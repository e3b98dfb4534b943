"""A worker's housekeeping: rows to the file, figures to the harness, its own lateness."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import Any

from harness.load.ledger import Ledger
from harness.load.roles.receiver import Receiver
from harness.load.roles.sender import Sender

BEAT_NS = 10_000_000
FLUSH_BEATS = 10
STATS_BEATS = 25
DRAIN_STATS_BEATS = 5
NS_PER_S = 1_000_000_000


class Pulse:
    """Every 10 ms: see how late the loop is and sort what arrived.

    The columns get a block every 100 ms or as soon as a whole one waits; the harness
    gets a stats line every 250 ms, and every 50 ms while draining.
    """

    def __init__(
        self,
        ledger: Ledger,
        senders: Sequence[Sender],
        receivers: Sequence[Receiver],
        say: Callable[[dict[str, Any]], None],
    ) -> None:
        self._ledger = ledger
        self._senders = senders
        self._receivers = receivers
        self._say = say
        self._max_lag_ns = 0

    async def beat(self, draining: Callable[[], bool]) -> None:
        """Beat until cancelled."""
        beats = 0
        while True:
            asleep_ns = monotonic_ns()
            await asyncio.sleep(BEAT_NS / NS_PER_S)
            self._max_lag_ns = max(self._max_lag_ns, monotonic_ns() - asleep_ns - BEAT_NS)
            beats += 1
            for receiver in self._receivers:
                receiver.collect()
            if beats % FLUSH_BEATS == 0:
                for sender in self._senders:
                    sender.commit()
            if beats % FLUSH_BEATS == 0 or self._ledger.full:
                self._ledger.flush()
            if beats % (DRAIN_STATS_BEATS if draining() else STATS_BEATS) == 0:
                self._tell()

    def _tell(self) -> None:
        in_flight = sum(sender.in_flight for sender in self._senders)
        self._say(
            {
                "type": "stats",
                "at_ns": monotonic_ns(),
                "attempted": self._ledger.attempted + in_flight,
                "accepted": self._ledger.accepted,
                "refused": self._ledger.refused,
                "delivered": self._ledger.delivered,
                "in_flight": in_flight,
                "max_lag_s": max(0.0, self._max_lag_ns / NS_PER_S),
            }
        )
        self._max_lag_ns = 0
