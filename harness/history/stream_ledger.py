"""The ledger of a stream: what was published to it, what each replica holds, what came of it.

No loop runs over messages. Beside the columns it keeps about 20 bytes an attempt, 4 bytes a
stored message and 4 bytes a delivery.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.history.facts import Client, Columns, Event, Iteration
from harness.history.stream_audit import (
    Audit,
    Reading,
    Settings,
)
from harness.scenario.subjects import covers

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Retry:
    """How often a workload publishes again what was not acknowledged, and whether by an id."""

    most: int = 0
    msg_id: bool = False


@dataclass(frozen=True)
class Replica:
    """A replica that was read whole; arrays have shape (k,), one place a stored message.

    Attributes:
        row: the attempt that a message came from; -1 when it came from none that is known.
        misfit: it is of another run or none, or was never attempted.
    """

    reading: Reading
    columns: Columns
    row: Array
    misfit: Array

    @property
    def node(self) -> str:
        """Return the node it lies on."""
        return self.reading.node

    @property
    def sequence(self) -> Array:
        """Return (k,) where in the stream the messages lie."""
        return as_signed(self.columns["stream_sequence"])

    def holds(self, attempts: int) -> Array:
        """Return (attempts,) flags: the messages that it holds intact."""
        flags = np.zeros(attempts, dtype=np.bool_)
        flags[self.row[self.row >= 0]] = True
        return flags


@dataclass(frozen=True)
class Consumption:
    """What a consumer delivered to its clients; arrays have shape (m,), in the order it came.

    Attributes:
        created: the event of its making; None where that was not recorded.
        place: the client's place in `clients`.
        row: the attempt that a message came from; -1 when it came from none that is known.
        misfit: it is of another run or none, or was never attempted.
        trusted: the columns of all its clients are whole, so that absence is evidence.
    """

    name: str
    clients: tuple[Client, ...]
    created: Event | None
    columns: Columns
    place: Array
    row: Array
    misfit: Array
    trusted: bool

    @property
    def config(self) -> Mapping[str, Any]:
        """Return how it was made, as the server spells it; empty where that is not known."""
        return {} if self.created is None else self.created.get("config") or {}

    @property
    def workload(self) -> str:
        """Return the workload of its first client."""
        return self.clients[0].workload

    @property
    def sequence(self) -> Array:
        """Return (m,) where in the stream the messages lie, by the server's word."""
        return as_signed(self.columns["stream_sequence"])

    @cached_property
    def first(self) -> Array:
        """Return (m,) flags: the first delivery of each message at each place in the stream.

        That is the first which the server did not call a redelivery, or else the first of all.
        A place that the stream gave to another message before is another one.
        """
        at = np.flatnonzero(self.row >= 0)
        row, sequence = self.row[at], self.sequence[at]
        order = np.lexsort((self.columns["delivery"][at] > 1, row, sequence))
        row, sequence = row[order], sequence[order]
        begins = np.ones(len(at), dtype=np.bool_)
        begins[1:] = (row[1:] != row[:-1]) | (sequence[1:] != sequence[:-1])
        flags = np.zeros(len(self.row), dtype=np.bool_)
        flags[at[order[begins]]] = True
        return flags

    def hears(self, publishers: Sequence[Client], subjects: Sequence[str | None]) -> Array:
        """Return flags by rank: whose messages it is to deliver.

        By its filter, where it is known and what a publisher's subject is; otherwise by whom
        its clients were planned to hear, which is everybody if nobody is named.
        """
        heard = {one for client in self.clients for one in client.senders}
        filters = self.config.get("filter_subjects") or [self.config.get("filter_subject") or ">"]

        def is_heard(publisher: Client, subject: str | None) -> bool:
            if self.created is None or subject is None:
                return not heard or publisher.id in heard
            return any(covers(str(one), subject) for one in filters)

        pairs = zip(publishers, subjects, strict=True)
        return np.array([is_heard(*pair) for pair in pairs], dtype=np.bool_)


@dataclass(frozen=True)
class StreamLedger:
    """One stream; n is the number of attempts to publish to it.

    Attributes:
        publishers: a publisher's rank is its place here.
        subjects: by rank, the one subject that it publishes on; None where that is not known.
        sent: the columns, shape (n,).
        rank: (n,) the publisher's rank.
        phase: (n,) place in `PHASES` of the phase in which it was due.
        acked: (n,) flags: the publisher was told that the stream has it.
        place: (n,) the stream sequence that it was told; 0 where it was not.
        tries: (n,) how often it was published until it was acknowledged; 0 where it was not.
        replicas: those that were read whole, by node.
        problems: what in the columns makes no sense.
        whole: the columns of all publishers are whole.
    """

    iteration: Iteration
    name: str
    settings: Settings
    audit: Audit
    publishers: tuple[Client, ...]
    retries: tuple[Retry, ...]
    subjects: tuple[str | None, ...]
    sent: Columns
    rank: Array
    phase: Array
    acked: Array
    place: Array
    tries: Array
    replicas: tuple[Replica, ...]
    consumers: tuple[Consumption, ...]
    problems: tuple[str, ...]
    whole: bool

    @property
    def attempts(self) -> int:
        """Return n."""
        return len(self.rank)

    @property
    def workloads(self) -> tuple[str, ...]:
        """Return the workloads that publish to it."""
        return tuple(dict.fromkeys(one.workload for one in self.publishers))

    @cached_property
    def workload(self) -> Array:
        """Return (n,) places in `workloads`."""
        places = [self.workloads.index(one.workload) for one in self.publishers]
        found: Array = np.array(places, dtype=np.uint8)[self.rank]
        return found

    @property
    def last(self) -> int:
        """Return the last stream sequence that anybody spoke of."""
        return max(int(self.place.max(initial=0)), *(one.reading.last for one in self.replicas), 0)

    @cached_property
    def in_place(self) -> Array:
        """Return the acknowledged attempts in the order of the stream."""
        rows = np.flatnonzero(self.acked).astype(np.int32)
        found: Array = rows[np.argsort(self.place[rows], kind="stable")]
        return found

    def held(self) -> Array:
        """Return (n,) flags: messages that at least one replica holds intact."""
        flags = np.zeros(self.attempts, dtype=np.bool_)
        for one in self.replicas:
            flags |= one.holds(self.attempts)
        return flags


def as_signed(column: Array) -> Array:
    """Return a column of u64 as i64, without a copy."""
    return column.view("<i8")
