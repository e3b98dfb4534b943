from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from left_runs import leave_run, problems
from ruamel.yaml import YAML
from story import Story

import harness
from harness.checks.base import Verdict
from harness.errors import ReportError
from harness.history.damage import told_in_a_line
from harness.history.model import History
from harness.history.scenario_file import digest_of
from harness.judging import judge_folder

CHANGED = "scenario.yaml is not as the run wrote it"


def leave_noted_run(folder: Path) -> bytes:
    """Leave a run that passes and notes its scenario's digest; return the scenario."""
    leave_run(folder, Story(thresholds={"lost": ["count == 0"]}).core().fault())
    written = (folder / "scenario.yaml").read_bytes()
    change(folder, lambda events: events[0].update(scenario_sha256=digest_of(written)))
    return written


def change(folder: Path, act: Callable[[list[dict[str, Any]]], object]) -> None:
    path = folder / "events.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    act(events)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


def the_first(events: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(event for event in events if event["kind"] == kind)


def test_a_scenario_as_the_run_wrote_it_is_judged(tmp_path: Path) -> None:
    leave_noted_run(tmp_path)
    assert judge_folder(tmp_path).verdict == "pass"


def test_a_scenario_that_was_cut_is_no_pass_wherever_it_was_cut(tmp_path: Path) -> None:
    written = leave_noted_run(tmp_path)
    lines = written.splitlines(keepends=True)
    judged = 0
    for end in range(len(lines)):
        (tmp_path / "scenario.yaml").write_bytes(b"".join(lines[:end]))
        try:
            report = judge_folder(tmp_path)
        except ReportError as error:
            assert "\n" not in str(error)  # noqa: PT017 - whether it is raised depends on the cut
            continue
        judged += 1
        assert report.verdict == "inconclusive", end
        assert any(CHANGED in finding.detail for finding in report.findings), end
    assert judged


def test_a_scenario_with_other_limits_is_not_what_was_run(tmp_path: Path) -> None:
    written = leave_noted_run(tmp_path)
    (tmp_path / "scenario.yaml").write_bytes(written.replace(b"count == 0", b"count < 100"))
    history = History.load(tmp_path)
    assert len(history.problems) == 1
    assert judge_folder(tmp_path).verdict == "inconclusive"


def test_a_run_of_an_older_version_noted_nothing_and_is_judged_as_ever(tmp_path: Path) -> None:
    leave_run(tmp_path, Story(thresholds={"lost": ["count == 0"]}).core().fault())
    with (tmp_path / "scenario.yaml").open("a") as file:
        file.write("# seen\n")
    assert judge_folder(tmp_path).verdict == "pass"


@pytest.mark.parametrize("conditions", [None, -5, [None], [-5], {"a": 1}, ""])
def test_conditions_that_are_none_are_inconclusive(tmp_path: Path, conditions: object) -> None:
    leave_run(tmp_path, Story().core().fault())
    path = tmp_path / "scenario.yaml"
    scenario = YAML(typ="safe").load(path)
    path.write_text(json.dumps({**scenario, "thresholds": {"lost": conditions}}))
    report = judge_folder(tmp_path)
    assert report.verdict == "inconclusive"
    assert any("this version cannot judge it" in one for one in problems(History.load(tmp_path)))


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("server.described", {"version": ["x"]}),
        ("server.described", {"name": -5}),
        ("worker.ready", {"adapter": {"name": "nats-py", "options": [None]}}),
        ("fault.observed", {"node": -5}),
        ("fault.observed", {"edge": {"a": None}}),
        ("load.planned", {"clients": -5}),
        ("run.started", {"seed": "x"}),
    ],
    ids=lambda one: one if isinstance(one, str) else next(iter(one)),
)
def test_what_no_run_leaves_behind_is_one_line(
    tmp_path: Path, kind: str, facts: dict[str, Any]
) -> None:
    leave_run(tmp_path, Story().core().fault())
    change(tmp_path, lambda events: events.append({"iteration": 0, "at_ns": 1, "kind": kind}))
    change(tmp_path, lambda events: the_first(events, kind).update(facts))
    with pytest.raises(harness.HarnessError, match=r"^[^\n]* cannot be judged: [^\n]*$"):
        harness.check(tmp_path)


def test_a_line_about_damage_says_that_the_scenario_was_changed(tmp_path: Path) -> None:
    leave_noted_run(tmp_path)
    (tmp_path / "scenario.yaml").write_text("name: x\nthresholds: -5\n")
    with pytest.raises(ReportError, match=rf"^[^\n]* cannot be judged: {CHANGED}[^\n]*$"):
        judge_folder(tmp_path)


def test_a_history_that_is_whole_has_no_problems(tmp_path: Path) -> None:
    leave_noted_run(tmp_path)
    assert History.load(tmp_path).problems == ()
    assert Verdict.PASS.value == judge_folder(tmp_path).verdict


def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    def read() -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "messages"))

    with (
        pytest.raises(ReportError, match=r"^[^\n]*messages: Permission denied$"),
        told_in_a_line(tmp_path),
    ):
        read()
