"""What the events of one iteration say, as frozen data. All times are monotonic ns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.history.tables import ACKS, CONSUMED, OPERATIONS, Table

Event = Mapping[str, Any]
Columns = Mapping[str, npt.NDArray[Any]]


def empty(table: Table) -> Columns:
    """Return the columns of a table without rows."""
    return {name: np.empty(0, kind) for name, kind in table.columns}


SENDERS = ("publisher", "requester", "user")
ASKING = ("requester", "user")
RECEIVERS = ("subscriber", "responder")


@dataclass(frozen=True)
class Client:
    """A planned client; `senders` are the ids a receiver hears, `rate` is per second.

    A sender with `due_s` has no rate: message k is due so many seconds after the start of
    the load, in ascending order, and says `texts[k]`.
    `stream` is where a publisher publishes to or a consumer's client consumes from, None for
    core NATS; `consumer` what the scenario calls the consumer, `config` what was asked of it, as
    the server spells it; empty where that was not told.
    """

    id: int
    name: str
    role: str
    workload: str
    worker: str
    queue: str | None = None
    senders: tuple[int, ...] = ()
    rate: float = 0.0
    offset_s: float = 0.0
    due_s: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def listed(self) -> bool:
        """Tell whether its messages are listed, each with its time, instead of a rate."""
        return bool(self.due_s)

    stream: str | None = None
    consumer: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def sends(self) -> bool:
        """Tell whether it publishes or requests."""
        return self.role in SENDERS

    @property
    def asks(self) -> bool:
        """Tell whether its messages succeed by an answer: a reply, a bucket's, a PubAck."""
        return self.role in ASKING or (self.sends and self.stream is not None)

    @property
    def receives(self) -> bool:
        """Tell whether it subscribes or responds."""
        return self.role in RECEIVERS


@dataclass(frozen=True)
class Phase:
    """A phase as it was recorded; `end_ns` is None when it was broken off."""

    name: str
    start_ns: int
    end_ns: int | None


@dataclass(frozen=True)
class Hit:
    """The instant a fault struck a node.

    Attributes:
        silent: its effect shows only as missing answers, not as a closed connection.
        groups: the client groups whose connections to the node it struck; None for all.
        burdens: a connection to the node that is lost all the same is explained by it.
        peers: the nodes whose routes with the node it struck; None where it struck the
            node itself, or the history is of before this was told.
    """

    at_ns: int
    node: str
    how: str
    silent: bool = False
    groups: tuple[str, ...] | None = None
    burdens: bool = False
    peers: tuple[str, ...] | None = None

    def strikes(self, client: Client) -> bool:
        """Tell whether it struck the client's connection, if that led to the node."""
        return self.groups is None or client.worker in self.groups


@dataclass(frozen=True)
class Observation:
    """One piece of proof; `edge` is ``effect``, ``held`` (right before the heal) or ``undo``."""

    at_ns: int
    node: str
    what: str
    edge: str


@dataclass(frozen=True)
class ProbedLink:
    """How many probes were sent over a link, and arrived; `cut` says that none was to pass.

    `via` is what stood in for the network, None where nothing did.
    """

    source: str
    target: str
    cut: bool
    sent: int
    received: int
    via: str | None = None

    @property
    def name(self) -> str:
        """Return how people write the link."""
        return f"{self.source}->{self.target}"


@dataclass(frozen=True)
class Probing:
    """One look at links by probes.

    `edge` is ``before``, ``during``, ``held`` (right before the heal) or ``after`` the cut.
    """

    at_ns: int
    edge: str
    links: tuple[ProbedLink, ...]


@dataclass(frozen=True)
class Failure:
    """What went wrong at an edge of a fault."""

    at_ns: int
    message: str
    edge: str


@dataclass(frozen=True)
class FaultWindow:
    """A fault from the start of its injection to the end of its healing, as far as it came.

    Attributes:
        shaped: the links, (from, to), that were measured while it shaped them.
        watched: its effect lasts, and was to be looked at once more right before the heal.
        late_s: how much later than planned it began, since others were still being healed.
        waited_for: the names of these.
        behind_s: how much later than it was due it began, beside any wait for others.
        hold_s: how long its effect was to be held; None where that was not for the harness
            to say, or the history is of before this was told.
    """

    name: str
    action: str
    targets: tuple[str, ...] = ()
    inject_started_ns: int | None = None
    injected_ns: int | None = None
    heal_started_ns: int | None = None
    healed_ns: int | None = None
    hits: tuple[Hit, ...] = ()
    observations: tuple[Observation, ...] = ()
    failures: tuple[Failure, ...] = ()
    probings: tuple[Probing, ...] = ()
    shaped: frozenset[tuple[str, str]] = frozenset()
    watched: bool = False
    late_s: float = 0.0
    waited_for: tuple[str, ...] = ()
    behind_s: float = 0.0
    hold_s: float | None = None

    def shapes(self, client: Client, server: str | None) -> bool:
        """Tell whether it shaped what is between a client and a server, in either direction."""
        return any({client.worker, server} == {*link} for link in self.shaped)

    def effect_ns(self, hit: Hit) -> int:
        """Return when the effect of a hit was seen: a message attempted later was under it."""
        seen = [
            one.at_ns
            for one in self.observations
            if one.edge == "effect" and one.node == hit.node and one.at_ns >= hit.at_ns
        ]
        return min(seen, default=max(hit.at_ns, self.injected_ns or hit.at_ns))

    def undo_ns(self, hit: Hit) -> int | None:
        """Return when the undo was seen at the node of a hit; None when it never was."""
        seen = [
            one.at_ns
            for one in self.observations
            if one.edge == "undo" and one.node == hit.node and one.at_ns >= hit.at_ns
        ]
        return min(seen, default=self.healed_ns)


