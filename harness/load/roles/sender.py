"""What publishers and requesters have in common: probes, pacing, stopping, end markers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import monotonic_ns

from harness.load.adapters.base import Client, Emit
from harness.load.ledger import Ledger
from harness.load.pacing import NEVER_NS, NS_PER_S
from harness.load.payload import HEADER_BYTES, Kind, PayloadMaker
from harness.load.plan import ClientPlan

PROBE_PERIOD_S = 0.02
END_MARKER_PERIOD_S = 0.05
STOP_GRACE_S = 1.0
# Timers are about a millisecond coarse: what was due just before the stop still goes out.
LAST_CALL_NS = 20_000_000
# How many messages go out before the loop turns: other clients of the worker wait as long.
BURST = 256


class Sender(ABC):
    """A client that sends on a schedule.

    Attributes:
        stop_ns: nothing that is due from here on is attempted.
        last_call_ns: nothing at all is attempted from here on.
        ended: set when pacing is over and nothing is in flight, or was given up.
    """

    def __init__(
        self, plan: ClientPlan, client: Client, ledger: Ledger, emit: Emit, run: int
    ) -> None:
        self.plan = plan
        self.client = client
        self.ledger = ledger
        self.emit = emit
        size = plan.payload_bytes or HEADER_BYTES
        self.maker = PayloadMaker(run, plan.id, size, [text.encode() for text in plan.texts])
        self.stop_ns = NEVER_NS
        self.last_call_ns = NEVER_NS
        self.ended = asyncio.Event()
        self.ended.set()
        self._wakers: list[asyncio.Future[None]] = []

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """Return how many attempts have not ended."""

    @abstractmethod
    async def send(self, first: int, intended_ns: list[int]) -> None:
        """Attempt the messages `first` and on; leave off at `last_call_ns`."""

    @abstractmethod
    async def land(self) -> None:
        """Return once no attempt is in flight."""

    @abstractmethod
    def commit(self) -> None:
        """Hand all ended attempts to the ledger."""

    @abstractmethod
    def give_up(self) -> None:
        """Hand all attempts to the ledger, those in flight as unknown; later ends do not count."""

    async def set_up(self) -> None:  # noqa: B027 - most senders have nothing to prepare
        """Prepare what it sends to, once it is connected."""

    @property
    def grace_s(self) -> float:
        """Return how long after the stop an attempt may take."""
        return STOP_GRACE_S

    async def repeat(self, kind: Kind, period_s: float, over: Callable[[], bool]) -> None:
        """Publish a probe or end marker every `period_s` until `over` says so."""
        payload = self.maker.control(kind)
        while not over():
            try:
                await self.client.publish(self.plan.subject, payload)
            except Exception as error:  # noqa: BLE001 - whatever the library raises is told
                self.emit("error", error=f"{kind.name.lower()}: {type(error).__name__}: {error}")
            await asyncio.sleep(period_s)

    async def pace(self, start_ns: int) -> None:
        """Send every message when it is due, until `stop_ns`."""
        self.ended.clear()
        schedule = self.plan.schedule(start_ns)
        sent = 0
        while (now_ns := monotonic_ns()) < self.last_call_ns:
            due = schedule.count_before(min(now_ns + 1, self.stop_ns))
            if due > sent:
                upto = min(due, sent + BURST)
                await self.send(sent, schedule.due_between(sent, upto))
                sent = upto
                await asyncio.sleep(0)
            elif now_ns >= self.stop_ns:
                break
            else:
                await self._sleep_until(min(schedule.due_ns(sent), self.stop_ns))
        await self.land()
        self.commit()
        self.ended.set()

    def stop(self, at_ns: int) -> None:
        """Attempt nothing that is due from `at_ns` on."""
        self.stop_ns = min(self.stop_ns, at_ns)
        self.last_call_ns = self.stop_ns + LAST_CALL_NS
        self.wake()

    async def settle(self) -> None:
        """Return once nothing is in flight; after the stop and the grace, give up what is."""
        limit_s = max(0.0, (self.stop_ns - monotonic_ns()) / NS_PER_S) + self.grace_s
        try:
            async with asyncio.timeout(limit_s):
                await self.ended.wait()
        except TimeoutError:
            self.give_up()
            self.ended.set()

    def wake(self) -> None:
        """Let whoever waits look again at what it waits for."""
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)

    async def wait_awake(self, limit_s: float) -> None:
        """Return when woken or after `limit_s`."""
        loop = asyncio.get_running_loop()
        waker: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(limit_s, _release, waker)
        self._wakers.append(waker)
        try:
            await waker
        finally:
            timer.cancel()
            self._wakers.remove(waker)

    async def _sleep_until(self, at_ns: int) -> None:
        await self.wait_awake(max(0.0, (at_ns - monotonic_ns()) / NS_PER_S))


def _release(waker: asyncio.Future[None]) -> None:
    if not waker.done():
        waker.set_result(None)
