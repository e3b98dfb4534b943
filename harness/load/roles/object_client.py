"""Put objects into a store and get them back, on a schedule."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from harness.history.tables import Answer, Integrity, Operation
from harness.load.adapters.base import Client, Emit
from harness.load.adapters.stores import DamagedObject
from harness.load.ledger import Ledger, OperationRow
from harness.load.payload import NO_SEQUENCE
from harness.load.plan import ClientPlan
from harness.load.roles.receiver import Tell
from harness.load.roles.store_client import StoreClient, blank

_CHANCES = 4


class ObjectClient(StoreClient):
    """A client of an object store.

    Every put writes an object of its own, so nothing that succeeded is ever replaced; a
    get reads one that a client of the worker has put. What is read must have the digest
    that was announced, and be what was put.

    Args:
        known: the objects that were put, (client, sequence); shared by the worker's clients.
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
        known: list[tuple[int, int]],
    ) -> None:
        super().__init__(plan, client, ledger, emit, run=run, tell=tell)
        self._store = client.object_store(self.store, plan.timeout_s or 1.0)
        self._known = known
        self._own: list[tuple[int, int]] = []

    async def set_up(self) -> None:
        """Make the store."""
        await self._store.make()

    def choose(self, sequence: int) -> OperationRow:
        """Return what to do next: the first thing is always to put."""
        name = self.dice.choices(list(self.store.mix), list(self.store.mix.values()))[0]
        which = self.dice.random()
        if name == "put" or not self._known:
            return blank(self.plan.id, sequence, 0, Operation.PUT)
        writer, written = self._known[int(which * len(self._known))]
        row = blank(self.plan.id, sequence, 0, Operation.GET)
        return row._replace(writer=writer, written=written)

    async def operate(self, row: OperationRow, body: bytes) -> OperationRow:
        """Carry it out."""
        if row.operation is Operation.GET:
            return await self._get(row)
        await self._store.put(name_of(row.writer, row.written), body)
        self._known.append((row.writer, row.written))
        self._own.append((row.writer, row.written))
        return row._replace(answer=Answer.DONE)

    def what_went_wrong(self, error: Exception) -> Answer:
        """Return what an error says; a put has many steps, of which some may have been taken."""
        answer = self._store.answer_of(error)
        return Answer.UNKNOWN if answer is Answer.CONFLICT else answer

    async def look(self, over: Callable[[], bool]) -> bool:
        """Get every object that it put; what cannot be read is asked for piece by piece.

        A digest that does not hold may be the library's fault, so it is given more chances. It
        may also be that of an object of which chunks are gone.
        """
        for writer, written in self._own[:]:
            damaged = 0
            while not over():
                row = blank(self.plan.id, NO_SEQUENCE, 0, Operation.GET)
                row = row._replace(writer=writer, written=written, invoked_ns=monotonic_ns())
                found = await self._look_at(row)
                if found is not None and found.answer is Answer.REFUSED:
                    damaged += 1
                    found = await self._ask_for_chunks(found) if damaged > _CHANCES else None
                if over():
                    return False
                if found is not None:
                    self.ledger.add_operation(found._replace(returned_ns=monotonic_ns()))
                    break
                await self.try_again()
        return not over()

    async def _look_at(self, row: OperationRow) -> OperationRow | None:
        """Return what was found, None when nothing can be said yet."""
        try:
            return await self._get(row)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told and tried again
            self.emit("error", error=f"last look: {type(error).__name__}: {error}")
        found = await self._ask_for_chunks(row)
        return found if found is not None and found.answer is Answer.ABSENT else None

    async def _ask_for_chunks(self, row: OperationRow) -> OperationRow | None:
        """Return the row, ABSENT where the store lacks chunks; None when it does not say."""
        try:
            lacks = await self._store.lacks(name_of(row.writer, row.written))
        except Exception as error:  # noqa: BLE001 - the same
            self.emit("error", error=f"last look: {type(error).__name__}: {error}")
            return None
        return row._replace(answer=Answer.ABSENT, integrity=Integrity.INTACT) if lacks else row

    async def _get(self, row: OperationRow) -> OperationRow:
        try:
            body = await self._store.get(name_of(row.writer, row.written))
        except DamagedObject:
            return row._replace(answer=Answer.REFUSED, integrity=Integrity.CORRUPTED)
        if body is None:
            return row._replace(answer=Answer.ABSENT)
        header, integrity = self.read(body)
        if integrity is Integrity.INTACT and (header.sender, header.sequence) != (
            row.writer,
            row.written,
        ):
            integrity = Integrity.FOREIGN
        return row._replace(answer=Answer.DONE, integrity=integrity)


def name_of(writer: int, written: int) -> str:
    """Return the name of the object that a client put as its message of that sequence."""
    return f"object-{writer}-{written}"