@dataclass(frozen=True)
class WorkerLedger:
    """How far the columns of a worker can be trusted.

    Attributes:
        said: rows of (sent, delivered) by its own account, and then of the other tables that
            have any, in the order of `TABLES`; None when it never said.
        read: the same rows that were read.
        problem: why the columns are not whole; None when they are.
        lost_ns: when it ended before it was done; None when it did not.
    """

    said: tuple[int, ...] | None
    read: tuple[int, ...]
    problem: str | None = None
    lost_ns: int | None = None

    @property
    def whole(self) -> bool:
        """Tell whether every row that the worker wrote was read."""
        return self.problem is None and self.lost_ns is None and self.said == self.read


@dataclass(frozen=True)
class Iteration:
    """One pass through the phases: its events, and what they and the columns say.

    Attributes:
        phases: in the order of their starts.
        sent: the columns of `harness.history.tables.SENT`, each of shape (messages,).
        delivered: the columns of `DELIVERED`, each of shape (deliveries,).
        acks, consumed, operations: the columns of `ACKS`, `CONSUMED` and `OPERATIONS`; empty
            without JetStream.
        stored: the columns of `STORED` by (stream, node): what an audit read there.
        load_start_ns: when message 0 was due, before offsets; None without traffic.
        load_stop_ns: nothing was due at this time or later; in an iteration that was cut
            short, just after the last attempt, for what follows is clean-up.
        drained: every fence arrived, so what is absent is lost and not late.
        end_ns: the end of what was observed: of drain, or where the iteration was cut.
        collected: the iteration went through all its phases.
        schedule: the plain faults that it set out to carry out; None where it did not say.
    """

    index: int
    events: tuple[Event, ...]
    phases: tuple[Phase, ...]
    clients: tuple[Client, ...]
    faults: tuple[FaultWindow, ...]
    workers: Mapping[str, WorkerLedger]
    sent: Columns
    delivered: Columns
    start_ns: int
    load_start_ns: int | None
    load_stop_ns: int | None
    drained: bool
    end_ns: int
    collected: bool
    acks: Columns = field(default_factory=lambda: empty(ACKS))
    consumed: Columns = field(default_factory=lambda: empty(CONSUMED))
    operations: Columns = field(default_factory=lambda: empty(OPERATIONS))
    stored: Mapping[tuple[str, str], Columns] = field(default_factory=lambda: MappingProxyType({}))
    subjects: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    schedule: tuple[Mapping[str, Any], ...] | None = None

    def fault_names(self, scenario: Mapping[str, Any]) -> frozenset[str]:
        """Return the names of the faults that it was to carry out, and of any that it did."""
        planned = (scenario.get("faults") or ()) if self.schedule is None else self.schedule
        return frozenset(str(step["name"]) for step in planned) | {one.name for one in self.faults}

    def of_kind(self, *kinds: str) -> tuple[Event, ...]:
        """Return the events of these kinds, in the order they were recorded."""
        return tuple(event for event in self.events if event["kind"] in kinds)

    @property
    def whole(self) -> bool:
        """Tell whether the columns of every worker are whole."""
        return all(worker.whole for worker in self.workers.values())

    def trusts(self, client: Client) -> bool:
        """Tell whether the columns of the client's worker are whole."""
        worker = self.workers.get(client.worker)
        return worker is not None and worker.whole

    def relative_s(self, at_ns: int) -> float:
        """Return a time as seconds since the start of the iteration."""
        return (at_ns - self.start_ns) / 1e9

    def due(self, client: Client, from_ns: int, to_ns: int) -> int:
        """Return how many messages of a sender were due from one time to before another."""
        if client.listed:
            due_ns = self.listed_ns(client)
            return int(np.count_nonzero((due_ns >= from_ns) & (due_ns < to_ns)))
        if self.load_start_ns is None or self.load_stop_ns is None or client.rate <= 0:
            return 0
        first_ns = self.load_start_ns + round(client.offset_s * 1e9)
        ends = np.array([from_ns, min(to_ns, self.load_stop_ns)], dtype=np.int64)
        places = np.round((ends - first_ns) * (client.rate / 1e9), 6)
        before = np.maximum(0, np.ceil(places))
        return max(0, int(before[1] - before[0]))

    def listed_ns(self, client: Client) -> npt.NDArray[Any]:
        """Return when the listed messages of a sender were due, as far as the load lasted.

        Without any load there are none; shape (messages,), ascending.
        """
        if self.load_start_ns is None or self.load_stop_ns is None:
            return np.empty(0, dtype=np.int64)
        after = np.array([round(due_s * 1e9) for due_s in client.due_s], dtype=np.int64)
        due_ns = self.load_start_ns + after
        return due_ns[due_ns < self.load_stop_ns]
