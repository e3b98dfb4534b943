"""What clients of buckets have in common: operations on a schedule, and a last look."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from random import Random, random
from time import monotonic_ns

from harness.history.tables import Answer, Integrity, Operation, Outcome
from harness.load.adapters.base import Client, Emit
from harness.load.ledger import Ledger, OperationRow
from harness.load.payload import NO_SEQUENCE, Header, Kind, examine
from harness.load.plan import ClientPlan
from harness.load.roles.receiver import Tell
from harness.load.roles.windowed import Windowed
from harness.load.stores import StorePlan

_AGAIN_S = 0.1
# A conflict and an absent key are answers: the store works.
_OUTCOMES = {Answer.REFUSED: Outcome.REFUSED, Answer.UNKNOWN: Outcome.UNKNOWN}


class StoreClient(Windowed):
    """A client of a bucket: each message of its schedule is an operation.

    Its choices come from the worker's seed, in the order of its messages. Once all
    clients have stopped it looks at its share of what should be there until it has seen
    all of it, and tells ``drained`` with its own id.
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
    ) -> None:
        super().__init__(plan, client, ledger, emit, run)
        assert plan.store is not None
        self.store: StorePlan = plan.store
        self.run = run
        self.dice = Random(random())  # the worker has seeded it, if it was to
        self._tell = tell
        self._pending: dict[int, OperationRow] = {}

    @abstractmethod
    async def operate(self, row: OperationRow, body: bytes) -> OperationRow:
        """Carry out an operation and return its row with what was learnt; may raise."""

    @abstractmethod
    def choose(self, sequence: int) -> OperationRow:
        """Return the row of the next operation, as far as it is known beforehand."""

    @abstractmethod
    def what_went_wrong(self, error: Exception) -> Answer:
        """Return what an error says about the effect of an operation."""

    @abstractmethod
    async def look(self, over: Callable[[], bool]) -> bool:
        """Look at everything once more; tell whether all of it was seen before `over`."""

    async def repeat(self, kind: Kind, period_s: float, over: Callable[[], bool]) -> None:  # noqa: ARG002 - the looks have a pace of their own
        """Probe nothing; at the end, look at what is there."""
        if kind is Kind.END_MARKER and await self.look(over):
            self._tell("drained", self.plan.id, [self.plan.id])

    def give_up(self) -> None:
        """Hand the operations in flight to the ledger as unknown."""
        for row in self._pending.values():
            self.ledger.add_operation(row)
        self._pending.clear()
        super().give_up()

    async def try_again(self) -> None:
        """Wait before the next look at something that did not answer."""
        await asyncio.sleep(_AGAIN_S)

    def read(self, body: bytes) -> tuple[Header, Integrity]:
        """Return who wrote a body; what no client wrote as a message is damaged."""
        header, integrity = examine(body, self.run)
        if integrity is Integrity.INTACT and header.sequence == NO_SEQUENCE:
            integrity = Integrity.FOREIGN
        return header, integrity

    async def ask(self, sequence: int, payload: bytes) -> Outcome:
        """Carry out one operation, and return what the load makes of its answer."""
        row = self._pending[sequence] = self.choose(sequence)._replace(invoked_ns=monotonic_ns())
        try:
            row = await self.operate(row, payload)
        except Exception as error:  # noqa: BLE001 - the adapter says what it means
            row = row._replace(answer=self.what_went_wrong(error))
            if row.answer in _OUTCOMES:
                self.tell_why(error)
        if self._pending.pop(sequence, None) is not None:
            self.ledger.add_operation(row._replace(returned_ns=monotonic_ns()))
        return _OUTCOMES.get(row.answer, Outcome.ACKED)


def blank(client: int, sequence: int, key: int, operation: Operation) -> OperationRow:
    """Return the row of an operation whose outcome is open."""
    return OperationRow(
        client=client,
        sequence=sequence,
        key=key,
        operation=operation,
        answer=Answer.UNKNOWN,
        writer=client,
        written=sequence,
        expected=0,
        revision=0,
        invoked_ns=0,
        returned_ns=0,
        integrity=Integrity.INTACT,
    )
