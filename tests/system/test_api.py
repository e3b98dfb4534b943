"""The harness as a library: what a script can ask for, and what becomes of an interrupt."""

from __future__ import annotations

import asyncio
import copy
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import anyio
import anyio.to_thread
import pytest
from command_line import MARKER, Harness, eventually

import harness as package
from harness import api
from harness.errors import HarnessError, ScenarioError, UsageError
from harness.faults.kill import Kill
from harness.scenario.model import Scenario
from harness.workloads.core import Core

SHORT: dict[str, Any] = {
    "name": "short",
    "seed": 7,
    "cluster": {"servers": 3},
    "client": {"options": {"reconnect_time_wait": "100ms", "max_reconnect_attempts": -1}},
    "workloads": [
        {"name": "hello", "kind": "core", "publishers": 1, "subscribers": 2, "rate": "200/s"}
    ],
    "phases": {"warmup": "200ms", "steady": "500ms", "recovery": "700ms", "drain": "1s"},
    "faults": [{"name": "k", "action": "kill", "target": "seed", "duration": "500ms"}],
    "thresholds": {"lost{phase:steady}": ["count == 0"], "disconnects": ["count == 0"]},
}
LONG = {**SHORT, "phases": {"warmup": "100ms", "steady": "60s", "recovery": "1s"}}


def until_loaded(folder: Path) -> None:
    assert eventually(lambda: bool(list(folder.glob("reports/*/messages/0/*"))), 30)


def test_plain_data_run_with_every_option_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = copy.deepcopy(SHORT)
    report = package.run(
        SHORT, backend="local", server="bundled", seed=11, repeat=2, reports=tmp_path / "my runs"
    )
    assert capfd.readouterr() == ("", "")
    assert before == SHORT
    assert (report.seed, len(report.iterations)) == (11, 2)
    assert report.environment.backend == "local"
    kept, missed = report.thresholds
    assert (kept.metric, kept.verdict) == ("lost{phase:steady}", "pass")
    assert (missed.metric, missed.verdict) == ("disconnects", "fail")
    assert missed.value is not None
    assert missed.value >= 1
    assert not report.passed
    assert report.folder is not None
    assert report.folder.parent == tmp_path / "my runs"
    assert report.reproduce.startswith("nats-harness run scenario.yaml --backend local --seed 11")
    assert (report.folder / "scenario.yaml").exists()
    again = package.check(report.folder)
    assert (again.verdict, again.folder) == (report.verdict, report.folder)


@pytest.mark.anyio
async def test_a_scenario_of_models_runs_beside_other_tasks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = Scenario.model_validate(
        {**SHORT, "thresholds": {}, "workloads": [Core.model_validate(SHORT["workloads"][0])]}
        | {"faults": [Kill.model_validate(SHORT["faults"][0])]}
    )
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await anyio.sleep(0.02)
            turns += 1

    async with anyio.create_task_group() as group:
        group.start_soon(turn)
        report = await package.arun(scenario, backend="local", reports=tmp_path, quiet=False)
        group.cancel_scope.cancel()
    assert report.passed, report.findings
    assert turns > 10
    assert "report.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"faults": [{"name": "k", "action": "kil"}]}, r"^scenario: faults\[0\]\.action: .*'kill'"),
        ({"faults": [{"name": "k", "action": "kill", "target": "n9", "duration": "1s"}]}, "'n9'"),
        ({"seed": object()}, "scenario: seed: expected a mapping, .* found object"),
        ({"seed": float("nan")}, "expected a finite number, found nan"),
        ({7: 1}, "expected text as key, found 7"),
        ({"nmae": "x"}, "nmae"),
    ],
)
def test_what_is_wrong_in_plain_data_is_told_by_key(
    changes: dict[Any, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ScenarioError, match=words) as told:
        package.run({**SHORT, **changes}, reports=tmp_path / "none")
    assert ":0:0" not in str(told.value)
    assert not (tmp_path / "none").exists()


def test_a_cycle_in_plain_data_is_told() -> None:
    turning: dict[str, Any] = {}
    turning["config"] = turning
    with pytest.raises(ScenarioError, match="levels deep"):
        package.load({**SHORT, "cluster": turning})


def test_models_are_held_to_the_rules_of_files(tmp_path: Path) -> None:
    lame = Scenario.model_validate(
        {**SHORT, "workloads": [Core.model_validate(SHORT["workloads"][0])]}
        | {"faults": [Kill.model_validate({**SHORT["faults"][0], "target": "n9"})]}
    )
    with pytest.raises(ScenarioError, match="unknown target 'n9'"):
        package.run(lame, reports=tmp_path)


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x1b[31mb", "a\udc80"])
def test_reports_where_no_line_can_tell_of_them_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"^reports: expected a path that can be printed[^\n]*$"):
        package.run(SHORT, reports=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_done_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no nats-server at /no/such"):
        package.run(SHORT, server="/no/such", reports=tmp_path)
    with pytest.raises(UsageError, match="neither a file nor a shipped scenario"):
        package.run("no-such-scenario")
    with pytest.raises(HarnessError, match="cannot write into"):
        package.run(SHORT, backend="local", reports="/proc/none")


@pytest.mark.anyio
async def test_a_tasks_own_cancellation_amid_the_start_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_go_on, kept = Event(), Event(), [tmp_path]

    @contextmanager
    def slow_scratch() -> Iterator[Path]:
        begun.set()
        assert may_go_on.wait(30)
        try:
            yield tmp_path
        finally:
            kept.remove(tmp_path)

    monkeypatch.setattr(api, "scratch", slow_scratch)
    task = asyncio.ensure_future(package.arun(SHORT, backend="local", reports=tmp_path))
    await anyio.to_thread.run_sync(begun.wait, 30)
    task.cancel()
    await asyncio.sleep(0)
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert kept == []


@pytest.mark.anyio
async def test_cancellation_ends_the_run_and_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = Harness(tmp_path)
    monkeypatch.setenv(MARKER, marked.marker)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: package.arun(LONG, backend="local", reports=tmp_path / "reports"))
        await anyio.to_thread.run_sync(until_loaded, tmp_path)
        group.cancel_scope.cancel()
    assert marked.leftovers() == []
    assert marked.report()["interrupted"] is True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_script_leaves_nothing_running(tmp_path: Path, number: int) -> None:
    marked = Harness(tmp_path)
    script = f"""
import signal, harness
signal.signal(signal.SIGINT, signal.default_int_handler)
harness.run({LONG!r}, backend='local', reports='reports')
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, MARKER: marked.marker},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until_loaded(tmp_path)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert said.rstrip().endswith("KeyboardInterrupt")
        assert marked.leftovers() == []
        assert marked.report()["interrupted"] is True
    assert eventually(lambda: marked.leftovers() == [])
