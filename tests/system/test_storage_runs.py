"""Faults of the store, end to end: proven, not proven, and refused where they cannot be had."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import jsonschema
import pytest
from command_line import Harness, eventually
from loop_devices import loops_of

BACKENDS = [pytest.param("lab", marks=pytest.mark.lab), "local"]
METHODS = ["shadow", pytest.param("device", marks=pytest.mark.device)]
SCHEMA = Path(__file__).parents[2] / "reports" / "schema" / "report-v1.json"
TEXT = """
name: stored
cluster: {servers: 3, jetstream: true}
client: {servers: [n1, n3], options: {reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}
workloads:
  - {name: hello, kind: core, publishers: 1, subscribers: 1, rate: 50/s, payload: 64B}
phases: {warmup: 200ms, steady: 1s, recovery: 2s, drain: 1s}
faults:
  - STEP
"""
DARK = "{name: dark, action: power-loss, target: all, duration: 500ms}"
# Nothing is set back where nothing was written.
WRITTEN = """streams: [{name: S, replicas: 3}]
workloads:
  - {name: kept, kind: jetstream, stream: S, rate: 50/s, payload: 64B}
"""
# Without its leader the stream would take nothing until another is elected, for up to nine seconds.
PAST = (
    '{name: past, action: rollback, back: 500ms, target: "follower:S", count: one, duration: 500ms}'
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_power_loss_is_proven_and_the_report_says_what_was_dropped_and_how(
    backend: str, method: str, harness: Harness
) -> None:
    text = TEXT.replace("STEP", DARK.replace("target", f"method: {method}, target"))
    result = harness.run("run", harness.scenario(text), "--backend", backend)
    report = harness.report()
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    (fault,) = report["iterations"][0]["faults"]
    effects = [one["what"] for one in fault["proof"] if one["kind"] == "effect"]
    assert len(effects) == 3, result.stdout + result.stderr
    assert all(one.startswith("exited by signal 9; ") for one in effects)
    assert all(one.endswith(f" (by {method})") for one in effects)
    findings = {one["check"]: one["verdict"] for one in report["findings"]}
    assert findings["proof"] == "pass", report["findings"]
    assert harness.leftovers() == loops_of(harness.folder) == []


@pytest.mark.device
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interrupt_frees_the_devices(backend: str, harness: Harness) -> None:
    text = TEXT.replace("STEP", DARK.replace("target", "method: device, target"))
    text = text.replace("steady: 1s", "steady: 60s")
    with harness.start("run", harness.scenario(text), "--backend", backend) as process:
        assert eventually(lambda: len(loops_of(harness.folder)) == 3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert harness.leftovers() == loops_of(harness.folder) == []


def test_a_rollback_is_proven(harness: Harness) -> None:
    text = TEXT.replace("STEP", PAST).replace("workloads:\n", WRITTEN)
    result = harness.run("run", harness.scenario(text), "--backend", "local")
    assert result.returncode == 0, result.stdout + result.stderr
    (fault,) = harness.report()["iterations"][0]["faults"]
    assert [one["kind"] for one in fault["proof"]] == ["hit", "effect", "held", "undo"]
    assert "set back by" in fault["proof"][1]["what"]


@pytest.mark.parametrize("step", ["action: disk-full", "action: slow-disk, delay: 20ms"])
def test_a_disk_that_was_not_used_makes_the_run_inconclusive(step: str, harness: Harness) -> None:
    text = TEXT.replace("STEP", f"{{name: idle, {step}, target: n3, duration: 200ms}}")
    result = harness.run("run", harness.scenario(text), "--backend", "local")
    assert result.returncode == 3, result.stdout + result.stderr
    assert "while" in result.stdout


def test_servers_that_run_already_are_left_alone(harness: Harness) -> None:
    text = TEXT.replace("STEP", DARK)
    result = harness.run("run", harness.scenario(text), "--backend", "attach")
    assert result.returncode == 2
    assert harness.reports() == []
