"""One worker as the harness sees it: its process, its channel and what it has told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anyio

from harness.cluster.protocols import Process
from harness.errors import WorkerError
from harness.history.tables import DELIVERED, SENT
from harness.load.line import Line
from harness.load.plan import ClientPlan, WorkerPlan

SEND_LIMIT_S = 5.0
LOG_LINES = 5
_SHOWN = 200
_CONNECTIONS = {"connected": True, "reconnected": True}
_LOST = frozenset({"sign", "disconnected", "closed"})


@dataclass(frozen=True)
class WorkerStats:
    """A worker's figures at one moment; counts since its start, `max_lag_s` since the last line."""

    at_ns: int
    attempted: int
    accepted: int
    refused: int
    delivered: int
    in_flight: int
    max_lag_s: float


NO_STATS = WorkerStats(0, 0, 0, 0, 0, 0, 0.0)


@dataclass
class Member:
    """A worker and the state that its lines add up to.

    Attributes:
        steps: the steps it has reached: ready, connected, stopped, done.
        servers: "host:port" by client id, while connected.
        confirmed: sender ids heard by probe, by receiver id; `drained` likewise by end marker.
        lines: how many lines it has said; a watchdog sees by it that the worker lives.
        failed: what went wrong, told once.
    """

    plan: WorkerPlan
    process: Process
    line: Line
    log: Path
    tell: Callable[..., None]
    steps: set[str] = field(default_factory=set)
    servers: dict[int, str] = field(default_factory=dict)
    confirmed: dict[int, frozenset[int]] = field(default_factory=dict)
    drained: dict[int, frozenset[int]] = field(default_factory=dict)
    stats: WorkerStats = NO_STATS
    lines: int = 0
    failed: WorkerError | None = None
    clients: dict[int, ClientPlan] = field(init=False)

    def __post_init__(self) -> None:
        self.clients = {client.id: client for client in self.plan.clients}

    @property
    def name(self) -> str:
        """Return the worker's name."""
        return self.plan.worker

    @property
    def done(self) -> bool:
        """Tell whether its columns are complete."""
        return "done" in self.steps

    async def send(self, line: str) -> None:
        """Send one line; a worker that is gone is noticed by `listen`, not here."""
        with anyio.move_on_after(SEND_LIMIT_S) as bound:
            await self.line.send(line)
        if bound.cancelled_caught:
            self.fail(f"has not read its commands for {SEND_LIMIT_S:g} s")

    def fail(self, what: str) -> None:
        """Note what is wrong, unless something was before, and hang up: `listen` returns."""
        if self.failed is None:
            self.failed = self.trouble(what)
        self.line.hang_up()

    async def listen(self, changed: Callable[[], None]) -> None:
        """Take in every line until the worker closes its end; never raises for what it says."""
        while self.failed is None:
            try:
                lines = await self.line.receive()
            except anyio.EndOfStream:
                return
            except WorkerError as error:
                self.fail(str(error))
                return
            for line in lines:
                if self.failed is None:
                    self._take_in(line)
            changed()

    def trouble(self, what: str) -> WorkerError:
        """Return the one error for what is wrong with this worker, with the end of its log."""
        tail = self.log_tail()
        said = f"; the last lines of its log:\n{tail}" if tail else ""
        return WorkerError(f"worker {self.name} {what}{said}")

    def log_tail(self) -> str:
        """Return the last lines that the worker wrote to stderr, indented."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(f"  {line}" for line in text.splitlines()[-LOG_LINES:])

    def _take_in(self, line: bytes) -> None:
        self.lines += 1
        try:
            message = json.loads(line)
            self._apply(message["type"], message)
        except (ValueError, KeyError, TypeError, AttributeError):
            shown = line[:_SHOWN].decode(errors="replace")
            self.fail(f"broke its protocol, it said: {shown!r}")

    def _apply(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "stats":
            self._take_stats(message)
        elif kind == "event":
            self._take_event(message)
        elif kind in ("confirmed", "drained"):
            self._take_senders(kind, message)
        elif kind == "ready":
            self.tell("worker.ready", adapter=message["adapter"], python=message["python"])
        elif kind == "done":
            told = dict(message["rows"])
            rows = {table: int(told.pop(table)) for table in (SENT.name, DELIVERED.name)}
            rows |= {str(table): int(count) for table, count in told.items()}
            self.tell("worker.done", rows=rows)
        elif kind == "error":
            self.fail(f"cannot go on: {message['message']}")
        elif kind not in ("connected", "stopped"):
            raise ValueError(kind)
        if kind in ("ready", "connected", "stopped", "done"):
            self.steps.add(kind)

    def _take_stats(self, message: dict[str, Any]) -> None:
        counts = {
            name: int(message[name])
            for name in ("at_ns", "attempted", "accepted", "delivered", "in_flight")
        }
        self.stats = WorkerStats(
            **counts, refused=int(message.get("refused", 0)), max_lag_s=float(message["max_lag_s"])
        )
        self.tell("worker.stats", **asdict(self.stats))
        if self.stats.max_lag_s > 0.05:  # noqa: PLR2004 - docs/history.md, worker.lagged
            self.tell("worker.lagged", at_ns=self.stats.at_ns, max_lag_s=self.stats.max_lag_s)

    def _take_event(self, message: dict[str, Any]) -> None:
        client = self.clients[message["client"]]
        kind, at_ns = str(message["kind"]), int(message["at_ns"])
        if kind in _CONNECTIONS:
            self.servers[client.id] = str(message["server"])
        elif kind in _LOST:
            self.servers.pop(client.id, None)
        facts = {
            key: value
            for key, value in message.items()
            if key not in ("type", "kind", "at_ns", "client")
        }
        self.tell(f"client.{kind}", at_ns=at_ns, client=client.name, **facts)

    def _take_senders(self, kind: str, message: dict[str, Any]) -> None:
        client = self.clients[message["client"]]
        senders = frozenset(int(sender) for sender in message["senders"])
        if kind == "drained":
            self.drained[client.id] = senders
            return
        self.confirmed[client.id] = senders
        self.tell("subscription.confirmed", client=client.name, senders=sorted(senders))
