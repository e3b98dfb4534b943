"""Receive whatever comes on a subject, alone or as a member of a queue group."""

from __future__ import annotations

from harness.load.roles.receiver import Receiver


class Subscriber(Receiver):
    """A subscriber."""

    async def set_up(self) -> None:
        """Subscribe."""
        await self.client.subscribe(self.plan.subject, self.plan.queue, self.inbox)
