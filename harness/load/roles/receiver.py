"""What subscribers and responders have in common: sorting what arrives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from harness.history.tables import Integrity
from harness.load.adapters.base import Client, Inbox
from harness.load.ledger import Ledger
from harness.load.payload import Header, Kind, examine, intact_messages
from harness.load.plan import ClientPlan

Tell = Callable[[str, int, list[int]], None]


class Receiver(ABC):
    """A client that receives.

    `tell` is called with "confirmed" or "drained", the client's id and the ids of the
    senders heard so far, whenever a probe or end marker makes that list longer.
    """

    def __init__(
        self, plan: ClientPlan, client: Client, ledger: Ledger, tell: Tell, run: int
    ) -> None:
        self.plan = plan
        self.client = client
        self._ledger = ledger
        self._tell = tell
        self._run = run
        self.inbox = Inbox()
        self._heard: dict[str, set[int]] = {"confirmed": set(), "drained": set()}

    @abstractmethod
    async def set_up(self) -> None:
        """Subscribe."""

    def collect(self) -> None:
        """Sort what has arrived: messages into the ledger, probes and end markers told."""
        if not self.inbox.payloads:
            return
        payloads, received_ns = self.inbox.take()
        if (messages := intact_messages(payloads, self._run)) is not None:
            self._ledger.add_delivered(
                self.plan.id, messages.senders, messages.sequences, received_ns
            )
            return
        for payload, at_ns in zip(payloads, received_ns, strict=True):
            header, integrity = examine(payload, self._run)
            if integrity is Integrity.INTACT and header.kind != Kind.MESSAGE:
                self._hear(header)
            else:
                self._ledger.add_delivery(
                    self.plan.id, header.sender, header.sequence, at_ns, integrity
                )

    def _hear(self, header: Header) -> None:
        what = "confirmed" if header.kind == Kind.PROBE else "drained"
        heard = self._heard[what]
        if header.sender in self.plan.senders and header.sender not in heard:
            heard.add(header.sender)
            self._tell(what, self.plan.id, sorted(heard))
