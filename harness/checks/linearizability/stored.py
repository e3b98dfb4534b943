"""What the replicas of a bucket hold in the end, beside what its clients were told.

The rows of an audit name the write that a message is, and its place, which is its revision.
They do not name the key: that is known from the write.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.checks.linearizability.operations import (
    ABSENT,
    STRANGE,
    Anomaly,
    Kind,
    Operation,
    Outcome,
    Violation,
    by_key,
)
from harness.checks.linearizability.recorded import FINAL, number_of
from harness.checks.linearizability.registers import Judged
from harness.history.facts import Columns
from harness.history.tables import Integrity

NO_KEY = "an unknown key"
_COUNTED = (Anomaly.LOST, Anomaly.REUSED)


@dataclass(frozen=True)
class Stored:
    """What replicas hold.

    Attributes:
        operations: a get for each different message at a revision, of any replica. Of several
            replicas, only for what is not where its writer was told: all else is no news.
        held: by key, the revisions at which any replica holds a message of it.
        keyless: revisions of messages that nobody wrote, which may be of any key; ascending.
    """

    operations: tuple[Operation, ...]
    held: Mapping[str, frozenset[int]]
    keyless: Sequence[int]


def read_stored(
    tables: Mapping[str, Columns],
    operations: Sequence[Operation],
    users: Collection[int],
    at_ns: int,
) -> Stored:
    """Return what replicas hold of a bucket.

    Args:
        tables: the columns of `STORED` of each replica, by node.
        operations: of the clients.
        users: ids of those that write to the bucket: each leaves a fence on a key of its own.
        at_ns: when all of it had been read.
    """
    writes = {one.number: one for one in operations if one.kind is not Kind.GET}
    acked = {one.revision: one.key for one in _acked(operations)}
    found: list[Operation] = []
    held: dict[str, set[int]] = {}
    keyless: list[int] = []
    for (revision, number), node in _list_messages(tables, users).items():
        write = writes.get(number)
        key = write.key if write is not None else acked.get(revision)
        if key is None:
            keyless.append(revision)
        else:
            held.setdefault(key, set()).add(revision)
            if len(tables) > 1 and write is not None and write.revision == revision:
                continue
        found.append(
            Operation(
                number=-3 - len(operations) - len(found),
                client=f"replica {node}",
                key=NO_KEY if key is None else key,
                kind=Kind.GET,
                outcome=Outcome.OK,
                invoked_ns=0,
                returned_ns=at_ns,
                revision=revision,
                value=number,
                relaxed=True,
                stored=True,
            )
        )
    revisions = {key: frozenset(own) for key, own in held.items()}
    return Stored(tuple(found), revisions, sorted(keyless))


def _list_messages(
    tables: Mapping[str, Columns], users: Collection[int]
) -> dict[tuple[int, int], str]:
    """Return (revision, number of the write), each with the first replica that holds it."""
    messages: dict[tuple[int, int], str] = {}
    first: Columns | None = None
    for node, table in tables.items():
        if first is None:
            first = table
        elif all(np.array_equal(table[name], column) for name, column in first.items()):
            continue
        fence = np.isin(table["sender"], np.array([*users], np.uint32))
        intact = table["integrity"] == Integrity.INTACT
        kept = ~(fence & intact & (table["sequence"] == np.uint64(FINAL)))
        columns = (table["stream_sequence"], table["sender"], table["sequence"], intact)
        for revision, sender, sequence, whole in zip(
            *(one[kept].tolist() for one in columns), strict=True
        ):
            number = number_of(sender, sequence) if whole else STRANGE
            messages.setdefault((revision, number), node)
    return messages


def look_in_vain(operations: Sequence[Operation], at_ns: int) -> Iterator[Operation]:
    """Yield a last look at each key that finds nothing: the stream was gone by then."""
    for place, key in enumerate(by_key(operations)):
        yield Operation(
            number=-3 - len(operations) - place,
            client="audit",
            key=key,
            kind=Kind.GET,
            outcome=Outcome.OK,
            invoked_ns=at_ns,
            returned_ns=at_ns,
            value=ABSENT,
            final=True,
        )


def find_missing(
    stored: Stored, operations: Sequence[Operation], judged: Judged, history: int
) -> Iterator[Violation]:
    """Yield acknowledged writes that are in no replica, though fewer than `history` came after.

    A key keeps its last `history` messages. What came after is what any replica holds, and what
    clients were told of; a message of an unknown key may be of this one, and a write whose
    outcome is open and that nobody saw may have come after. Writes that are known to be lost
    already, or to share their revision, are left out.

    Args:
        stored: what all replicas hold; none was left out.
        operations: of the clients.
        judged: what is wrong with them.
        history: how many messages a key keeps.
    """
    told = {
        one.revision
        for violation in judged.violations
        if violation.anomaly in _COUNTED
        for one in violation.operations[:-1] or violation.operations
    }
    elsewhere = {one.value for one in stored.operations}
    seen = elsewhere | {one.value for one in operations}
    for key, own in by_key(operations).items():
        held = stored.held.get(key, frozenset())
        later = sorted({*held, *(one.revision for one in own), *stored.keyless})
        open_ = sum(one.outcome is Outcome.UNKNOWN and one.number not in seen for one in own)
        for write in _acked(own):
            lacks = write.revision not in held and write.number not in elsewhere
            newer = len(later) - bisect_right(later, write.revision)
            if lacks and newer + open_ < history and write.revision not in told:
                yield Violation(Anomaly.MISSING, (write,))


def _acked(operations: Sequence[Operation]) -> Iterator[Operation]:
    """Yield the writes that succeeded, with the revision that their client was told."""
    for one in operations:
        if one.kind is not Kind.GET and one.outcome is Outcome.OK and one.revision:
            yield one
