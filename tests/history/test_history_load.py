from __future__ import annotations

import json
from pathlib import Path

import pytest
from left_runs import leave_run, problems
from story import Story

from harness.checks import judge
from harness.checks.base import Verdict
from harness.errors import ReportError
from harness.history.assemble import read_clients
from harness.history.columns import ColumnsWriter
from harness.history.model import History


def test_a_loaded_history_is_judged_like_the_one_in_memory(tmp_path: Path) -> None:
    stories = [Story(index=index).core(2, 2).request().fault() for index in range(2)]
    stories[1].drop([5])
    told = leave_run(tmp_path, *stories)
    loaded = History.load(tmp_path)
    assert loaded.events == told.events
    assert judge(loaded).findings == judge(told).findings
    assert [one.messages for one in judge(loaded).iterations] == [
        one.messages for one in judge(told).iterations
    ]


def test_facts_are_read_from_events(tmp_path: Path) -> None:
    leave_run(tmp_path, Story().core(2, 1, queue="jobs").fault("cut", "kill", ["n2"]))
    (iteration,) = History.load(tmp_path).iterations
    assert [phase.name for phase in iteration.phases][:3] == ["setup", "warmup", "steady"]
    assert [(one.name, one.rate, one.queue) for one in iteration.clients] == [
        ("hello-publisher-1", 50.0, None),
        ("hello-publisher-2", 50.0, None),
        ("hello-subscriber-1", 0.0, "jobs"),
    ]
    (fault,) = iteration.faults
    assert (fault.name, fault.action, fault.targets) == ("cut", "kill", ("n2",))
    assert [one.edge for one in fault.observations] == ["effect", "undo"]
    assert None not in (
        fault.inject_started_ns, fault.injected_ns, fault.heal_started_ns, fault.healed_ns
    )  # fmt: skip
    assert iteration.workers["hello-publishers"].whole


def test_senders_told_by_name_are_the_same_as_by_id() -> None:
    story = Story().core(traffic=False)
    story.clients[1]["senders"] = ["hello-publisher-1"]
    planned = {"at_ns": 1, "kind": "load.planned", "iteration": 0, "clients": story.clients}
    assert read_clients([planned])[1].senders == (0,)


def test_a_folder_without_a_run_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"^.* holds no run: scenario.yaml: No such file"):
        History.load(tmp_path)
    (tmp_path / "scenario.yaml").write_text("name: x\n")
    with pytest.raises(ReportError, match=r"^cannot read .*events.jsonl"):
        History.load(tmp_path)


@pytest.mark.parametrize("text", ["a: [", "- x", "\x00", "a: &a [*a]\nb: !!python/object:x y"])
def test_a_scenario_that_is_none_is_one_clear_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "scenario.yaml").write_text(text)
    (tmp_path / "events.jsonl").write_text("")
    with pytest.raises(ReportError, match=r"^[^\n]*scenario.yaml[^\n]*$"):
        History.load(tmp_path)


def test_an_event_without_its_facts_is_one_clear_line(tmp_path: Path) -> None:
    leave_run(tmp_path, Story().core())
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"at_ns": 1, "kind": "fault.hit", "iteration": 0, "fault": "x"}\n')
    with pytest.raises(ReportError, match=r"^[^\n]*KeyError: 'node'$"):
        History.load(tmp_path)


def test_columns_that_are_missing_make_the_run_inconclusive(tmp_path: Path) -> None:
    leave_run(tmp_path, Story().core())
    (tmp_path / "messages" / "0" / "hello-publishers.columns").unlink()
    assert "worker hello-publishers: its columns file is missing" in problems(
        History.load(tmp_path)
    )


@pytest.mark.parametrize("cut", [1, 30, 500, 5000])
def test_columns_that_are_cut_make_the_run_inconclusive_and_never_fail_it(
    tmp_path: Path, cut: int
) -> None:
    story = Story(thresholds={"lost": ["count == 0"], "outage_window": ["max < 1s"]})
    leave_run(tmp_path, story.core().fault())
    for worker in ("publishers", "subscribers"):
        path = tmp_path / "messages" / "0" / f"hello-{worker}.columns"
        whole = path.read_bytes()
        path.write_bytes(whole[:-cut])
        assert judge(History.load(tmp_path)).verdict is Verdict.INCONCLUSIVE, worker
        path.write_bytes(whole)
    assert judge(History.load(tmp_path)).verdict is Verdict.PASS


def test_a_cut_last_event_makes_the_run_inconclusive(tmp_path: Path) -> None:
    leave_run(tmp_path, Story().core())
    path = tmp_path / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    assert any("the last line is cut short" in one for one in problems(History.load(tmp_path)))


def test_a_run_that_ended_before_its_first_iteration_is_inconclusive(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text("name: x\nrepeat: 2\n")
    (tmp_path / "events.jsonl").write_text(
        '{"at_ns": 1, "kind": "run.started", "iteration": -1, "seed": 3}\n'
        '{"at_ns": 2, "kind": "run.failed", "iteration": -1, "error": "E", "message": "m"}\n'
    )
    history = History.load(tmp_path)
    assert history.started["seed"] == 3
    assert problems(history) == {"0 of 2 iteration(s) were begun", "the run broke off: E: m"}


@pytest.mark.parametrize("left", ["missing", "cut"])
def test_what_an_audit_read_and_left_no_whole_file_of_is_left_out(
    tmp_path: Path, left: str
) -> None:
    leave_run(tmp_path, Story().core(1, 1))
    audit = tmp_path / "messages" / "0" / "audit"
    audit.mkdir()
    lines = []
    for node in ("n1", "n2"):
        with ColumnsWriter(audit / f"S@{node}.columns") as writer:
            writer.finish()
        facts = {"stream": "S", "node": node, "file": f"audit/S@{node}.columns"}
        lines.append(json.dumps({"at_ns": 1, "kind": "audit.read", "iteration": 0, **facts}))
    with (tmp_path / "events.jsonl").open("a", encoding="utf-8") as events:
        events.writelines(f"{line}\n" for line in lines)
    (iteration,) = History.load(tmp_path).iterations
    assert set(iteration.stored) == {("S", "n1"), ("S", "n2")}
    spoilt = audit / "S@n2.columns"
    spoilt.unlink() if left == "missing" else spoilt.write_bytes(spoilt.read_bytes()[:-5])
    (iteration,) = History.load(tmp_path).iterations
    assert set(iteration.stored) == {("S", "n1")}
