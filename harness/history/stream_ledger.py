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
from harness.scenario.subjects import ONE, REST, covers

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
        created: the event of its making; None where that was not recorded, as of one that its
            clients made themselves.
        given_out: up to which sequence of the stream its leader said, at the end, that it had
            delivered; None where that is not known.
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
    given_out: int | None = None

    @property
    def config(self) -> Mapping[str, Any]:
        """Return how it was made, or was to be; empty where neither is known."""
        made = {} if self.created is None else self.created.get("config") or {}
        return made or self.clients[0].config

    @property
    def silent(self) -> bool:
        """Tell whether it takes no acknowledgements: what was sent to a client counts as had."""
        return self.config.get("ack_policy") == "none"

    @property
    def filters(self) -> tuple[str, ...] | None:
        """Return the subjects that it takes; None where that is not known."""
        if not self.config:
            return None
        asked = self.config.get("filter_subjects") or [self.config.get("filter_subject")]
        return tuple(str(one or REST) for one in asked)

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
        """Return flags by rank: whose messages it is to deliver, as far as anybody knows.

        By its filter, where it is known and what a publisher's subject is; otherwise by whom
        its clients were planned to hear, which is everybody if nobody is named.
        """
        planned = {one for client in self.clients for one in client.senders}
        filters = self.filters

        def is_heard(publisher: Client, subject: str | None) -> bool:
            if filters is not None and (subject is not None or REST in filters):
                return any(covers(one, subject or ONE) for one in filters)
            return not planned or publisher.id in planned

        pairs = zip(publishers, subjects, strict=True)
        return np.array([is_heard(*pair) for pair in pairs], dtype=np.bool_)

    def knows(self, subjects: Sequence[str | None]) -> Array:
        """Return flags by rank: whether `hears` is certain of a publisher, as subjects tell."""
        filters = self.filters
        if filters is None or REST in filters:
            return np.ones(len(subjects), dtype=np.bool_)
        return np.array([one is not None for one in subjects], dtype=np.bool_)


@dataclass(frozen=True)
class StreamLedger:
    """One stream; n is the number of attempts to publish to it.

    Attributes:
        publishers: a publisher's rank is its place here.
        subjects: by rank, the one subject that it publishes on; None where that is not known,
            or the server stores its messages on another.
        alone: nothing but the scenario decides on which subjects messages are stored.
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
    alone: bool = True

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

    @cached_property
    def places(self) -> tuple[Array, Array]:
        """Return (row, sequence), each pair once: every place that a message is known to have had.

        By the word of its publisher's acknowledgement, of replicas, and of consumers.
        """
        kept: list[Replica | Consumption] = [*self.replicas, *self.consumers]
        rows = [np.flatnonzero(self.place > 0), *(one.row[one.row >= 0] for one in kept)]
        places = [self.place[rows[0]], *(one.sequence[one.row >= 0] for one in kept)]
        many = max(1, self.attempts)
        pairs = np.unique(np.concatenate(places) * many + np.concatenate(rows))
        return pairs % many, pairs // many

    def heard_by(self, consumer: Consumption) -> tuple[Array, Array]:
        """Return (n,) flags: messages that a consumer is to deliver, and where that is certain.

        Where subjects may be rewritten by a configuration that nobody knows here, a publisher of
        whom a message was delivered is one whose messages are to be.
        """
        heard = consumer.hears(self.publishers, self.subjects)
        known = consumer.knows(self.subjects)
        if not self.alone:
            heard[np.unique(self.rank[consumer.row[consumer.row >= 0]])] = True
        return heard[self.rank], known[self.rank]

    @cached_property
    def held(self) -> Array:
        """Return (n,) flags: messages that at least one replica holds intact."""
        flags = np.zeros(self.attempts, dtype=np.bool_)
        for one in self.replicas:
            flags |= one.holds(self.attempts)
        return flags


def as_signed(column: Array) -> Array:
    """Return a column of u64 as i64, without a copy."""
    return column.view("<i8")
