"""Watch all keys of a bucket."""

from __future__ import annotations

from harness.history.tables import Answer, Integrity, Operation
from harness.load.adapters.base import Client
from harness.load.adapters.stores import Change
from harness.load.ledger import Ledger
from harness.load.payload import NO_SEQUENCE, examine
from harness.load.plan import ClientPlan
from harness.load.roles.key_value import FENCE, KEY
from harness.load.roles.receiver import Receiver, Tell
from harness.load.roles.store_client import blank


class Watcher(Receiver):
    """A watcher; it has heard all of a client once it is told of the client's fence."""

    def __init__(
        self, plan: ClientPlan, client: Client, ledger: Ledger, tell: Tell, run: int
    ) -> None:
        super().__init__(plan, client, ledger, tell, run)
        assert plan.store is not None
        self._bucket = client.key_value(plan.store, plan.timeout_s or 1.0)
        self._changes: list[Change] = []
        self._fences: set[int] = set()

    async def set_up(self) -> None:
        """Make the bucket unless its clients have, and watch it."""
        await self._bucket.make()
        await self._bucket.watch(self._changes.append)

    def collect(self) -> None:
        """Write down what was told; tell which clients' fences were heard."""
        changes = self._changes[:]
        del self._changes[: len(changes)]
        for change in changes:
            if change.key.startswith(FENCE):
                self._hear_fence(int(change.key.removeprefix(FENCE)))
            elif change.key.startswith(KEY):
                self._write(int(change.key.removeprefix(KEY)), change)

    def _hear_fence(self, sender: int) -> None:
        if sender in self.plan.senders and sender not in self._fences:
            self._fences.add(sender)
            self._tell("drained", self.plan.id, sorted(self._fences))

    def _write(self, key: int, change: Change) -> None:
        header, integrity = examine(change.body, self._run)
        if integrity is Integrity.INTACT and header.sequence == NO_SEQUENCE:
            integrity = Integrity.FOREIGN
        known = integrity is Integrity.INTACT
        self._ledger.add_operation(
            blank(self.plan.id, 0, key, Operation.WATCH)._replace(
                answer=Answer.DONE,
                writer=header.sender if known else 0,
                written=header.sequence if known else 0,
                revision=change.revision,
                invoked_ns=change.received_ns,
                returned_ns=change.received_ns,
                integrity=integrity,
            )
        )
