"""Consume a stream: pull or be pushed to, acknowledge, and survive what a careful user would."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic_ns

from harness.history.tables import Integrity
from harness.load.adapters.base import Client, ClientFailure, Emit
from harness.load.adapters.streams import (
    ClosedForGoodError,
    ConsumerGoneError,
    Consumption,
    StreamMessage,
)
from harness.load.ledger import Ledger
from harness.load.pacing import NS_PER_S
from harness.load.payload import Kind, examine
from harness.load.plan import ALL, EXPLICIT, ORDERED, ClientPlan, ConsumerPlan
from harness.load.roles.receiver import Tell

SET_UP_LIMIT_S = 15.0
PAUSE_S = 0.1
LOOK_AFTER_NS = 2 * NS_PER_S
DRAIN_PERIOD_S = 0.1


@dataclass(frozen=True)
class Voice:
    """How a consumer's client tells what happens, and how far it is."""

    emit: Emit
    tell: Tell


class StreamConsumer:
    """A client of a consumer.

    It does what a careful user's loop does, and no more: it takes what comes, works on one
    message after the other, acknowledges as planned, and goes on after every error, a tenth
    of a second later. When nothing came for two seconds it asks the server for the
    consumer. One of its own that is gone by the server's word is made again, to begin right
    after the last message before which none was missed; the event `consumer_made` tells
    it. A durable one is never made again here: that it is gone is told as an `error`. An
    ordered one is left to the library.
    """

    def __init__(
        self, plan: ClientPlan, client: Client, ledger: Ledger, voice: Voice, run: int
    ) -> None:
        assert plan.consumer is not None
        assert plan.stream is not None
        self.plan = plan
        self._consumer: ConsumerPlan = plan.consumer
        self._stream = plan.stream
        self._client = client
        self._ledger = ledger
        self._emit = voice.emit
        self._tell = voice.tell
        self._run = run
        self._consumption: Consumption | None = None
        self._open: deque[StreamMessage] = deque()  # received, and not in the ledger yet
        self._handled = 0
        self._expected = 1  # the consumer sequence of the next delivery, while none was missed
        self._resume: int | None = None
        self._missed = False
        self._heard_ns = 0
        self._over = False

    async def set_up(self) -> None:
        """Take part in the consumer; raise ClientFailure when that takes too long."""
        deadline_ns = monotonic_ns() + round(SET_UP_LIMIT_S * NS_PER_S)
        while True:
            try:
                await self._take_part()
            except Exception as error:
                if monotonic_ns() > deadline_ns:
                    raise ClientFailure(
                        f"{self.plan.name}: consumer {self._consumer.name} of stream "
                        f"{self._stream}: {type(error).__name__}: {error}"
                    ) from error
            else:
                return
            await asyncio.sleep(PAUSE_S)

    async def consume(self) -> None:
        """Take and handle messages until `finish`, or until the connection is closed for good."""
        self._heard_ns = monotonic_ns()
        while not self._over:
            try:
                messages = await self._consuming.next()
                if messages:
                    await self._handle(messages)
                    self._heard_ns = monotonic_ns()
                elif monotonic_ns() - self._heard_ns > LOOK_AFTER_NS:
                    self._heard_ns = monotonic_ns()
                    await self._look()
            except ClosedForGoodError:
                return
            except Exception as error:  # noqa: BLE001 - whatever the library raises is told
                self._complain(error)
                await asyncio.sleep(PAUSE_S)
                if monotonic_ns() - self._heard_ns > LOOK_AFTER_NS:
                    self._heard_ns = monotonic_ns()
                    await self._look()

    def confirm(self) -> None:
        """Tell that it is there: a stream keeps messages, so none can pass it by."""
        self._tell("confirmed", self.plan.id, sorted(self.plan.senders))

    async def drain(self) -> None:
        """Tell once everything was handled.

        So it is when the consumer has nothing pending, delivered or not, in two looks in a
        row between which nothing came.
        """
        before: tuple[int, int] | None = None
        while not self._over:
            now = None
            try:
                state = await self._consuming.state()
            except Exception as error:  # noqa: BLE001 - asked again
                self._complain(error)
            else:
                if not (state.pending or state.ack_pending or self._open):
                    now = (self._handled, state.delivered)
            if now is not None and now == before:
                self._tell("drained", self.plan.id, sorted(self.plan.senders))
                return
            before = now
            await asyncio.sleep(DRAIN_PERIOD_S)

    def finish(self) -> None:
        """Put what was received and not handled into the ledger; later it takes no more."""
        self._over = True
        if self._consumption is not None:
            self._open.extend(self._consumption.take())
        for message in self._open:
            self._record(message, acked=False)
        self._open.clear()

    @property
    def _consuming(self) -> Consumption:
        assert self._consumption is not None
        return self._consumption

    async def _take_part(self, start: int | None = None) -> None:
        if self._consumption is None or not self._consumer.durable:
            self._consumption = await self._client.streams.consume(
                self._stream, self._consumer, start
            )
        if self._consumer.durable:
            await self._consumption.state()
        else:
            self._emit("consumer_made", consumer=self._consumption.name, start=start)

    async def _look(self) -> None:
        """See whether the consumer is still there, after a silence; make its own again."""
        try:
            await self._consuming.state()
        except ConsumerGoneError as error:
            self._complain(error)
            if not self._consumer.durable and self._consumer.mode != ORDERED:
                await self._make_again()
        except Exception as error:  # noqa: BLE001 - it says nothing about the consumer
            self._complain(error)

    async def _make_again(self) -> None:
        gone = self._consuming
        try:
            await self._take_part((self._resume or 0) + 1)
            self._expected, self._missed = 1, False
            await gone.end()
        except Exception as error:  # noqa: BLE001 - tried again after the next silence
            self._complain(error)

    async def _handle(self, messages: Sequence[StreamMessage]) -> None:
        self._open.extend(messages)
        each = self._consumer.ack == EXPLICIT
        for message in messages:
            if self._consumer.work_s:
                await asyncio.sleep(self._consumer.work_s)
            if each:
                self._close(1, acked=await self._acknowledge(message))
        if self._consumer.ack == ALL:
            self._close(len(messages), acked=await self._acknowledge(messages[-1]))
        elif not each:
            self._close(len(messages), acked=False)

    async def _acknowledge(self, message: StreamMessage) -> bool:
        if self._over:
            return False
        try:
            await message.acknowledge()
        except Exception as error:  # noqa: BLE001 - the server will deliver it again
            self._complain(error)
            return False
        return True

    def _close(self, count: int, *, acked: bool) -> None:
        if self._over:
            return  # `finish` has recorded them
        for _ in range(count):
            self._record(self._open.popleft(), acked=acked)

    def _record(self, message: StreamMessage, *, acked: bool) -> None:
        header, integrity = examine(message.payload, self._run)
        if integrity is Integrity.INTACT and header.kind != Kind.MESSAGE:
            integrity = Integrity.FOREIGN  # nobody sends probes to a stream
        self._handled += 1
        self._missed = self._missed or message.consumer_sequence != self._expected
        self._expected = message.consumer_sequence + 1
        if not self._missed:
            self._resume = max(self._resume or 0, message.stream_sequence)
        self._ledger.add_consumed(
            self.plan.id,
            sender=header.sender,
            sequence=header.sequence,
            stream_sequence=message.stream_sequence,
            consumer_sequence=message.consumer_sequence,
            delivery=message.delivery,
            received_ns=message.received_ns,
            acked=acked,
            integrity=integrity,
        )

    def _complain(self, error: Exception) -> None:
        self._emit("error", error=f"consumer: {type(error).__name__}: {error}")
