"""Publish to a stream on a schedule; a message has succeeded once JetStream acknowledged it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from harness.history.tables import Outcome
from harness.load.adapters.base import Client, Emit
from harness.load.adapters.streams import StreamAck
from harness.load.ledger import Ledger
from harness.load.payload import Kind
from harness.load.plan import ClientPlan
from harness.load.roles.windowed import Windowed


class StreamPublisher(Windowed):
    """A publisher to a stream.

    It publishes a message again, as its plan allows, after any attempt that was not
    acknowledged; each attempt has the plan's time-out. A message is acked if an attempt
    was; otherwise unknown if the outcome of any attempt is; otherwise refused.

    An acknowledgement that names another stream or sequence 0 proves nothing: the message
    is unknown, and the event `misacked` keeps what was said.
    """

    def __init__(
        self, plan: ClientPlan, client: Client, ledger: Ledger, emit: Emit, run: int
    ) -> None:
        super().__init__(plan, client, ledger, emit, run)
        self._publish = client.streams.publish
        self._name_id = plan.retry is not None and plan.retry.msg_id
        self._id_stem = f"{run}-{plan.id}-"

    async def repeat(self, kind: Kind, period_s: float, over: Callable[[], bool]) -> None:
        """Publish neither probes nor end markers: a stream would keep them."""

    async def ask(self, sequence: int, payload: bytes) -> Outcome:
        """Publish until it is acknowledged, given up, or was tried as often as is planned."""
        retry = self.plan.retry
        most = 1 if retry is None else 1 + retry.max
        outcome = Outcome.REFUSED
        for attempts in range(1, most + 1):
            found = await self._try(sequence, payload, attempts)
            if found is Outcome.ACKED or not self.waits_for(sequence):
                return found
            if found is not Outcome.REFUSED:
                outcome = Outcome.UNKNOWN
            if retry is not None and attempts < most:
                await asyncio.sleep(retry.wait_s)
        return outcome

    async def _try(self, sequence: int, payload: bytes, attempts: int) -> Outcome:
        message_id = f"{self._id_stem}{sequence}" if self._name_id else None
        try:
            ack = await self._publish(self.plan.subject, payload, self.timeout_s, message_id)
        except Exception as error:  # noqa: BLE001 - the adapter says what it means
            self.tell_why(error)
            return self.client.outcome_of(error)
        if ack.stream != self.plan.stream or ack.sequence < 1:
            self._complain(sequence, ack)
            return Outcome.UNKNOWN
        if self.waits_for(sequence):
            self.ledger.add_ack(
                self.plan.id, sequence, ack.sequence, duplicate=ack.duplicate, attempts=attempts
            )
        return Outcome.ACKED

    def _complain(self, sequence: int, ack: StreamAck) -> None:
        self.emit("misacked", sequence=sequence, stream=ack.stream, stream_sequence=ack.sequence)
