"""Published findings: the table's own judgement, and a part of it on real servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from regressions import (
    EVERYWHERE,
    GONE,
    MIDDLE,
    ROWS,
    SPLIT,
    WHOLE,
    Look,
    Report,
    Row,
    compare,
    run_row,
)

from harness.shipped import is_regression, shipped_scenarios

SMALL = [row for row in ROWS if row.issue == 7564 and row.release == "2.15.1"]


def replica(
    server: str, lost: int = 0, middle: int = 0, stored: int = 10, healthy: bool = True
) -> dict[str, Any]:
    return {
        "server": server, "lost": lost, "middle": middle, "stored": stored, "healthy": healthy
    }  # fmt: skip


def report(
    *replicas: Mapping[str, Any],
    acked: int = 10,
    conflicts: int = 0,
    findings: Sequence[Mapping[str, Any]] = (),
) -> Report:
    stream: dict[str, Any] = {
        "acked": acked,
        "lost": max((one["lost"] for one in replicas), default=0),
        "replicas": list(replicas),
        "unread": {},
        "sequence_conflicts": conflicts,
    }
    return {"iterations": [{"streams": [stream]}], "findings": list(findings)}


ROTTEN = report(replica("n1"), replica("n2", lost=3, middle=3, stored=7))
EMPTY = report(replica("n1"), replica("n2", lost=10, stored=0))
ALL = report(replica("n1", lost=10, stored=0), replica("n2", lost=4, middle=4))
TWO = report(replica("n1", lost=4), replica("n2"), conflicts=4)
FINE = report(replica("n1"), replica("n2"))
REPORTS = {"rotten": ROTTEN, "empty": EMPTY, "all": ALL, "two": TWO, "fine": FINE}


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (MIDDLE, {"rotten"}),
        (GONE, {"empty"}),
        (EVERYWHERE, {"all"}),
        (SPLIT, {"two"}),
        (WHOLE, {"fine"}),
    ],
    ids=["middle", "gone", "everywhere", "split", "whole"],
)
def test_each_sight_is_told_from_the_others(wanted: tuple[Look, str], fits: set[str]) -> None:
    look, _ = wanted
    assert {name for name, one in REPORTS.items() if look(one) == ""} == fits


def test_another_verdict_and_a_fault_without_proof_differ() -> None:
    row = Row("x", "2.15.1", "pass", *WHOLE, 7564)
    assert list(compare(row, "pass", FINE)) == []
    unproven = {"check": "proof", "verdict": "inconclusive", "detail": "x"}
    told = report(replica("n1"), findings=[unproven])
    assert list(compare(row, "pass", told)) == ["not proven: x"]
    assert next(iter(compare(row, "inconclusive", told))) == "inconclusive, not pass: x"


def test_every_published_finding_that_ships_is_in_the_table() -> None:
    shipped = {name for name, path in shipped_scenarios().items() if is_regression(path)}
    assert {row.scenario for row in ROWS} == shipped


@pytest.mark.slow
@pytest.mark.parametrize("row", SMALL, ids=lambda row: row.scenario)
def test_a_part_of_the_table_comes_out_as_published(row: Row, tmp_path: Path) -> None:
    outcome = run_row(row, tmp_path)
    assert outcome.problems == (), outcome
