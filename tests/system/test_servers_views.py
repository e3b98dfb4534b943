"""What servers notice of a real cut, seen although they are cut off."""

from __future__ import annotations

import json

import pytest
from command_line import Harness

from harness.judging import judge_folder

CUT = """
name: {name}
cluster: {{servers: 3, config: {{cluster: {{ping_interval: 400ms, ping_max: 1}}}}}}
client: {{servers: [n1], options: {{ping_interval: 400ms, max_outstanding_pings: 1}}}}
workloads:
  - {{name: hello, kind: core, publishers: 1, subscribers: 1, rate: 100/s}}
phases: {{warmup: 200ms, steady: 500ms, recovery: 500ms, drain: 1s}}
faults:
  - {{name: cut, action: partition, target: n1, between: all, duration: 3s}}
thresholds:
  cluster_detection_time: ["n == 1", "censored == 0"]
  "server_detection_time{{what:route-gone}}": ["n == 4", "min > 100ms"]
  "server_detection_time{{what:connection-closed}}": ["n == 1", "max < 1h"]
"""


@pytest.mark.lab
def test_servers_that_are_cut_off_are_seen_to_notice_it(harness: Harness) -> None:
    result = harness.run("run", harness.scenario(CUT), "--backend", "lab")
    assert result.returncode == 3, result.stdout + result.stderr
    report = harness.report()
    doubts = [one for one in report["findings"] if one["verdict"] != "pass"]
    assert [(one["metric"], one["condition"]) for one in doubts] == [
        ("server_detection_time{what:connection-closed}", "max < 1h")
    ], "a server pings its clients only every 2 minutes, so it has not noticed"
    (fault,) = report["iterations"][0]["faults"]
    pairs = {(one["server"], one["peer"]) for one in fault["noticed"] if not one["censored"]}
    assert pairs >= {("n1", "n2"), ("n1", "n3"), ("n2", "n1"), ("n3", "n1")}
    lines = harness.reports()[0].with_name("events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    at_ns = {one["kind"]: one["at_ns"] for one in events if one["kind"].startswith("fault.")}
    seen = [
        one
        for one in events
        if one["kind"] == "server.sampled"
        and one["node"] == "n1"
        and at_ns["fault.hit"] < one["at_ns"] < at_ns["fault.heal_started"]
    ]
    assert len(seen) > 5
    assert "servers: n1, n2, n3 noticed that routes were gone" in result.stdout
    again = judge_folder(harness.reports()[0].parent)
    assert again.model_dump(mode="json") == report
