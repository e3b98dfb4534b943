"""What replicas hold in the end, against what clients were told."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from registers import TrueRegister, get, put

from harness.checks.linearizability.operations import ABSENT, Anomaly, Operation, Outcome
from harness.checks.linearizability.ordered import examine
from harness.checks.linearizability.recorded import FINAL
from harness.checks.linearizability.registers import judge_bucket
from harness.checks.linearizability.stored import find_missing, read_stored
from harness.history.facts import Columns
from harness.history.tables import STORED

SEEDS = st.integers(0, 2**32)
HISTORIES = st.sampled_from([1, 2, 5, 64])
END_NS = 10**9


def keep(register: TrueRegister, history: int) -> list[tuple[int, int, int]]:
    """Return (revision, number, key's place): the last `history` messages of each key."""
    kept = []
    for place, key in enumerate(register.keys):
        own = [(revision, number) for name, revision, number in register.stored if name == key]
        kept += [(revision, number, place) for revision, number in own[-history:]]
    return sorted(kept)


def table(rows: list[tuple[int, int, int]]) -> Columns:
    values = {
        "sender": [0 for _ in rows],
        "sequence": [number for _, number, _ in rows],
        "stream_sequence": [revision for revision, _, _ in rows],
        "integrity": [0 for _ in rows],
    }
    return {name: np.array(values[name], dtype) for name, dtype in STORED.columns}


def anomalies(
    operations: list[Operation], tables: Mapping[str, Columns], history: int, *, one_copy: bool
) -> list[Anomaly]:
    stored = read_stored(tables, operations, {0}, END_NS)
    judged = judge_bucket(operations, stored=stored.operations, one_copy=one_copy)
    assert judged.undecided == ()
    missing = find_missing(stored, operations, judged, history)
    return [one.anomaly for one in (*judged.violations, *missing)]


@settings(deadline=None, max_examples=80)
@given(SEEDS, HISTORIES, st.sampled_from([0.0, 0.1, 0.4]), st.booleans())
def test_what_a_true_register_holds_is_never_flagged(
    seed: int, history: int, open_share: float, one_copy: bool
) -> None:
    register = TrueRegister(seed, clients=6, keys=3, open_share=open_share)
    operations = register.run(150)
    rows = table(keep(register, history))
    tables = {"n1": rows} if one_copy else {"n1": rows, "n2": rows, "n3": rows}
    assert anomalies(operations, tables, history, one_copy=one_copy) == []


@settings(deadline=None, max_examples=80)
@given(SEEDS, HISTORIES, st.sampled_from([0.0, 0.1]), st.data())
def test_a_message_that_a_true_register_lacks_is_missing_if_it_had_been_acknowledged(
    seed: int, history: int, open_share: float, data: st.DataObject
) -> None:
    register = TrueRegister(seed, clients=6, keys=3, open_share=open_share)
    operations = register.run(150)
    rows = keep(register, history)
    gone = rows.pop(data.draw(st.integers(0, len(rows) - 1)))
    acked = {one.number for one in operations if one.outcome is Outcome.OK}
    found = anomalies(operations, {"n1": table(rows)}, history, one_copy=True)
    if not open_share:
        assert found == [Anomaly.MISSING]
    elif gone[1] not in acked:
        assert found == []
    else:  # a write of an open outcome may have pushed it out
        assert found in ([], [Anomaly.MISSING])


def test_the_fence_of_a_user_is_nobodys_key_and_that_of_a_stranger_is_damage() -> None:
    write = put(1, (0, 10), 1)
    rows = table([(1, 1, 0), (2, FINAL, 0)])
    assert anomalies([write], {"n1": rows}, 1, one_copy=True) == []
    stored = read_stored({"n1": rows}, [write], {9}, END_NS)
    judged = judge_bucket([write], stored=stored.operations)
    assert [one.anomaly for one in judged.violations] == [Anomaly.NOWHERE]


def test_of_one_copy_a_get_that_misses_what_had_been_there_shows_that_it_is_lost() -> None:
    writes = [put(1, (0, 10), 1), put(2, (20, 30), 2), put(3, (100, 110), 3)]
    missed = get(4, (40, 50), ABSENT, 0)
    final = get(5, (200, 210), 3, 3, final=True)
    found = examine([*writes, missed, final], one_copy=True).violations
    assert [one.anomaly for one in found] == [Anomaly.LOST, Anomaly.LOST]
    assert {one.operations[0].number for one in found} == {1, 2}
    assert {one.operations[-1] for one in found} == {missed}
    assert [one.anomaly for one in examine([*writes, missed, final]).violations] == [Anomaly.STALE]


def test_of_one_copy_what_is_seen_again_was_not_lost() -> None:
    writes = [put(1, (0, 10), 1), put(2, (20, 30), 2)]
    missed = get(4, (40, 50), 1, 1)
    final = get(5, (200, 210), 2, 2, final=True)
    found = examine([*writes, missed, final], one_copy=True).violations
    assert [one.anomaly for one in found] == [Anomaly.STALE]


def test_of_one_copy_a_get_may_miss_what_was_written_meanwhile() -> None:
    writes = [put(1, (0, 10), 1), put(2, (20, 45), 2)]
    missed = get(4, (40, 50), 1, 1)
    assert examine([*writes, missed], one_copy=True).violations == ()
