"""Ask on a schedule; many requests may be in flight, each ends in its own time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic_ns

from harness.history.tables import Integrity, Outcome
from harness.load.adapters.base import Client, Emit
from harness.load.ledger import Ledger
from harness.load.payload import HEADER_BYTES, MARK
from harness.load.plan import ClientPlan
from harness.load.roles.sender import STOP_GRACE_S, Sender


@dataclass(frozen=True, slots=True)
class _Request:
    intended_ns: int
    attempted_ns: int
    connected: int


class Requester(Sender):
    """A requester. Above `max_in_flight` it is late, and the schedule shows it."""

    def __init__(
        self, plan: ClientPlan, client: Client, ledger: Ledger, emit: Emit, run: int
    ) -> None:
        super().__init__(plan, client, ledger, emit, run)
        self._timeout_s = plan.timeout_s or 1.0
        self._max_in_flight = plan.max_in_flight or 1
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests: dict[int, _Request] = {}

    @property
    def in_flight(self) -> int:
        """Return how many requests wait for their reply."""
        return len(self._requests)

    @property
    def grace_s(self) -> float:
        """Return how long after the stop a request may take: its own time-out, and a little."""
        return self._timeout_s + STOP_GRACE_S

    async def send(self, first: int, intended_ns: list[int]) -> None:
        """Start the requests `first` and on; leave off at `last_call_ns`."""
        payloads = self.maker.batch(first, intended_ns)
        for index, payload in enumerate(payloads):
            while len(self._tasks) >= self._max_in_flight and monotonic_ns() < self.last_call_ns:
                await self.wait_awake(STOP_GRACE_S)
            if monotonic_ns() >= self.last_call_ns:
                return
            task = asyncio.create_task(self._ask(first + index, intended_ns[index], payload))
            self._tasks.add(task)
            task.add_done_callback(self._landed)

    async def land(self) -> None:
        """Return once every request has ended."""
        while self._tasks:
            await self.wait_awake(STOP_GRACE_S)

    def commit(self) -> None:
        """Do nothing: each request goes into the ledger as it ends."""

    def give_up(self) -> None:
        """Hand the requests in flight to the ledger as unknown."""
        for sequence, request in self._requests.items():
            self._record(sequence, request, 0, Outcome.UNKNOWN)
        self._requests.clear()

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.wake()

    async def _ask(self, sequence: int, intended_ns: int, payload: bytes) -> None:
        connected = int(self.client.connected())
        attempted_ns = monotonic_ns()
        if attempted_ns >= self.last_call_ns:
            return
        request = _Request(intended_ns, attempted_ns, connected)
        self._requests[sequence] = request
        try:
            reply = await self.client.request(self.plan.subject, payload, self._timeout_s)
        except Exception as error:  # noqa: BLE001 - the adapter says what it means
            finished_ns, outcome = monotonic_ns(), self.client.outcome_of(error)
        else:
            finished_ns, outcome = monotonic_ns(), Outcome.ACKED
            if reply[:HEADER_BYTES] != payload[:HEADER_BYTES]:
                outcome = Outcome.UNKNOWN
                self._record_wrong_reply(sequence, reply, finished_ns)
        if self._requests.pop(sequence, None) is not None:
            self._record(sequence, request, finished_ns, outcome)

    def _record(self, sequence: int, request: _Request, finished_ns: int, outcome: Outcome) -> None:
        self.ledger.add_attempt(
            self.plan.id,
            sequence=sequence,
            intended_ns=request.intended_ns,
            attempted_ns=request.attempted_ns,
            finished_ns=finished_ns,
            outcome=outcome,
            connected=request.connected,
        )

    def _record_wrong_reply(self, sequence: int, reply: bytes, received_ns: int) -> None:
        """Keep a reply that is not the request's header as a delivery to the requester."""
        integrity = Integrity.CORRUPTED if reply.startswith(MARK) else Integrity.FOREIGN
        self.ledger.add_delivery(self.plan.id, self.plan.id, sequence, received_ns, integrity)
