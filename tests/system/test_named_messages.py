"""A named message that is really lost, and what the report says of it."""

from __future__ import annotations

import json

import pytest
from command_line import Harness

from harness.judging import judge_folder

pytestmark = pytest.mark.lab

# The subscriber's server dies while the way to the other one is cut: there is nowhere to go.
LOSING = """
name: losing
cluster: {servers: 2}
client:
  options:
    {ping_interval: 5s, reconnect_time_wait: 100ms, connect_timeout: 500ms,
     max_reconnect_attempts: -1}
workloads:
  - {name: calm, kind: core, rate: 50/s, attach: {publishers: n2, subscribers: n2}}
  - name: guide
    kind: named
    attach: {publishers: n2, subscribers: n1}
    messages:
      - {text: before, phase: steady, at: 200ms}
      - {text: during, phase: fault, at: 1500ms}
phases: {warmup: 200ms, steady: 500ms, recovery: 3s, drain: 2s}
faults:
  - name: nowhere
    action: partition
    topology: custom
    drop: [[guide-subscribers, n2], [n2, guide-subscribers]]
    duration: 3s
  - {name: dead, action: kill, target: n1, at: 500ms, duration: 2s}
thresholds:
  "lost{workload:guide}": ["count == 0"]
  "lost{workload:calm}": ["count == 0"]
"""


def test_a_named_message_that_is_lost_fails_the_run_and_is_told(harness: Harness) -> None:
    done = harness.run("run", harness.scenario(LOSING, "losing"), "--backend", "lab")
    assert done.returncode == 1, done.stdout + done.stderr
    report = harness.report()
    before, during = report["iterations"][0]["named"]
    assert (before["text"], before["subscribers"][0]["fate"]) == ("before", "delivered")
    assert before["subscribers"][0]["server"] == "n1"
    assert (during["text"], during["phase"], during["outcome"]) == ("during", "fault", "accepted")
    assert during["server"] == "n2"
    (fate,) = during["subscribers"]
    assert (fate["fate"], fate["server"], fate["latency"]) == ("lost", None, None)
    assert report["metrics"]["lost{workload:guide}"]["count"] == 1
    broken = [one for one in report["findings"] if one["verdict"] != "pass"]
    assert [one["metric"] for one in broken] == ["lost{workload:guide}"]
    assert any(line.split()[-2:] == ["accepted", "LOST"] for line in done.stdout.splitlines())
    folder = harness.reports()[0].parent
    again = harness.run("check", str(folder))
    assert again.returncode == 1
    assert again.stdout in done.stdout
    assert json.loads(judge_folder(folder).model_dump_json()) == report
