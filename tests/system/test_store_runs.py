"""Whole runs with buckets on three servers, in the lab."""

from __future__ import annotations

from typing import Any

import pytest
from command_line import Harness

pytestmark = [pytest.mark.lab, pytest.mark.slow]

SCENARIO = """
name: buckets
seed: 5
cluster: {servers: 3, jetstream: true}
client:
  servers: [n1, n2, n3]
  options: {ping_interval: 1s, reconnect_time_wait: 100ms, max_reconnect_attempts: -1}
workloads:
  - {name: cfg, kind: kv, users: 3, watchers: 2, rate: 150/s, keys: 5, replicas: 3,
     attach: {users: spread, watchers: spread}}
  - {name: blobs, kind: object, users: 1, rate: 4/s, payload: 200KiB, replicas: 3}
phases: {warmup: 500ms, steady: 2s, recovery: %s, drain: 30s}
faults: [%s]
thresholds:
  kv_lost: ["count == 0"]
  kv_conflicts: ["count == 0"]
  kv_denied: ["ratio < 50%%"]
  watch_gaps: ["count == 0"]
  object_lost: ["count == 0"]
  object_corrupted: ["count == 0"]
  unknown: ["ratio < 90%%"]
"""


def metric(report: dict[str, Any], name: str) -> dict[str, Any]:
    found = report["metrics"][name]
    assert isinstance(found, dict)
    return found


def test_buckets_on_three_servers_pass_without_a_fault(harness: Harness) -> None:
    scenario = harness.scenario(SCENARIO % ("500ms", "") + '  kv_stale_reads: ["count == 0"]\n')
    run = harness.run("run", scenario)
    assert run.returncode == 0, run.stdout + run.stderr
    findings = harness.report()["findings"]
    told = {one["check"]: one["detail"] for one in findings if one["check"] in ("kv", "objects")}
    assert "every write that succeeded is there" in told["kv"]
    assert "objects that were put is there" in told["objects"]


@pytest.mark.parametrize(
    "fault",
    [
        "{name: f, action: kill, target: %s, duration: 3s}",
        "{name: f, action: partition, target: %s, between: servers, duration: 12s}",
    ],
    ids=["kill", "partition"],
)
def test_what_was_acknowledged_survives_the_loss_of_any_server(
    harness: Harness, fault: str
) -> None:
    run = harness.run("run", harness.scenario(SCENARIO % ("15s", fault % "n2")))
    assert run.returncode == 0, run.stdout + run.stderr
    report = harness.report()
    assert metric(report, "kv_lost")["n"] > 0
    # What the faults did to the users is measured as for any other load.
    assert metric(report, "outage_window")["n"] > 0
    assert metric(report, "service_latency")["n"] > 0
