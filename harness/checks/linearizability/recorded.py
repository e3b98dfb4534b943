"""The operations on a bucket as the clients of a workload recorded them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.checks.linearizability.operations import ABSENT, STRANGE, Kind, Operation, Outcome
from harness.history.facts import Client, Iteration
from harness.history.tables import Answer, Integrity
from harness.history.tables import Operation as Done

FINAL = 2**64 - 1  # the sequence of a last look, which stands in no schedule
_KINDS = {Done.PUT: Kind.PUT, Done.UPDATE: Kind.UPDATE, Done.DELETE: Kind.DELETE}
_OUTCOMES = {
    Answer.DONE: Outcome.OK,
    Answer.ABSENT: Outcome.OK,
    Answer.CONFLICT: Outcome.CONFLICT,
    Answer.REFUSED: Outcome.REFUSED,
    Answer.UNKNOWN: Outcome.UNKNOWN,
}


@dataclass(frozen=True)
class Bucket:
    """What was done to the bucket of a workload; empty where that is not whole.

    Attributes:
        operations: of users; and what watchers were told, as gets that any replica answered
            and that began at no known time.
        told: by (watcher, key), the revisions in the order in which it was told.
        watchers: their names.
        users: the ids of the others.
    """

    workload: str
    whole: bool
    operations: tuple[Operation, ...] = ()
    told: Mapping[tuple[str, str], Sequence[int]] = field(default_factory=dict)
    watchers: tuple[str, ...] = ()
    users: frozenset[int] = frozenset()

    @property
    def final(self) -> dict[str, int]:
        """Return the revision of each key at the last look."""
        return {one.key: one.revision for one in self.operations if one.final}

    @property
    def unlooked(self) -> frozenset[str]:
        """Return the keys that were used and not looked at in the end."""
        return frozenset(one.key for one in self.operations) - self.final.keys()


def read_bucket(iteration: Iteration, workload: str, *, direct: bool) -> Bucket:
    """Return the operations of a workload's clients.

    Args:
        iteration: where they were recorded.
        workload: its name.
        direct: any replica may have answered its gets, but for the last look.
    """
    members = {one.id: one for one in iteration.clients if one.workload == workload}
    watchers = tuple(one.name for one in members.values() if not one.sends)
    if not all(iteration.trusts(one) for one in members.values()):
        return Bucket(workload, whole=False, watchers=watchers)
    columns = iteration.operations
    mine = np.isin(columns["client"], np.array(list(members), dtype=np.uint32))
    told: dict[tuple[str, str], list[int]] = {}
    operations = []
    names = tuple(columns)
    rows = zip(*(columns[name][mine].tolist() for name in names), strict=True)
    for place, values in enumerate(rows):
        row = dict(zip(names, values, strict=True))
        operations.append(_operation(place, row, members, direct=direct))
        if row["operation"] == Done.WATCH:
            key = (members[row["client"]].name, operations[-1].key)
            told.setdefault(key, []).append(row["revision"])
    users = frozenset(one.id for one in members.values() if one.sends)
    return Bucket(workload, True, tuple(operations), told, watchers, users)


def _operation(
    place: int, row: Mapping[str, int], members: Mapping[int, Client], *, direct: bool
) -> Operation:
    kind = _KINDS.get(Done(row["operation"]), Kind.GET)
    watched = row["operation"] == Done.WATCH
    gets = kind is Kind.GET
    final = gets and row["sequence"] == FINAL
    return Operation(
        number=-3 - place if gets else number_of(row["client"], row["sequence"]),
        client=members[row["client"]].name,
        key=f"key-{row['key']}",
        kind=kind,
        outcome=_OUTCOMES[Answer(row["answer"])],
        invoked_ns=0 if watched else row["invoked_ns"],
        returned_ns=row["returned_ns"],
        expected=row["expected"],
        revision=row["revision"],
        value=_seen(row) if gets else ABSENT,
        relaxed=watched or (gets and direct and not final),
        final=final,
    )


def _seen(row: Mapping[str, int]) -> int:
    """Return the number of the write that a get saw."""
    if row["answer"] != Answer.DONE:
        return ABSENT
    if row["integrity"] != Integrity.INTACT:
        return STRANGE
    return number_of(row["writer"], row["written"])


def number_of(client: int, sequence: int) -> int:
    """Return the number by which a write is known: whose it is, and which."""
    return client << 64 | sequence
