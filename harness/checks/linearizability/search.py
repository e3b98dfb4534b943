"""Search for an order that explains one key's operations, where revisions are missing.

Wing and Gong's search with Lowe's memory of what was tried ("Testing for
linearizability", 2017): at every step any operation may be next that began before all
that are left had ended. What was tried is the set of operations taken together with the
state; it grows without bound in the worst case, so the search is given up after `limit`
steps, and then nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness.checks.linearizability.operations import ABSENT, NEVER, Kind, Operation, Outcome

LIMIT = 1_000_000


class _State(NamedTuple):
    """The register: the write it holds, its revision (-1: not told), and what that exceeds."""

    write: int
    revision: int
    above: int


_NEW = _State(ABSENT, 0, -1)
_UNTOLD = -1


def explain(operations: Sequence[Operation], limit: int = LIMIT) -> bool | None:
    """Tell whether an order explains the operations of one key; None: undecided.

    Gets from any replica are left out: they may be as old as they like.
    """
    kept = [one for one in operations if (one.reads and not one.relaxed) or one.writes]
    seen = {one.value for one in kept if one.kind is Kind.GET}
    idle = {one.number for one in kept if one.outcome is Outcome.UNKNOWN and one.number not in seen}
    told = {one.revision for one in kept if one.number not in idle} | {0}
    if all(one.expected in told for one in kept):
        kept, idle = [one for one in kept if one.number not in idle], set()
    return _Search(sorted(kept, key=lambda one: one.invoked_ns), idle, limit).run()


class _Search:
    def __init__(self, operations: Sequence[Operation], idle: set[int], limit: int) -> None:
        self._operations = operations
        self._idle = idle
        self._left = limit
        self._owed = sum(1 << at for at, one in enumerate(operations) if one.outcome is Outcome.OK)

    def run(self) -> bool | None:
        """Walk depth first, remembering (operations taken, state)."""
        tried: set[tuple[int, _State]] = set()
        path = [self._steps(0, 0, _NEW)]
        while path:
            found = next(path[-1], None)
            if self._left < 0:
                return None
            if found is None:
                path.pop()
                continue
            taken, first, state = found
            if taken & self._owed == self._owed:
                return True
            if (taken, state) not in tried:
                tried.add((taken, state))
                path.append(self._steps(taken, first, state))
        return not self._owed

    def _steps(self, taken: int, first: int, state: _State) -> Iterator[tuple[int, int, _State]]:
        """Yield what can be next: (operations taken, the first that is not, the state)."""
        waits = state.write in self._idle
        for at in self._candidates(taken, first):
            one = self._operations[at]
            after = None if waits and one.kind is not Kind.UPDATE else _apply(one, state)
            if after is not None:
                now = taken | 1 << at
                ahead = first
                while now >> ahead & 1:
                    ahead += 1
                yield now, ahead, after

    def _candidates(self, taken: int, first: int) -> list[int]:
        """Return the operations that began before all that are left had ended, gets first."""
        found, ends_ns = [], NEVER
        for at in range(first, len(self._operations)):
            one = self._operations[at]
            self._left -= 1
            if one.invoked_ns > ends_ns:
                break
            if not taken >> at & 1:
                found.append(at)
                ends_ns = min(ends_ns, one.ends_ns)
        return sorted(found, key=self._rank)

    def _rank(self, at: int) -> tuple[bool, bool, int]:
        """Order what is tried: what changes nothing, then what is sure, then what is open."""
        one = self._operations[at]
        return (one.kind is not Kind.GET, one.outcome is Outcome.UNKNOWN, one.ends_ns)


def _apply(operation: Operation, state: _State) -> _State | None:
    """Return the state after the operation; None: it could not have happened in this one."""
    if operation.kind is Kind.GET:
        return _see(operation, state)
    if operation.kind is Kind.UPDATE:
        current = _match(state, operation.expected)
        if current is None:
            return None
        state = current
    above = max(state.revision, state.above)
    if operation.outcome is Outcome.UNKNOWN or not operation.revision:
        return _State(operation.number, _UNTOLD, above)
    if operation.revision <= above:
        return None
    return _State(operation.number, operation.revision, above)


def _see(get: Operation, state: _State) -> _State | None:
    if get.value != state.write:
        return None
    return state if state.write == ABSENT else _bind(state, get.revision)


def _match(state: _State, expected: int) -> _State | None:
    """Return the state in which this revision is current."""
    if expected:
        return _bind(state, expected)
    return state if state.write == ABSENT else None


def _bind(state: _State, revision: int) -> _State | None:
    """Return the state knowing that the revision is this; 0: it was not told."""
    if not revision or revision == state.revision:
        return state
    if state.revision != _UNTOLD or revision <= state.above:
        return None
    return _State(state.write, revision, state.above)
