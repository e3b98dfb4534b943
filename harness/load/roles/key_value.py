"""Put, get, update and delete keys of a bucket on a schedule."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from time import monotonic_ns

from harness.history.tables import Answer, Integrity, Operation
from harness.load.adapters.base import Client, Emit
from harness.load.ledger import Ledger, OperationRow
from harness.load.payload import NO_SEQUENCE, Kind
from harness.load.plan import ClientPlan
from harness.load.roles.receiver import Tell
from harness.load.roles.store_client import StoreClient, blank

FENCE = "fence-"  # and the id of the client that wrote it: the last thing a watcher hears of it
KEY = "key-"
_OPERATIONS = {
    "put": Operation.PUT,
    "get": Operation.GET,
    "update": Operation.UPDATE,
    "delete": Operation.DELETE,
}


class KeyValueClient(StoreClient):
    """A client of a key-value bucket.

    An update expects the latest revision that any client of the worker has seen, so that
    it succeeds unless another was quicker. Deletions carry a payload too, which clients
    ignore: so what a get sees is known to be this deletion and no other.

    Args:
        latest: by key, the latest revision seen; shared by the clients of the worker.
    """

    def __init__(
        self,
        plan: ClientPlan,
        client: Client,
        ledger: Ledger,
        emit: Emit,
        *,
        run: int,
        tell: Tell,
        latest: MutableMapping[int, int],
    ) -> None:
        super().__init__(plan, client, ledger, emit, run=run, tell=tell)
        self._bucket = client.key_value(self.store, plan.timeout_s or 1.0)
        self._latest = latest

    async def set_up(self) -> None:
        """Make the bucket."""
        await self._bucket.make()

    def choose(self, sequence: int) -> OperationRow:
        """Return what to do next: the dice are thrown in the order of messages."""
        key = self.dice.randrange(self.store.keys)
        name = self.dice.choices(list(self.store.mix), list(self.store.mix.values()))[0]
        row = blank(self.plan.id, sequence, key, _OPERATIONS[name])
        if row.operation is Operation.UPDATE:
            return row._replace(expected=self._latest.get(key, 0))
        if row.operation is Operation.GET:
            return row._replace(writer=0, written=0)
        return row

    async def operate(self, row: OperationRow, body: bytes) -> OperationRow:
        """Carry it out."""
        key = f"{KEY}{row.key}"
        if row.operation is Operation.GET:
            return await self._get(row, direct=self.store.direct)
        if row.operation is Operation.PUT:
            revision = await self._bucket.put(key, body)
        elif row.operation is Operation.UPDATE:
            revision = await self._bucket.update(key, body, row.expected)
        else:
            revision = await self._bucket.delete(key, body)
        self._saw(row.key, revision)
        return row._replace(answer=Answer.DONE, revision=revision)

    def what_went_wrong(self, error: Exception) -> Answer:
        """Return what an error says."""
        return self._bucket.answer_of(error)

    async def look(self, over: Callable[[], bool]) -> bool:
        """Get every key of its share from the leader, then write the fence."""
        for key in self.store.own_keys:
            while not over():
                row = blank(self.plan.id, NO_SEQUENCE, key, Operation.GET)
                row = row._replace(invoked_ns=monotonic_ns(), writer=0, written=0)
                try:
                    row = await self._get(row, direct=False)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is told and tried again
                    self.emit("error", error=f"last look: {type(error).__name__}: {error}")
                    await self.try_again()
                    continue
                if not over():
                    self.ledger.add_operation(row._replace(returned_ns=monotonic_ns()))
                break
        return await self._fence(over)

    async def _fence(self, over: Callable[[], bool]) -> bool:
        body = self.maker.control(Kind.END_MARKER)
        while not over():
            try:
                await self._bucket.put(f"{FENCE}{self.plan.id}", body)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told and tried again
                self.emit("error", error=f"fence: {type(error).__name__}: {error}")
                await self.try_again()
                continue
            return not over()
        return False

    async def _get(self, row: OperationRow, *, direct: bool) -> OperationRow:
        entry = await self._bucket.get(f"{KEY}{row.key}", direct=direct)
        if entry is None:
            return row._replace(answer=Answer.ABSENT)
        self._saw(row.key, entry.revision)
        header, integrity = self.read(entry.body)
        if integrity is not Integrity.INTACT:
            return row._replace(answer=Answer.DONE, revision=entry.revision, integrity=integrity)
        return row._replace(
            answer=Answer.DONE,
            revision=entry.revision,
            writer=header.sender,
            written=header.sequence,
        )

    def _saw(self, key: int, revision: int) -> None:
        self._latest[key] = max(revision, self._latest.get(key, 0))
