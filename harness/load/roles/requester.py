"""Ask on a schedule; many requests may be in flight, each ends in its own time."""

from __future__ import annotations

from time import monotonic_ns

from harness.history.tables import Integrity, Outcome
from harness.load.payload import HEADER_BYTES, MARK
from harness.load.roles.windowed import Windowed


class Requester(Windowed):
    """A requester."""

    async def ask(self, sequence: int, payload: bytes) -> Outcome:
        """Ask once; a reply that is not the request's header leaves it unknown."""
        try:
            reply = await self.client.request(self.plan.subject, payload, self.timeout_s)
        except Exception as error:  # noqa: BLE001 - the adapter says what it means
            self.tell_why(error)
            return self.client.outcome_of(error)
        if reply[:HEADER_BYTES] != payload[:HEADER_BYTES]:
            self._record_wrong_reply(sequence, reply, monotonic_ns())
            return Outcome.UNKNOWN
        return Outcome.ACKED

    def _record_wrong_reply(self, sequence: int, reply: bytes, received_ns: int) -> None:
        """Keep a reply that is not the request's header as a delivery to the requester."""
        integrity = Integrity.CORRUPTED if reply.startswith(MARK) else Integrity.FOREIGN
        self.ledger.add_delivery(self.plan.id, self.plan.id, sequence, received_ns, integrity)
