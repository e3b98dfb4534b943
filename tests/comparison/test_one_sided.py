"""What only the candidate has values of: held against it, unless by chance or by a new harness."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted_reports import report, store
from planted_runs import count, times
from rich.console import Console

from harness.comparison.command import baseline_command
from harness.comparison.compare import compare_runs
from harness.comparison.runs import see_run
from harness.report.model import IterationMetric, Report

SIDE = 20
ELECTION = "leader_election_time"
ALWAYS = {"failover_time": times([0.3] * 2), "stream_lost": count(0)}


def side(
    run_id: str, value: IterationMetric | None, seen: int = SIDE, metric: str = ELECTION
) -> Report:
    """Return a report in which `seen` iterations have a value; None: its harness knew no such."""
    without = {} if value is None else {metric: times([]) if value.values else count(0, 0)}
    with_it = {} if value is None else {metric: value}
    return report(
        [{**ALWAYS, **(with_it if one < seen else without)} for one in range(SIDE)], run_id
    )


@pytest.mark.parametrize(
    ("seen", "outcome"), [(0, "no-regression"), (4, "no-regression"), (8, "too-few-runs")]
)
def test_what_only_the_candidate_has_is_held_against_it_unless_by_chance(
    seen: int, outcome: str
) -> None:
    """By chance 4 of 40 iterations are all on one side one time in 19, 8 one in 600."""
    slow = times([30.0])
    comparison = compare_runs([side("a", slow, 0)], [side("b", slow, seen)])
    assert comparison.outcome == outcome
    assert comparison.scenarios[0].unmeasured == []


def test_a_time_that_was_never_seen_to_end_is_held_against_the_candidate() -> None:
    censored = times([], never=[6.0])
    without = side("a", times([1.0]), 0)
    assert compare_runs([without], [side("b", censored)]).outcome == "too-few-runs"


def test_what_is_good_to_have_or_nothing_is_not_held_against_the_candidate() -> None:
    found = side("b", count(1, 1), metric="recovered")
    assert compare_runs([side("a", count(1, 1), 0, "recovered")], [found]).exit_code == 0
    none = side("b", count(0, 9), metric="redelivered")
    assert compare_runs([side("a", count(0, 9), 0, "redelivered")], [none]).exit_code == 0
    some = side("b", count(1, 9), metric="redelivered")
    assert compare_runs([side("a", count(1, 9), 0, "redelivered")], [some]).exit_code == 3


def test_what_the_baseline_s_harness_did_not_know_yet_is_not_held_against_the_candidate() -> None:
    comparison = compare_runs([side("a", None)], [side("b", times([30.0]))])
    assert comparison.outcome == "no-regression"
    assert comparison.scenarios[0].unmeasured == [ELECTION]


def test_a_stored_baseline_keeps_what_its_harness_knew(tmp_path: Path) -> None:
    slow = side("b", times([30.0]))
    for value, outcome in ((times([1.0]), "too-few-runs"), (None, "no-regression")):
        folder = tmp_path / outcome
        store(folder, side("a", value, 0))
        stored = tmp_path / f"{outcome}.json"
        assert baseline_command([str(folder)], stored, Console(quiet=True)) == 0
        assert compare_runs([stored], [slow]).outcome == outcome


@pytest.mark.parametrize(
    ("version", "outcome"), [("0.1.0", "too-few-runs"), ("0.0.9", "no-regression")]
)
def test_a_baseline_stored_without_names_knew_what_its_version_knows(
    version: str, outcome: str
) -> None:
    old = see_run(side("a", times([1.0]), 0), "a").model_copy(
        update={"measured": None, "nats_harness_version": version}
    )
    assert compare_runs([old], [side("b", times([30.0]))]).outcome == outcome
