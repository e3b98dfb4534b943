"""Publish messages on a schedule; one attempt at a time, in order."""

from __future__ import annotations

import asyncio
from time import monotonic_ns

from harness.history.tables import Outcome
from harness.load.adapters.base import Client, Emit
from harness.load.ledger import Ledger
from harness.load.plan import ClientPlan
from harness.load.roles.sender import Sender


class Publisher(Sender):
    """A publisher.

    An attempt begins where the one before ended, or where its burst began: nothing but
    the loop below happens in between, and one reading of the clock a message is saved.
    The lists hold the attempts of the present burst that the ledger does not have yet;
    all of them began in the same state of the connection.
    """

    def __init__(
        self, plan: ClientPlan, client: Client, ledger: Ledger, emit: Emit, run: int
    ) -> None:
        super().__init__(plan, client, ledger, emit, run)
        self._first = 0
        self._begun_ns = 0
        self._intended_ns: list[int] = []
        self._finished_ns: list[int] = []
        self._exceptions: dict[int, Outcome] = {}
        self._connected = 0
        self._bursting = False
        self._given_up = False

    @property
    def in_flight(self) -> int:
        """Return 1 while a publish has not returned: others only see a burst that waits in one."""
        return int(self._bursting and not self._given_up)

    async def send(self, first: int, intended_ns: list[int]) -> None:
        """Publish the messages `first` and on; leave off at `last_call_ns`."""
        self._first, self._intended_ns = first, intended_ns
        publish, subject, end = self.client.publish, self.plan.subject, self._finished_ns.append
        payloads = self.maker.batch(first, intended_ns)
        self._bursting = True
        turned = self._watch_turn()
        now_ns = self._begun_ns = monotonic_ns()
        for payload in payloads:
            if now_ns >= self.last_call_ns:
                break
            try:
                await publish(subject, payload)
            except Exception as error:  # noqa: BLE001 - the adapter says what it means
                self._exceptions[len(self._finished_ns)] = self.client.outcome_of(error)
            if turned and self._given_up:
                return
            now_ns = monotonic_ns()
            end(now_ns)
            if turned:
                self.commit()
                turned = self._watch_turn()
        self._bursting = False
        self.commit()

    async def land(self) -> None:
        """Return at once: `send` does not return before its attempts ended."""

    def commit(self) -> None:
        """Hand all ended attempts to the ledger, also while one is in flight."""
        rows = len(self._finished_ns)
        if not rows:
            return
        finished_ns = self._finished_ns[:]
        self.ledger.add_sent(
            self.plan.id,
            first=self._first,
            intended_ns=self._intended_ns[:rows],
            begun_ns=self._begun_ns,
            finished_ns=finished_ns,
            exceptions=self._exceptions,
            connected=self._connected,
        )
        self._first += rows
        self._begun_ns = finished_ns[-1]
        self._exceptions = {}
        del self._intended_ns[:rows], self._finished_ns[:rows]

    def give_up(self) -> None:
        """Hand all attempts to the ledger; the one in flight is unknown and never ended."""
        self.commit()
        if self.in_flight:
            self.ledger.add_attempt(
                self.plan.id,
                sequence=self._first,
                intended_ns=self._intended_ns[0],
                attempted_ns=self._begun_ns,
                finished_ns=0,
                outcome=Outcome.UNKNOWN,
                connected=self._connected,
            )
        self._given_up = True

    def _watch_turn(self) -> list[bool]:
        """Note whether the library is connected; return a list that fills when the loop turns.

        Only then can the connection's state change or others look at this sender, and
        asking the library for every message would cost a tenth of a publish.
        """
        self._connected = int(self.client.connected())
        turned: list[bool] = []
        asyncio.get_running_loop().call_soon(turned.append, True)
        return turned
