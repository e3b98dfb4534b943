"""Senders whose messages each end by an answer: several wait for theirs at a time."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from dataclasses import dataclass
from time import monotonic_ns

from harness.history.tables import Outcome
from harness.load.adapters.base import Client, Emit
from harness.load.ledger import Ledger
from harness.load.plan import ClientPlan
from harness.load.roles.sender import STOP_GRACE_S, Sender

REASONS = 10  # that one client tells


@dataclass(frozen=True, slots=True)
class _Attempt:
    intended_ns: int
    attempted_ns: int
    connected: int


class Windowed(Sender):
    """A sender with a window. Above `max_in_flight` it is late, and the schedule shows it."""

    def __init__(
        self, plan: ClientPlan, client: Client, ledger: Ledger, emit: Emit, run: int
    ) -> None:
        super().__init__(plan, client, ledger, emit, run)
        self.timeout_s = plan.timeout_s or 1.0
        self._max_in_flight = plan.max_in_flight or 1
        self._tasks: set[asyncio.Task[None]] = set()
        self._attempts: dict[int, _Attempt] = {}
        self._told: set[str] = set()

    @abstractmethod
    async def ask(self, sequence: int, payload: bytes) -> Outcome:
        """Send one message and return what became of it; `waits_for` tells whether to go on."""

    @property
    def in_flight(self) -> int:
        """Return how many messages wait for their answer."""
        return len(self._attempts)

    @property
    def grace_s(self) -> float:
        """Return how long after the stop an answer may take: its own time-out, and a little."""
        return self.timeout_s + STOP_GRACE_S

    def tell_why(self, error: Exception) -> None:
        """Tell why a message was refused or stayed unknown: each reason once, the first few."""
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        if reason not in self._told and len(self._told) < REASONS:
            self._told.add(reason)
            self.emit("error", error=f"refused or unknown: {reason}")

    def waits_for(self, sequence: int) -> bool:
        """Tell whether a message is in flight and was not given up."""
        return sequence in self._attempts

    async def send(self, first: int, intended_ns: list[int]) -> None:
        """Start the attempts `first` and on; leave off at `last_call_ns`."""
        payloads = self.maker.batch(first, intended_ns)
        for index, payload in enumerate(payloads):
            while len(self._tasks) >= self._max_in_flight and monotonic_ns() < self.last_call_ns:
                await self.wait_awake(STOP_GRACE_S)
            if monotonic_ns() >= self.last_call_ns:
                return
            task = asyncio.create_task(
                self._see_through(first + index, intended_ns[index], payload)
            )
            self._tasks.add(task)
            task.add_done_callback(self._landed)

    async def land(self) -> None:
        """Return once every attempt has ended."""
        while self._tasks:
            await self.wait_awake(STOP_GRACE_S)

    def commit(self) -> None:
        """Do nothing: each message goes into the ledger as it ends."""

    def give_up(self) -> None:
        """Hand the messages in flight to the ledger as unknown."""
        for sequence, attempt in self._attempts.items():
            self._record(sequence, attempt, 0, Outcome.UNKNOWN)
        self._attempts.clear()

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.wake()

    async def _see_through(self, sequence: int, intended_ns: int, payload: bytes) -> None:
        connected = int(self.client.connected())
        attempted_ns = monotonic_ns()
        if attempted_ns >= self.last_call_ns:
            return
        attempt = _Attempt(intended_ns, attempted_ns, connected)
        self._attempts[sequence] = attempt
        outcome = await self.ask(sequence, payload)
        finished_ns = monotonic_ns()
        if self._attempts.pop(sequence, None) is not None:
            self._record(sequence, attempt, finished_ns, outcome)

    def _record(self, sequence: int, attempt: _Attempt, finished_ns: int, outcome: Outcome) -> None:
        self.ledger.add_attempt(
            self.plan.id,
            sequence=sequence,
            intended_ns=attempt.intended_ns,
            attempted_ns=attempt.attempted_ns,
            finished_ns=finished_ns,
            outcome=outcome,
            connected=attempt.connected,
        )
