"""Judge one key by its revisions, which say in which order its writes took effect.

A stream numbers its messages in the order in which it stores them, so the writes of a key
that have a revision stand in one order, and every get stands between the write it saw and
the next. Nothing is left to search: a history can be explained if and only if no
operation ended before one began that stands ahead of it, each update stands right behind
the revision that it expected, and each write has one revision of its own.

A write whose outcome is open and that nobody saw may never have happened, so it is left
out. Only an update on a revision that nobody saw needs such a write: `Findings.open`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from harness.checks.linearizability.operations import (
    ABSENT,
    NEVER,
    Anomaly,
    Kind,
    Operation,
    Outcome,
    Violation,
)


@dataclass(frozen=True)
class Findings:
    """What one key's revisions show.

    Attributes:
        violations: all of them; of a get that is too old, the write or get that shows it.
        open: revisions are missing, so that no violation does not mean that all is well.
        stale_relaxed: gets from any replica that were too old, which is legal.
    """

    violations: tuple[Violation, ...]
    open: bool
    stale_relaxed: int


def examine(operations: Sequence[Operation], *, one_copy: bool = False) -> Findings:
    """Return what is wrong with the operations of one key, in n log n steps.

    Args:
        operations: of that key.
        one_copy: there is one replica, so that no other one can have answered a get: what a
            get does not know of any more is gone.
    """
    return _Key(operations, one_copy=one_copy).examine()


class Frontier:
    """The latest revision that had been seen by each moment."""

    def __init__(self, seen: Sequence[tuple[int, int, Operation]]) -> None:
        """Take what was seen as (ended_ns, revision, operation)."""
        self._times: list[int] = []
        self._tops: list[tuple[int, Operation]] = []
        for at_ns, revision, operation in sorted(seen, key=lambda one: one[:2]):
            if not self._tops or revision > self._tops[-1][0]:
                self._times.append(at_ns)
                self._tops.append((revision, operation))

    def later_than(self, revision: int, before_ns: int) -> Operation | None:
        """Return the first operation that ended before then with a later revision."""
        end = bisect_left(self._times, before_ns)
        if not end or self._tops[end - 1][0] <= revision:
            return None
        at = bisect_left(self._tops, revision + 1, 0, end, key=lambda one: one[0])
        return self._tops[at][1]


class _Key:
    """The operations of one key, and the place of each in the order of revisions."""

    def __init__(self, operations: Sequence[Operation], *, one_copy: bool) -> None:
        self._one_copy = one_copy
        self._writes = {one.number: one for one in operations if one.kind is not Kind.GET}
        self._gets = [one for one in operations if one.reads]
        self._violations: list[Violation] = []
        self._holders: dict[int, Operation] = {}  # by revision: the write
        self._places: dict[int, int] = {}  # by write: its revision
        self._witnesses: dict[int, Operation] = {}  # by revision: who told of it
        self._open = False

    def examine(self) -> Findings:
        for write in self._writes.values():
            if write.outcome is Outcome.OK:
                self._place(write, write.revision, write)
        sound = [one for one in self._gets if self._accept(one)]
        lost = self._find_lost(sound)
        self._check_updates()
        stale_relaxed = self._check_times(sound, lost)
        return Findings(tuple(self._violations), self._open, stale_relaxed)

    def _accept(self, get: Operation) -> bool:
        """Tell whether what a get saw can be placed at all."""
        if get.value == ABSENT:
            return True
        write = self._writes.get(get.value)
        if write is None or get.ends_ns < write.invoked_ns:
            context = () if write is None else (write,)
            self._found(Anomaly.NOWHERE, *context, get)
            return False
        if not write.writes and write.number not in self._places:
            self._found(Anomaly.DENIED, write, get)
        return self._place(write, get.revision, get)

    def _place(self, write: Operation, revision: int, witness: Operation) -> bool:
        if not revision:
            self._open = True
            return False
        holder = self._holders.setdefault(revision, write)
        if holder is not write:
            self._found(Anomaly.REUSED, holder, self._witnesses[revision], write, witness)
            return False
        place = self._places.setdefault(write.number, revision)
        if place != revision:
            del self._holders[revision]
            self._found(Anomaly.TWICE, write, self._witnesses[place], witness)
            return False
        self._witnesses.setdefault(revision, witness)
        return True

    def _find_lost(self, gets: Sequence[Operation]) -> set[int]:
        """Return the revisions that were told of and that a look does not know any more.

        The last get of all is a look. So is every get where there is one copy; but what is
        seen again after it was not gone, and that get only too old.
        """
        evidence = [(one.ends_ns, revision, one) for revision, one in self._witnesses.items()]
        looks = [one for one in gets if one.final]
        again: dict[int, int] = {}  # by revision: when the last get that saw it began
        if self._one_copy:
            looks = [one for one in gets if not one.relaxed]
            evidence += [(one.ends_ns, one.revision, one) for one in gets if one.revision]
            for one in gets:
                began_ns = NEVER if one.stored else one.invoked_ns
                again[one.revision] = max(began_ns, again.get(one.revision, 0))
        looks.sort(key=lambda one: one.invoked_ns)
        evidence.sort(key=lambda one: one[:2])
        lost: set[int] = set()
        known: list[tuple[int, int]] = []  # a heap of (minus the revision, its evidence)
        at = 0
        for look in looks if self._one_copy else looks[-1:]:
            while at < len(evidence) and evidence[at][0] < look.invoked_ns:
                heappush(known, (-evidence[at][1], at))
                at += 1
            missed: dict[int, Operation] = {}
            while known and -known[0][0] > look.revision:
                revision, witness = evidence[heappop(known)[1]][1:]
                if revision not in lost and again.get(revision, 0) <= look.returned_ns:
                    missed[revision] = witness
            lost |= missed.keys()
            for revision in sorted(missed):
                self._found(Anomaly.LOST, self._holders[revision], missed[revision], look)
        return lost

    def _check_updates(self) -> None:
        """Check that each update stands right behind the revision that it expected."""
        revisions = sorted(self._holders)
        unseen = [
            one for one in self._writes.values() if one.writes and one.number not in self._places
        ]
        for at, revision in enumerate(revisions):
            update = self._holders[revision]
            before = revisions[at - 1] if at else 0
            if update.kind is not Kind.UPDATE or update.expected == before:
                continue
            could_be = before < update.expected < revision and any(
                one.invoked_ns <= update.ends_ns for one in unseen
            )
            if could_be:
                self._open = True
                continue
            shown = [self._holders.get(update.expected), self._holders.get(before)]
            shown += [self._witnesses.get(before), self._witnesses[revision], update]
            self._found(Anomaly.CONFLICT, *(one for one in shown if one is not None))

    def _check_times(self, gets: Sequence[Operation], lost: set[int]) -> int:
        """Check the order of revisions against time; return how many relaxed gets were old."""
        strict = [one for one in gets if not one.relaxed]
        kept = [
            (one.ends_ns, revision, one)
            for revision, one in self._holders.items()
            if revision not in lost
        ]
        kept += [(one.ends_ns, one.revision, one) for one in strict if one.revision not in lost]
        frontier = Frontier(kept)
        for revision, write in self._holders.items():
            if (later := frontier.later_than(revision, write.invoked_ns)) is not None:
                self._found(
                    Anomaly.BACKWARDS, *self._shown(later), self._witnesses[revision], write
                )
        for get in strict:
            if (later := frontier.later_than(get.revision, get.invoked_ns)) is not None:
                self._found(Anomaly.STALE, *self._shown(later), *self._seen_by(get), get)
        return sum(
            frontier.later_than(get.revision, get.invoked_ns) is not None
            for get in gets
            if get.relaxed
        )

    def _shown(self, operation: Operation) -> Iterator[Operation]:
        yield from self._seen_by(operation)
        yield operation

    def _seen_by(self, operation: Operation) -> Iterator[Operation]:
        if operation.reads and operation.value in self._writes:
            yield self._writes[operation.value]

    def _found(self, anomaly: Anomaly, *operations: Operation) -> None:
        shown = {id(one): one for one in operations[:-1]}
        shown.pop(id(operations[-1]), None)
        self._violations.append(Violation(anomaly, (*shown.values(), operations[-1])))
