"""Runs with shaped links: proven where they are, inconclusive where they are not, or refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from command_line import Harness

SHAPED = """
name: {name}
seed: 7
cluster: {{servers: 3}}
client: {{servers: [n1], options: {{reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}}}
workloads:
  - {{name: hello, kind: core, publishers: 1, subscribers: 1, rate: 100/s, payload: 128B}}
phases: {{warmup: 200ms, steady: 500ms, recovery: 700ms, drain: 1s}}
faults:
  - {{name: far, action: delay, target: seed, between: clients, delay: 30ms, duration: 500ms}}
  - {{name: thin, action: bandwidth, target: n2, between: servers, rate: 4Mbit, duration: 500ms}}
thresholds:
  lost: ["count == 0"]
"""
TOGETHER = """
name: {name}
seed: 7
cluster: {{servers: 3}}
client: {{servers: [n1], options: {{reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}}}
workloads:
  - {{name: hello, kind: core, publishers: 1, subscribers: 1, rate: 100/s, payload: 128B}}
phases: {{warmup: 200ms, steady: 500ms, recovery: 700ms, drain: 1s}}
faults:
  - {{name: far, action: delay, target: n3, between: servers, delay: 300ms, duration: 5s}}
  - {{name: bad, action: loss, target: n3, between: servers, loss: 20%, duration: 5500ms}}
  - {{name: cut, action: partition, target: n3, between: servers, at: 2s, duration: 1s}}
  - {{name: late, action: delay, target: n2, between: servers, delay: 40ms, at: 2700ms,
      duration: 2s}}
thresholds:
  lost: ["count == 0"]
"""
WITHOUT_EFFECT = """
import sys
from harness.backends.lab.shaper import LabShaper
from harness.cli import command

async def do_nothing(self, links):
    pass

LabShaper._apply = do_nothing
sys.argv = ["nats-harness", *sys.argv[1:]]
sys.exit(command())
"""


@pytest.mark.lab
def test_shaped_links_are_proven_and_the_report_says_by_what(harness: Harness) -> None:
    result = harness.run("run", harness.scenario(SHAPED), "--backend", "lab")
    assert result.returncode == 0, result.stdout + result.stderr
    report = harness.report()
    for fault in report["iterations"][0]["faults"]:
        effects = [one["what"] for one in fault["proof"] if one["kind"] == "effect"]
        assert effects, fault
        assert all(", via " in what for what in effects)
        assert any(one["kind"] == "undo" for one in fault["proof"])
    events = harness.reports()[0].with_name("events.jsonl").read_text(encoding="utf-8")
    parsed = [json.loads(line) for line in events.splitlines()]
    measured = [one for one in parsed if one["kind"] == "fault.measured"]
    assert {(one["fault"], one["edge"]) for one in measured} >= {
        (fault, edge) for fault in ("far", "thin") for edge in ("before", "effect", "undo")
    }
    assert harness.leftovers() == []


@pytest.mark.lab
def test_cuts_and_shapes_on_the_same_links_are_each_proven(harness: Harness) -> None:
    result = harness.run("run", harness.scenario(TOGETHER), "--backend", "lab")
    assert result.returncode == 0, result.stdout + result.stderr
    for fault in harness.report()["iterations"][0]["faults"]:
        kinds = {one["kind"] for one in fault["proof"]}
        assert kinds >= {"effect", "held", "undo"}, fault


@pytest.mark.lab
def test_a_shape_without_effect_is_inconclusive(harness: Harness) -> None:
    argv = [sys.executable, "-c", WITHOUT_EFFECT, "run", harness.scenario(SHAPED)]
    done = subprocess.run(
        [*argv, "--backend", "lab"],
        cwd=harness.folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    report = harness.report()
    assert report["verdict"] == "inconclusive"
    problems = [one["detail"] for one in report["findings"] if one["check"] == "proof"]
    assert any("fault far is not proven" in one for one in problems), json.dumps(problems)
    assert any("fault thin is not proven" in one for one in problems), json.dumps(problems)


def test_local_refuses_and_names_the_lab(harness: Harness) -> None:
    result = harness.run("run", harness.scenario(SHAPED), "--backend", "local")
    assert result.returncode == 2
    assert (
        "backend local cannot limit-bandwidth; lab and docker can: --backend lab" in result.stderr
    )
