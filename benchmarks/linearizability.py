"""How long it takes to judge the history of a key-value bucket."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from figure import Figure

from harness.checks.linearizability.operations import ABSENT, Kind, Operation, Outcome
from harness.checks.linearizability.registers import judge_bucket, smallest
from harness.clock import now_ns, seconds

AIM_S = 10.0
KEYS = 50
CLIENTS = 10
OPEN_SHARE = 0.01
METHOD = (
    f"{{count:,}} operations of {CLIENTS} clients at once on {KEYS} keys, {OPEN_SHARE:.0%} of the "
    "writes with an open outcome, one get of each key made stale: time to judge them and to "
    "find the smallest history of the first thing that is wrong"
)


def measure_linearizability(count: int, runs: int) -> Figure:
    """Judge `runs` histories of `count` operations."""
    values, found = [], []
    for seed in range(runs):
        operations = _spoil(_operate(count, Random(seed)))
        before_ns = now_ns()
        judged = judge_bucket(operations)
        shown = smallest(judged.violations[0], operations)
        values.append(seconds(now_ns() - before_ns))
        found.append({"violations": len(judged.violations), "smallest": len(shown)})
    name = f"judging {count:,} key-value operations"
    details = {"found": found}
    return Figure(name, "s", AIM_S, "lower", METHOD.format(count=count), values, details)


def _operate(count: int, dice: Random) -> list[Operation]:
    """Let a register that behaves do it all: each operation takes effect in the order made."""
    state: dict[str, tuple[int, int]] = {}
    done = []
    for number in range(count):
        at_ns = number * 1_000_000
        early, late = (dice.randrange(1, CLIENTS * 500_000) for _ in range(2))
        key = f"k{dice.randrange(KEYS)}"
        value, revision = state.get(key, (ABSENT, 0))
        kind = dice.choices((Kind.PUT, Kind.GET, Kind.UPDATE, Kind.DELETE), (40, 40, 15, 5))[0]
        one = Operation(
            number, f"c{number % CLIENTS}", key, kind, Outcome.OK, at_ns - early, at_ns + late
        )
        if kind is Kind.GET:
            done.append(replace(one, value=value, revision=revision))
            continue
        state[key] = (number, number + 1)
        expected = revision if kind is Kind.UPDATE else 0
        if dice.random() < OPEN_SHARE:
            done.append(replace(one, expected=expected, outcome=Outcome.UNKNOWN))
        else:
            done.append(replace(one, expected=expected, revision=number + 1))
    return done


def _spoil(operations: list[Operation]) -> list[Operation]:
    """Make the last get of each key see its first write."""
    first = {one.key: one for one in reversed(operations) if one.revision and one.writes}
    last = {one.key: one.number for one in operations if one.reads}
    return [
        replace(one, value=first[one.key].number, revision=first[one.key].revision)
        if last.get(one.key) == one.number
        else one
        for one in operations
    ]
