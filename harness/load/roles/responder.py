"""Answer every request with its own header."""

from __future__ import annotations

from harness.load.payload import HEADER_BYTES
from harness.load.roles.receiver import Receiver


class Responder(Receiver):
    """A responder."""

    async def set_up(self) -> None:
        """Subscribe, and answer."""
        await self.client.respond(self.plan.subject, self.plan.queue, self.inbox, HEADER_BYTES)
