from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.campaign.identity import harness_digest, programs_of
from harness.campaign.ledger import FILE, open_ledger
from harness.campaign.model import Cell, Outcome
from harness.errors import EXIT_INCONCLUSIVE, EXIT_INTERRUPTED, ReportError
from harness.report.build import tame
from harness.report.model import Environment, Report
from harness.scenario.dump import plain_scenario
from harness.scenario.load import loads
from harness.session import Options
from harness.vocabulary import VOCABULARY

TEXT = """
name: one
seed: 7
workloads: [{name: hello, kind: core, rate: 10/s}]
"""
OPTIONS = Options("lab")


def cell(**changes: Any) -> Cell:
    scenario = loads(TEXT, "one.yaml", VOCABULARY).scenario
    return replace(Cell("one.yaml", scenario, OPTIONS), **changes)


def outcome(of: Cell, folder: Path, code: int = 0, **changes: Any) -> Outcome:
    """Return what became of a cell, with a report of it, or of one that differs."""
    told = Report(
        run_id=of.key,
        started_at="2026-01-01T00:00:00Z",
        nats_harness_version="0",
        verdict="pass",
        exit_code=0,
        scenario={**tame(plain_scenario(of.scenario)), **changes},
        seed=of.scenario.seed,
        reproduce="",
        environment=Environment(),
        iterations=[],
        metrics={},
        findings=[],
    )
    report = folder / "runs" / of.key / "x" / "report.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(told.model_dump_json())
    return Outcome(of, report, code, 1.5)


def test_whatever_decides_the_result_tells_cells_apart_and_nothing_else() -> None:
    one = cell()
    other = one.scenario.model_copy(update={"seed": 8})
    assert cell().key == one.key
    assert cell(source="elsewhere/one.yaml").key == one.key
    assert len({one.key, cell(scenario=other).key, cell(turn=1).key, cell(column="x").key}) == 4
    assert cell(options=replace(OPTIONS, backend="local")).key != one.key


def test_what_was_done_is_known_to_the_next_process(tmp_path: Path) -> None:
    first, second = cell(), cell(turn=1)
    with open_ledger(tmp_path) as ledger:
        assert ledger.missing([first, second]) == [first, second]
        ledger.enter(outcome(first, tmp_path))
        assert ledger.missing([first, second]) == [second]
    with open_ledger(tmp_path) as ledger:
        assert ledger.missing([first, second]) == [second]
        known = ledger.outcome(first)
        assert known is not None
        assert (known.exit_code, known.took_s) == (0, 1.5)


def test_an_interrupted_run_and_one_without_a_report_are_not_done(tmp_path: Path) -> None:
    one = cell()
    with open_ledger(tmp_path) as ledger:
        ledger.enter(outcome(one, tmp_path, EXIT_INTERRUPTED))
        ledger.enter(Outcome(one, None, 2, 0.1, "no server"))
        assert ledger.missing([one]) == [one]


def test_a_report_that_is_gone_is_made_again(tmp_path: Path) -> None:
    one = cell()
    with open_ledger(tmp_path) as ledger:
        done = outcome(one, tmp_path)
        ledger.enter(done)
        assert done.report is not None
        done.report.unlink()
        assert ledger.missing([one]) == [one]


@pytest.mark.parametrize("torn", ['{"key": "abc", "rep', "null\n", "\xff\n", '{"key": 1}\n'])
def test_a_torn_or_strange_line_is_passed_over(tmp_path: Path, torn: str) -> None:
    one, other = cell(), cell(turn=1)
    with open_ledger(tmp_path) as ledger:
        ledger.enter(outcome(one, tmp_path))
    with (tmp_path / FILE).open("a", encoding="latin-1") as file:
        file.write(torn)
    with open_ledger(tmp_path) as ledger:
        assert ledger.missing([one, other]) == [other]
        ledger.enter(outcome(other, tmp_path))
    with open_ledger(tmp_path) as ledger:
        assert ledger.missing([one, other]) == []


@pytest.mark.parametrize("content", ["{torn", "{}", "", "[" * 100_000])
def test_a_damaged_report_is_no_result_whatever_the_ledger_says(
    tmp_path: Path, content: str
) -> None:
    one = cell()
    with open_ledger(tmp_path) as ledger:
        done = outcome(one, tmp_path)
        ledger.enter(done)
        assert done.report is not None
        done.report.write_text(content)
        assert done.code == EXIT_INCONCLUSIVE
        assert ledger.missing([one]) == [one]


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 8},
        {"thresholds": {"lost": ["ratio < 99%"]}},
        {"cluster": {"servers": 3, "version": "2.14.6"}},
        {"client": {"adapter": "nats-py", "version": "2.11.0"}},
    ],
)
def test_a_report_of_something_else_is_no_result(tmp_path: Path, changes: dict[str, Any]) -> None:
    """The file of a scenario may be changed while a campaign goes on."""
    one = cell()
    done = outcome(one, tmp_path, **changes)
    assert done.load() is None
    with open_ledger(tmp_path) as ledger:
        ledger.enter(done)
        assert ledger.missing([one]) == [one]


def test_an_exit_code_that_the_report_does_not_have_is_no_result(tmp_path: Path) -> None:
    assert outcome(cell(), tmp_path, code=1).load() is None
    assert outcome(cell(), tmp_path, code=-9).code == EXIT_INCONCLUSIVE


def test_programs_that_changed_make_another_cell() -> None:
    assert cell(programs=("a",)).key != cell(programs=("b",)).key
    assert programs_of(cell().scenario, "lab")[0] == harness_digest()
    assert (
        len(programs_of(cell().scenario, "lab")) == len(programs_of(cell().scenario, "docker")) + 1
    )


@pytest.mark.parametrize("report", ["/etc/passwd", "runs/../../x", "elsewhere/report.json"])
def test_a_ledger_names_only_reports_of_its_own(tmp_path: Path, report: str) -> None:
    one = cell()
    line = {"key": one.key, "cell": "x", "report": report, "exit_code": 0, "took_s": 1}
    (tmp_path / FILE).write_text(json.dumps(line) + "\n")
    with open_ledger(tmp_path) as ledger:
        assert ledger.missing([one]) == [one]


def test_two_processes_do_not_work_on_one_campaign(tmp_path: Path) -> None:
    with (
        open_ledger(tmp_path),
        pytest.raises(ReportError, match="another nats-harness is at work there"),
        open_ledger(tmp_path),
    ):
        pytest.fail("it was opened")


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ReportError, match="cannot write into"),
        open_ledger(tmp_path / "file" / "x"),
    ):
        pytest.fail("it was opened")
