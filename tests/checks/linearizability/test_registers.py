from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registers import TrueRegister, delete, explained_by_some_order, get, operation, put, update

from harness.checks.linearizability.operations import (
    ABSENT,
    STRANGE,
    Anomaly,
    Kind,
    Operation,
    Outcome,
    render,
)
from harness.checks.linearizability.ordered import examine
from harness.checks.linearizability.registers import judge_bucket, smallest
from harness.checks.linearizability.search import explain
from harness.checks.linearizability.shrink import shrink

SEEDS = st.integers(0, 2**32)


def anomalies(operations: list[Operation]) -> set[Anomaly]:
    return {one.anomaly for one in judge_bucket(operations).violations}


# What must never be flagged.


@settings(deadline=None, max_examples=80)
@given(SEEDS, st.integers(1, 12), st.integers(1, 4), st.sampled_from([0.0, 0.02, 0.3]))
def test_a_true_register_is_never_flagged(
    seed: int, clients: int, keys: int, open_share: float
) -> None:
    history = TrueRegister(seed, clients=clients, keys=keys, open_share=open_share).run(200)
    for one_copy in (False, True):
        judged = judge_bucket(history, one_copy=one_copy)
        assert judged.violations == ()
        assert judged.undecided == ()
        assert judged.keys == keys


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 5))
def test_a_true_register_is_explained_without_its_revisions_too(seed: int, clients: int) -> None:
    history = TrueRegister(seed, clients=clients, keys=1, open_share=0.1).run(60)
    blind = [
        replace(one, revision=0) if one.kind is not Kind.UPDATE and one.value == ABSENT else one
        for one in history
    ]
    assert explain(history) is not False
    assert explain(blind) is not False


def test_what_overlaps_may_have_happened_in_any_order() -> None:
    history = [put(1, (0, 10), 2), put(2, (5, 15), 1), get(3, (6, 14), 2, 1), get(4, (9, 20), 1, 2)]
    assert anomalies(history) == set()


def test_an_open_write_may_take_effect_long_after_or_never() -> None:
    late = operation(1, Kind.PUT, (0, 5), outcome=Outcome.UNKNOWN)
    before = [put(2, (6, 7), 1), get(3, (8, 9), 2, 1)]
    assert anomalies([late, *before]) == set()
    assert anomalies([late, *before, get(4, (1000, 1001), 1, 9)]) == set()


def test_an_update_on_the_revision_of_a_deletion_is_legal() -> None:
    history = [put(1, (0, 1), 1), delete(2, (2, 3), 2), update(3, (4, 5), 2, 3)]
    assert anomalies([*history, get(4, (6, 7), 3, 3)]) == set()


def test_an_update_on_what_only_an_open_write_can_have_left_is_searched_for() -> None:
    open_write = operation(1, Kind.PUT, (0, 0), outcome=Outcome.UNKNOWN)
    history = [open_write, put(2, (1, 2), 1), update(3, (3, 4), 2, 3)]
    assert examine(history).open
    assert anomalies(history) == set()
    late = replace(open_write, invoked_ns=5)
    assert anomalies([late, *history[1:]]) == {Anomaly.CONFLICT}
    twice = [*history, update(4, (5, 6), 4, 5)]  # one open write cannot leave two revisions
    (violation,) = judge_bucket(twice).violations
    assert violation.anomaly is Anomaly.UNEXPLAINED
    assert {one.number for one in violation.operations} >= {3, 4}


def test_an_old_get_from_any_replica_is_counted_and_legal() -> None:
    history = [put(1, (0, 1), 1), put(2, (2, 3), 2), get(3, (4, 5), 1, 1, relaxed=True)]
    judged = judge_bucket(history)
    assert (judged.violations, judged.stale_relaxed) == ((), 1)
    strict = [*history[:2], replace(history[2], relaxed=False)]
    assert anomalies(strict) == {Anomaly.STALE}


def test_a_get_from_a_replica_does_not_make_the_leader_stale() -> None:
    history = [
        put(1, (0, 1), 1),
        operation(2, Kind.PUT, (2, 0), outcome=Outcome.UNKNOWN),
        get(3, (3, 4), 2, 2, relaxed=True),
        get(4, (5, 6), 1, 1),
    ]
    assert anomalies(history) == set()


