"""Find the smallest history that still fails: what a person can check by eye."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from harness.checks.linearizability.operations import NEVER, Kind, Operation

TRIALS = 400

Fails = Callable[[Sequence[Operation]], bool]


def shrink(operations: Sequence[Operation], fails: Fails, trials: int = TRIALS) -> list[Operation]:
    """Return a smallest part of a failing history of one key that fails as well.

    First what had not begun when it first fails is dropped; then parts are left out,
    halves first, single operations last, until none can go. A part that goes takes
    with it whatever needs it: who read a write cannot be explained without the write.

    Args:
        operations: fails.
        fails: must hold of the result too.
        trials: how often `fails` is asked at most.
    """
    asked = 0

    def still_fails(part: Sequence[Operation]) -> bool:
        nonlocal asked
        asked += 1
        return asked <= trials and fails(part)

    kept = _shortest_start(operations, still_fails)
    size = len(kept)
    while size > 1:
        size = (size + 1) // 2
        again = True
        while again:
            again = False
            for first in range(0, len(kept), size):
                part = close([*kept[:first], *kept[first + size :]], operations)
                if len(part) < len(kept) and still_fails(part):
                    kept, again = part, True
                    break
            again = again and size == 1
    return kept


def close(part: Iterable[Operation], whole: Sequence[Operation]) -> list[Operation]:
    """Return the part without those who need a write of `whole` that is not in it."""
    kept = list(part)
    needs = _Needs(whole)
    while True:
        sound = needs.met(kept)
        if len(sound) == len(kept):
            return kept
        kept = sound


class _Needs:
    """What operations need to be explained: the write that a get saw or an update expected.

    Where nobody saw the expected revision, any open write may have left it.
    """

    def __init__(self, whole: Sequence[Operation]) -> None:
        self._told = {one.revision for one in whole if _tells(one)} | {0}
        self._written = {one.number for one in whole if one.kind is not Kind.GET}
        self._open = frozenset(one.number for one in whole if one.writes and not one.revision)

    def met(self, part: Sequence[Operation]) -> list[Operation]:
        """Return those of the part whose needs it holds."""
        present = {one.number for one in part}
        told = {one.revision for one in part if _tells(one)} | {0}
        whole = present >= self._open
        return [
            one
            for one in part
            if (one.value not in self._written or one.value in present)
            and (one.expected in told if one.expected in self._told else whole)
        ]


def _tells(one: Operation) -> bool:
    """Tell whether it shows which write has a revision."""
    return bool(one.revision) and (one.writes or one.reads)


def _shortest_start(operations: Sequence[Operation], fails: Fails) -> list[Operation]:
    """Return the operations up to the moment from which on the history fails."""
    ends = sorted({one.ends_ns for one in operations if one.ends_ns != NEVER})
    low, high = 0, len(ends) - 1
    best = list(operations)
    while low < high:
        middle = (low + high) // 2
        part = close(_until(operations, ends[middle]), operations)
        if fails(part):
            best, high = part, middle
        else:
            low = middle + 1
    return best


def _until(operations: Sequence[Operation], at_ns: int) -> list[Operation]:
    """Return what had begun by then: gets that had ended, and all writes."""
    return [
        one
        for one in operations
        if one.invoked_ns <= at_ns and (one.kind is not Kind.GET or one.ends_ns <= at_ns)
    ]
