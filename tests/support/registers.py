"""Histories of registers for tests: a true register used by many, and every order tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from harness.checks.linearizability.operations import (
    ABSENT,
    NEVER,
    Kind,
    Operation,
    Outcome,
)


def operation(
    number: int,
    kind: Kind,
    times: tuple[int, int],
    *,
    outcome: Outcome = Outcome.OK,
    **more: Any,
) -> Operation:
    facts: dict[str, Any] = {"client": f"c{number}", "key": "k", **more}
    return Operation(
        number, kind=kind, outcome=outcome, invoked_ns=times[0], returned_ns=times[1], **facts
    )


def put(number: int, times: tuple[int, int], revision: int, **more: Any) -> Operation:
    return operation(number, Kind.PUT, times, revision=revision, **more)


def delete(number: int, times: tuple[int, int], revision: int) -> Operation:
    return operation(number, Kind.DELETE, times, revision=revision)


def update(number: int, times: tuple[int, int], expected: int, revision: int) -> Operation:
    return operation(number, Kind.UPDATE, times, expected=expected, revision=revision)


def get(number: int, times: tuple[int, int], value: int, revision: int, **more: Any) -> Operation:
    return operation(number, Kind.GET, times, value=value, revision=revision, **more)


def explained_by_some_order(operations: Sequence[Operation]) -> bool:
    """Try every order, by the register's definition alone."""
    kept = [one for one in operations if (one.reads and not one.relaxed) or one.writes]
    seen = {one.value: one.revision for one in kept if one.reads and one.revision}
    return _extend(frozenset(), kept, ABSENT, 0, seen)


def _extend(
    taken: frozenset[int], kept: list[Operation], value: int, revision: int, seen: dict[int, int]
) -> bool:
    left = [one for one in kept if one.number not in taken]
    owed = [one for one in left if one.outcome is Outcome.OK]
    if not owed:
        return True
    ends = min(one.ends_ns for one in left)
    for one in left:
        if one.invoked_ns > ends:
            continue
        after = taken | {one.number}
        if one.kind is Kind.GET:
            if (one.value, one.revision) == (value, revision) and _extend(
                after, kept, value, revision, seen
            ):
                return True
            continue
        if one.kind is Kind.UPDATE and one.expected != revision:
            continue
        # An open write that nobody saw is given any revision that others could name.
        named = {other.expected for other in kept if other.kind is Kind.UPDATE}
        given = {one.revision} if one.revision else {seen.get(one.number, 0)} - {0}
        for mine in given or {revision + 1, *named}:
            if mine > revision and _extend(after, kept, one.number, mine, seen):
                return True
    return False


class TrueRegister:
    """Keys of one bucket that behave, used by clients whose calls overlap.

    Each operation takes effect at one moment between its call and its return; some
    never return, and of those some take effect long after, or never. `stored` are all
    messages in their order: key, revision and number of the write.
    """

    def __init__(self, seed: int, *, clients: int, keys: int, open_share: float = 0.01) -> None:
        self.random = Random(seed)
        self.clients = clients
        self.keys = [f"k{at}" for at in range(keys)]
        self.open_share = open_share
        self.stored: list[tuple[str, int, int]] = []

    def run(self, count: int) -> list[Operation]:
        """Return `count` operations of all clients, and a last get of every key."""
        dice = self.random
        free_ns = [dice.randrange(100) for _ in range(self.clients)]
        calls: list[tuple[int, Operation]] = []  # by the moment of effect
        for number in range(count):
            client = min(range(self.clients), key=free_ns.__getitem__)
            invoked = free_ns[client] + dice.randrange(1, 50)
            effect = invoked + dice.randrange(1, 200)
            returned = effect + dice.randrange(1, 200)
            free_ns[client] = returned
            kind = dice.choices(list(Kind), (40, 15, 5, 40))[0]
            call = operation(
                number, kind, (invoked, returned), key=dice.choice(self.keys), client=f"c{client}"
            )
            if kind is not Kind.GET and dice.random() < self.open_share:
                late = dice.choice((effect, effect + 5000, NEVER))
                calls.append((late, replace(call, outcome=Outcome.UNKNOWN)))
            else:
                calls.append((effect, call))
        return self._take_effect(calls, max(free_ns))

    def _take_effect(self, calls: list[tuple[int, Operation]], last_ns: int) -> list[Operation]:
        state: dict[str, tuple[int, int]] = dict.fromkeys(self.keys, (ABSENT, 0))
        recent: dict[str, list[int]] = {key: [0] for key in self.keys}
        done: list[Operation] = []
        revision = 0
        last = last_ns + 10_000
        for at_ns, call in sorted(calls, key=lambda one: (one[0], one[1].number)):
            value, current = state[call.key]
            if call.kind is Kind.GET:
                done.append(replace(call, value=value, revision=current))
                recent[call.key].append(current)
                continue
            expected = self.random.choice(recent[call.key][-2:])
            if call.kind is Kind.UPDATE:
                call = replace(call, expected=expected)  # noqa: PLW2901 - the same call, completed
                if expected != current:
                    known = call.outcome is Outcome.OK
                    done.append(replace(call, outcome=Outcome.CONFLICT) if known else call)
                    continue
            if at_ns < last:
                revision += self.random.randrange(1, 3)
                state[call.key] = (call.number, revision)
                self.stored.append((call.key, revision, call.number))
                if call.outcome is Outcome.OK:
                    recent[call.key].append(revision)
                    call = replace(call, revision=revision)  # noqa: PLW2901 - the same
            done.append(call)
        for at, key in enumerate(self.keys):
            value, current = state[key]
            done.append(get(len(calls) + at, (last, last + 1), value, current, key=key, final=True))
        return sorted(done, key=lambda one: one.invoked_ns)
