"""What is drawn is done, written down, and done again from that list alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_line import Harness

STORM = """
name: {name}
seed: 11
cluster: {{servers: 3}}
client: {{servers: [n1], options: {{reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}}}
workloads:
  - {{name: hello, kind: core, publishers: 2, subscribers: 2, rate: 200/s, payload: 128B}}
phases: {{warmup: 200ms, steady: 500ms, fault: 5500ms, recovery: 1s, drain: 1s}}
faults:
  - {{name: flap, action: ACTION, at: 0s, duration: 200ms, repeat_every: 1s, times: 2}}
  - {{name: storm, action: random, actions: [ACTIONS], at: 3s, duration: [200ms, 400ms],
     pace: 1s, keep: none}}
thresholds:
  "lost{{phase:steady}}": ["count == 0"]
  "recovery_time{{fault:storm}}": ["n > 0"]
  "recovery_time{{fault:flap}}": ["n == 2"]
"""
SCHEMA = Path(__file__).parents[2] / "reports" / "schema" / "report-v1.json"


def storm(action: str, actions: str) -> str:
    return STORM.replace("ACTIONS", actions).replace("ACTION", action)


def facts(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was done to whom, without the times that no two runs share."""
    told = []
    for fault in report["iterations"][0]["faults"]:
        looks = [one["links"] for one in fault["proof"] if one["kind"] == "probes"]
        cut = [
            sorted((link["source"], link["target"]) for link in links if link["cut"])
            for links in looks
        ]
        told.append({key: fault[key] for key in ("name", "action", "targets")} | {"cut": cut})
    return sorted(told, key=lambda one: str(one["name"]))


def replay(harness: Harness, text: str, backend: str) -> None:
    result = harness.run("run", harness.scenario(text), "--backend", backend)
    assert result.returncode == 0, result.stdout + result.stderr
    folder = harness.reports()[0].parent
    report = harness.report()
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    (iteration,) = report["iterations"]
    names = [step["name"] for step in iteration["schedule"]]
    assert names[:3] == ["flap.1", "flap.2", "storm.1"]
    assert {one["name"] for one in iteration["faults"]} == set(names)
    assert "drawn from the seed" in result.stdout
    assert "storm.1: " in result.stdout
    assert f"nats-harness run reports/{folder.name}/replay.yaml" in result.stdout
    judged = harness.run("check", str(folder))
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert harness.report() == report

    argv = ("run", str(folder / "replay.yaml"), "--backend", backend, "--reports", "again")
    result = harness.run(*argv)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = (harness.folder / "again").glob("*/report.json")
    again = json.loads(path.read_text(encoding="utf-8"))
    assert again["iterations"][0]["schedule"] == iteration["schedule"]
    assert facts(again) == facts(report)
    assert not list(path.parent.glob("replay*"))


def test_a_drawn_run_of_process_faults_is_run_again_from_its_list(harness: Harness) -> None:
    replay(harness, storm("pause, target: one", "kill, pause, stop"), "local")


@pytest.mark.lab
def test_dice_thrown_during_the_run_fall_as_they_fell(harness: Harness) -> None:
    halves = "{{action: partition, topology: halves}}, {{action: partition, topology: bridge}}"
    replay(harness, storm("partition, target: one", halves), "lab")


def test_what_may_be_drawn_must_be_possible_here(harness: Harness) -> None:
    path = harness.scenario(storm("kill", "kill, reset"))
    result = harness.run("run", path, "--backend", "local")
    assert result.returncode == 2, result.stdout + result.stderr
    assert "reset" in result.stderr
    assert not (harness.folder / "reports").exists()


NO_EFFECT = """
import sys
from harness.backends.process_node import ProcessNode
from harness.cli import command

async def do_nothing(self, limit_s):
    pass

ProcessNode.pause = do_nothing
sys.argv = ["nats-harness", *sys.argv[1:]]
sys.exit(command())
"""


def test_a_drawn_fault_without_effect_is_inconclusive(harness: Harness) -> None:
    text = storm("kill, target: n2", "pause").partition('  "recovery_time')[0]
    path = harness.scenario(text)
    argv = [sys.executable, "-c", NO_EFFECT, "run", path, "--backend", "local"]
    result = subprocess.run(
        argv, cwd=harness.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 3, result.stdout + result.stderr
    report = harness.report()
    doubts = [one["detail"] for one in report["findings"] if one["verdict"] == "inconclusive"]
    assert any("fault storm.1 is not proven" in doubt for doubt in doubts), doubts
