"""Operations on registers, and what can be wrong with their history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

ABSENT = -1
STRANGE = -2
NEVER = 1 << 62


class Kind(StrEnum):
    """What is done to a key."""

    PUT = "put"
    UPDATE = "update"
    DELETE = "delete"
    GET = "get"


class Outcome(StrEnum):
    """What the client learnt.

    `CONFLICT` and `REFUSED` say that the operation had no effect and never will: one that
    is seen all the same is an anomaly. A conflict says nothing more than that, since a
    server may refuse an update for the sake of another one that it holds but never
    commits. `UNKNOWN` may take effect at any time
    after it was invoked, once, or never.
    """

    OK = "ok"
    CONFLICT = "conflict"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on one key. A deletion is a write: it has a revision of its own.

    Attributes:
        number: unique in the history; a write is known by it to those who read it.
        client: the name of who invoked it.
        returned_ns: 0: it never returned.
        expected: of an update: the revision that it replaces; 0: the key was never written.
        revision: of a write: the one it was given; of a get: the one it saw. 0: not told,
            or of a get that saw `ABSENT`, none.
        value: of a get: the number of the write it saw, `ABSENT` where the key was never
            written, `STRANGE` for what is no client's.
        invoked_ns: 0 of what a watcher was told, which is a get that it never asked for.
        relaxed: a get that any replica may have answered, with whatever it had.
        final: a get after all writes, from a healed cluster: it shows what was kept.
        stored: a relaxed get that never was one: an audit read it in a replica in the end.
    """

    number: int
    client: str
    key: str
    kind: Kind
    outcome: Outcome
    invoked_ns: int
    returned_ns: int
    expected: int = 0
    revision: int = 0
    value: int = ABSENT
    relaxed: bool = False
    final: bool = False
    stored: bool = False

    @property
    def writes(self) -> bool:
        """Tell whether it may have had an effect."""
        return self.kind is not Kind.GET and self.outcome in (Outcome.OK, Outcome.UNKNOWN)

    @property
    def ends_ns(self) -> int:
        """Return when it had taken effect at the latest; `NEVER` while that is open."""
        if self.outcome is not Outcome.OK or not self.returned_ns:
            return NEVER
        return self.returned_ns

    @property
    def reads(self) -> bool:
        """Tell whether it is a get that saw something, or saw that there was nothing."""
        return self.kind is Kind.GET and self.outcome is Outcome.OK


class Anomaly(StrEnum):
    """What one copy of the register could not have done."""

    LOST = "a write that had succeeded is gone"
    MISSING = "a write that the history of its key should hold is in no replica"
    REUSED = "two writes have one revision"
    BACKWARDS = "a later write has an earlier revision"
    TWICE = "one write has two revisions"
    CONFLICT = "an update succeeded on a revision that was not current"
    DENIED = "a write took effect though its client was told that it had not"
    NOWHERE = "a get saw what nobody had written"
    STALE = "a get saw what had been replaced before it began"
    UNEXPLAINED = "no order of the operations explains what was seen"


@dataclass(frozen=True)
class Violation:
    """One anomaly, with the operations that show it; the last one is where it shows."""

    anomaly: Anomaly
    operations: tuple[Operation, ...]

    @property
    def key(self) -> str:
        """Return the key on which it shows."""
        return self.operations[-1].key


def render(operations: Iterable[Operation], origin_ns: int = 0) -> Iterator[str]:
    """Yield a line for each operation by its start, in seconds from `origin_ns`.

    Writes are called by their place, so that what a get saw can be found: ``#1``.
    """
    ordered = sorted(operations, key=lambda one: (one.invoked_ns or one.returned_ns, one.number))
    names = {one.number: f"#{at}" for at, one in enumerate(ordered, 1)}
    keys = {one.key for one in ordered}
    for one in ordered:
        end = "never".rjust(8)
        if one.returned_ns:
            end = f"{(one.returned_ns - origin_ns) / 1e9:8.3f}"
        begin = f"{(one.invoked_ns - origin_ns) / 1e9:8.3f}" if one.invoked_ns else " " * 8
        key = f" {one.key}" if len(keys) > 1 else ""
        yield f"{names[one.number]:>3} {begin} ..{end} s  {one.client}  {_tell(one, key, names)}"


def _tell(one: Operation, key: str, names: dict[int, str]) -> str:
    did = one.kind if one.invoked_ns or one.writes else "holds" if one.stored else "told"
    what = f"{did}{key}"
    if one.kind is Kind.UPDATE:
        what += f" if revision {one.expected}"
    if one.outcome is not Outcome.OK:
        return f"{what} -> {one.outcome}"
    revision = f"revision {one.revision}" if one.revision else "revision not told"
    if one.kind is not Kind.GET:
        return f"{what} -> {revision}"
    last = one.final or one.stored
    where = " (at the end)" if last else " (any replica)" if one.relaxed else ""
    if one.value == ABSENT:
        return f"{what}{where} -> never written"
    seen = "no client's" if one.value == STRANGE else names.get(one.value, "an unknown write")
    return f"{what}{where} -> {revision}, {seen}"


def by_key(operations: Sequence[Operation]) -> dict[str, list[Operation]]:
    """Return the operations of each key, in the order given."""
    found: dict[str, list[Operation]] = {}
    for one in operations:
        found.setdefault(one.key, []).append(one)
    return found