def test_a_write_that_was_denied_is_told_once_and_then_stands_in_its_place() -> None:
    denied = operation(2, Kind.UPDATE, (2, 3), outcome=Outcome.CONFLICT, expected=1)
    history = [
        put(1, (0, 1), 1),
        denied,
        get(3, (9, 10), 2, 2),
        get(4, (11, 12), 2, 2),
        update(5, (13, 14), 2, 3),
    ]
    (violation,) = judge_bucket(history).violations
    assert violation.anomaly is Anomaly.DENIED
    assert [one.number for one in smallest(violation, history)] == [1, 2, 3]
    # It may have taken effect long after it was refused.
    between = [*history[:2], get(6, (5, 6), 1, 1), *history[2:]]
    assert [one.anomaly for one in judge_bucket(between).violations] == [Anomaly.DENIED]


# What must always be flagged.

BASE = [put(1, (0, 1), 1), put(2, (2, 3), 2)]
PLANTED = {
    "lost": ([*BASE, get(3, (9, 10), 1, 1, final=True)], Anomaly.LOST),
    "lost first": ([put(1, (0, 1), 1), get(3, (9, 10), ABSENT, 0, final=True)], Anomaly.LOST),
    "lost after it was seen": (
        [
            put(1, (0, 1), 1),
            operation(2, Kind.PUT, (2, 0), outcome=Outcome.UNKNOWN),
            get(3, (4, 5), 2, 2, relaxed=True),
            get(4, (9, 10), 1, 1, final=True),
        ],
        Anomaly.LOST,
    ),
    "stale": ([*BASE, get(3, (4, 5), 1, 1)], Anomaly.STALE),
    "older than a get": (
        [
            put(1, (0, 1), 1),
            put(2, (2, 30), 2),
            get(3, (4, 5), 2, 2),
            get(4, (6, 7), 1, 1),
        ],
        Anomaly.STALE,
    ),
    "two updates": (
        [put(1, (0, 1), 1), update(2, (2, 9), 1, 2), update(3, (2, 9), 1, 3)],
        Anomaly.CONFLICT,
    ),
    "update over a write": ([*BASE, update(3, (4, 5), 1, 3)], Anomaly.CONFLICT),
    "update of nothing": ([*BASE, update(3, (4, 5), 0, 3)], Anomaly.CONFLICT),
    "update of the future": ([*BASE, update(3, (4, 5), 7, 3)], Anomaly.CONFLICT),
    "nowhere": ([*BASE, get(3, (4, 5), STRANGE, 3)], Anomaly.NOWHERE),
    "refused and seen": (
        [
            operation(1, Kind.PUT, (0, 1), outcome=Outcome.REFUSED),
            get(3, (4, 5), 1, 3),
        ],
        Anomaly.DENIED,
    ),
    "conflict and seen": (
        [
            put(1, (0, 1), 1),
            operation(2, Kind.UPDATE, (2, 3), outcome=Outcome.CONFLICT, expected=1),
            get(3, (4, 5), 2, 2),
        ],
        Anomaly.DENIED,
    ),
    "seen before it was written": ([get(3, (0, 1), 1, 1), put(1, (2, 3), 1)], Anomaly.NOWHERE),
    "one revision twice": ([put(1, (0, 1), 1), put(2, (0, 1), 1)], Anomaly.REUSED),
    "one revision on two keys": (
        [put(1, (0, 1), 1), put(2, (0, 1), 1, key="other")],
        Anomaly.REUSED,
    ),
    "another value at its revision": (
        [put(1, (0, 9), 1), put(2, (0, 9), 2), get(3, (0, 9), 1, 2)],
        Anomaly.REUSED,
    ),
    "two revisions": ([put(1, (0, 1), 1), get(3, (2, 3), 1, 2)], Anomaly.TWICE),
    "backwards": ([put(1, (0, 1), 2), put(2, (2, 3), 1)], Anomaly.BACKWARDS),
    "backwards on two keys": (
        [put(1, (0, 1), 2), put(2, (2, 3), 1, key="other")],
        Anomaly.BACKWARDS,
    ),
    "resurrected": (
        [put(1, (0, 1), 1), delete(2, (2, 3), 2), get(3, (4, 5), 1, 1)],
        Anomaly.STALE,
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_damage_is_flagged(name: str) -> None:
    history, anomaly = PLANTED[name]
    assert anomaly in anomalies(history)
    if len({one.key for one in history}) == 1:
        relaxed = [replace(one, relaxed=False) for one in history]
        assert not explained_by_some_order(relaxed)


def _planted(history: list[Operation], dice: Random) -> dict[str, tuple[Anomaly, list[Operation]]]:
    """Spoil a true history in each way that it allows."""
    key = history[0].key
    keys_own = [one for one in history if one.key == key]
    acked = [one for one in keys_own if one.writes and one.revision]
    found: dict[str, tuple[Anomaly, list[Operation]]] = {}

    def but(old: Operation, new: Operation) -> list[Operation]:
        return [new if one is old else one for one in history]

    final = next(one for one in keys_own if one.final)
    top = max(acked, key=lambda one: one.revision)
    if len(acked) > 1 and final.value == top.number:
        second = sorted(acked, key=lambda one: one.revision)[-2]
        old = replace(final, value=second.number, revision=second.revision)
        found["lost"] = (Anomaly.LOST, but(final, old))
    gets = [one for one in keys_own if one.reads and not one.final]
    for one in dice.sample(gets, len(gets)):
        past = [w for w in acked if w.ends_ns < one.invoked_ns]
        if len(past) > 1:
            past.sort(key=lambda w: w.revision)
            old = replace(one, value=past[0].number, revision=past[0].revision)
            found["stale"] = (Anomaly.STALE, but(one, old))
            break
    if gets:
        one = dice.choice(gets)
        found["nowhere"] = (Anomaly.NOWHERE, but(one, replace(one, value=STRANGE)))
    if len(acked) > 1:
        one, other = dice.sample(acked, 2)
        found["reused"] = (Anomaly.REUSED, but(one, replace(one, revision=other.revision)))
    updates = [one for one in acked if one.kind is Kind.UPDATE and one.expected]
    if updates:
        one = dice.choice(updates)
        number = len(history) + 1
        again = replace(one, number=number, revision=max(w.revision for w in history) + 1)
        found["conflict"] = (Anomaly.CONFLICT, [*history, again])
    return found


@settings(deadline=None, max_examples=80)
@given(SEEDS, st.integers(1, 8), st.integers(1, 3))
def test_damage_in_a_true_history_is_flagged(seed: int, clients: int, keys: int) -> None:
    history = TrueRegister(seed, clients=clients, keys=keys).run(120)
    for anomaly, spoiled in _planted(history, Random(seed)).values():
        judged = judge_bucket(spoiled)
        assert anomaly in {one.anomaly for one in judged.violations}
        violation = next(one for one in judged.violations if one.anomaly is anomaly)
        assert len(smallest(violation, spoiled)) <= 5


# Every order tried, on histories that may be right or wrong.


@st.composite
def small_histories(draw: st.DrawFn) -> list[Operation]:
    made = []
    for number in range(draw(st.integers(2, 6))):
        invoked = draw(st.integers(0, 12))
        times = (invoked, invoked + draw(st.integers(1, 6)))
        kind = draw(st.sampled_from(Kind))
        if kind is Kind.GET:
            value = draw(st.integers(ABSENT, 5))
            revision = 0 if value == ABSENT else draw(st.integers(1, 5))
            made.append(get(number, times, value, revision))
        elif draw(st.integers(0, 3)) == 0:
            outcome = draw(st.sampled_from([Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.CONFLICT]))
            expected = draw(st.integers(0, 4)) if kind is Kind.UPDATE else 0
            made.append(operation(number, kind, times, outcome=outcome, expected=expected))
        else:
            revision = draw(st.integers(1, 5))
            expected = draw(st.integers(0, revision - 1)) if kind is Kind.UPDATE else 0
            made.append(operation(number, kind, times, expected=expected, revision=revision))
    return made


def agree(history: list[Operation]) -> None:
    explained = explained_by_some_order(history)
    assert explain(history) is explained
    assert (judge_bucket(history).violations == ()) is explained
    assert (judge_bucket(history, one_copy=True).violations == ()) is explained


@settings(deadline=None, max_examples=500)
@given(small_histories())
def test_the_judge_agrees_with_every_order_tried(history: list[Operation]) -> None:
    agree(history)


@settings(deadline=None, max_examples=200)
@given(SEEDS, st.data())
def test_the_judge_agrees_on_true_histories_with_one_thing_changed(
    seed: int, data: st.DataObject
) -> None:
    history = TrueRegister(seed, clients=3, keys=1, open_share=0.2).run(6)
    at = data.draw(st.integers(0, len(history) - 1))
    one = history[at]
    field = data.draw(st.sampled_from(["revision", "value", "expected", "invoked_ns"]))
    if field == "invoked_ns":
        moved = data.draw(st.integers(0, one.returned_ns))
        history[at] = replace(one, invoked_ns=moved)
    elif field == "revision" and one.revision:
        history[at] = replace(one, revision=data.draw(st.integers(1, 12)))
    elif field == "value" and one.reads and one.value != ABSENT:
        history[at] = replace(one, value=data.draw(st.integers(0, 6)))
    elif field == "expected" and one.kind is Kind.UPDATE:
        history[at] = replace(one, expected=data.draw(st.integers(0, 8)))
    history = [replace(one, final=False) for one in history]
    agree(history)


# The search, the smallest history and how it reads.


def test_a_search_that_is_given_up_is_undecided_and_never_well() -> None:
    history = [put(n, (0, 100), 0) for n in range(12)]
    history.append(get(20, (200, 201), STRANGE - 1, 0))
    assert explain(history, limit=50) is None
    history[-1] = get(20, (200, 201), 3, 0)
    judged = judge_bucket(history, limit=3)
    assert judged.undecided == ("k",)
    assert judge_bucket(history).undecided == ()


def test_without_revisions_a_stale_get_is_found_and_made_small() -> None:
    history = []
    for at in range(0, 200, 10):
        history += [put(at, (at, at + 2), 0), get(at + 1, (at + 4, at + 6), at, 0)]
    assert anomalies(history) == set()
    history[21] = replace(history[21], value=0)
    (violation,) = judge_bucket(history).violations
    assert violation.anomaly is Anomaly.UNEXPLAINED
    assert len(violation.operations) == 3


@settings(deadline=None, max_examples=300)
@given(small_histories())
def test_nothing_can_be_left_out_of_the_smallest_history(history: list[Operation]) -> None:
    def fails(part: Sequence[Operation]) -> bool:
        return not explained_by_some_order(list(part))

    if not fails(history):
        return
    kept = shrink(history, fails)
    assert fails(kept)


def _names(maker: Callable[[], list[Operation]]) -> list[str]:
    history = maker()
    (violation,) = judge_bucket(history).violations
    return list(render(smallest(violation, history)))


def test_the_smallest_history_reads_as_a_story() -> None:
    def stale() -> list[Operation]:
        return [
            put(7, (1_000_000, 1_000_000_000), 1, client="kv-client-1"),
            put(8, (1_500_000_000, 2_000_000_000), 2, client="kv-client-2"),
            get(9, (2_500_000_000, 3_000_000_000), 7, 1, client="kv-client-3"),
            get(10, (3_500_000_000, 4_000_000_000), 8, 2, client="kv-client-3"),
        ]

    assert _names(stale) == [
        " #1    0.001 ..   1.000 s  kv-client-1  put -> revision 1",
        " #2    1.500 ..   2.000 s  kv-client-2  put -> revision 2",
        " #3    2.500 ..   3.000 s  kv-client-3  get -> revision 1, #1",
    ]


def test_open_and_final_operations_say_so() -> None:
    lines = list(
        render(
            [
                operation(1, Kind.UPDATE, (1, 0), outcome=Outcome.UNKNOWN, expected=4),
                get(2, (1, 2), STRANGE, 5, relaxed=True),
                get(3, (3, 4), ABSENT, 0, final=True),
            ]
        )
    )
    assert lines[0].endswith("never s  c1  update if revision 4 -> unknown")
    assert lines[1].endswith("get (any replica) -> revision 5, no client's")
    assert lines[2].endswith("get (at the end) -> never written")


def test_what_a_watcher_was_told_has_no_beginning() -> None:
    (line,) = render([get(1, (0, 2_000_000_000), STRANGE, 5, relaxed=True)])
    assert line == " #1          ..   2.000 s  c1  told (any replica) -> revision 5, no client's"
