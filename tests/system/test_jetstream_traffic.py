"""A run with traffic on a stream whose leader is killed: what the run folder holds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command_line import Harness

from harness.history.model import History
from harness.history.tables import Outcome

LEADER = """
name: {name}
seed: 7
cluster: {{servers: 3, jetstream: true}}
streams: [{{name: ORDERS, subjects: ["o.>"], replicas: 3}}]
client:
  servers: [n1, n2, n3]
  options: {{reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}
workloads:
  - {{name: orders, kind: jetstream, stream: ORDERS, publishers: 2, rate: 100/s, ack_timeout: 2s,
      retry: {{max: 60}}, max_in_flight: 2000,
      consumers: [{{durable: C1, ack_wait: 2s}}, {{mode: ordered, idle_heartbeat: 1s}}],
      attach: {{consumers: "follower:ORDERS"}}}}
  - {{name: hello, kind: core, rate: 50/s, attach: {{publishers: "stream-leader:ORDERS"}}}}
phases: {{warmup: 500ms, steady: 1s, recovery: 15s, drain: 20s}}
faults:
  - {{name: kill-leader, action: kill, target: "stream-leader:ORDERS", duration: 2s}}
thresholds:
  unknown: ["ratio < 100%"]
  time_to_first_ack: ["censored == 0"]
"""

SHARED = """
name: {name}
cluster: {{servers: 3, jetstream: true}}
streams: [{{name: S, subjects: ["s.>"], max_msgs_per_subject: 20}}]
workloads:
  - {{name: one, kind: jetstream, stream: S, rate: 50/s,
      consumers: [{{durable: D, filter: s.two}}]}}
  - {{name: two, kind: jetstream, stream: S, rate: 20/s}}
phases: {{warmup: 200ms, steady: 1s, recovery: 1s, drain: 5s}}
thresholds:
  consumer_lost: ["count == 0"]
"""


@pytest.mark.lab
@pytest.mark.timeout(150)
def test_streams_and_core_traffic_stand_beside_one_another(harness: Harness) -> None:
    result = harness.run("run", harness.scenario(LEADER), "--backend", "lab")
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = harness.reports()
    (iteration,) = History.load(path.parent).iterations
    assert iteration.whole
    assert iteration.drained
    clients = {client.name: client for client in iteration.clients}
    publishers = [one.id for one in clients.values() if one.asks]
    assert (clients["orders-consumer-1"].stream, clients["orders-consumer-1"].consumer) == (
        "ORDERS",
        "C1",
    )
    to_stream = np.isin(iteration.sent["client"], publishers)
    acked = to_stream & (iteration.sent["outcome"] == Outcome.ACKED)
    assert len(iteration.acks["client"]) == np.count_nonzero(acked)
    assert len(set(iteration.acks["stream_sequence"])) == np.count_nonzero(acked)
    assert iteration.acks["attempts"].max() > 1
    for name in ("orders-consumer-1", "orders-consumer-2"):
        seen = iteration.consumed["stream_sequence"][
            iteration.consumed["client"] == clients[name].id
        ]
        assert set(iteration.acks["stream_sequence"]) <= set(seen), name
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["metrics"]["time_to_first_ack"]["n"] >= 2
    again = harness.run("check", str(path.parent))
    assert again.returncode == 0, again.stdout + again.stderr


@pytest.mark.timeout(90)
def test_subjects_that_are_left_out_tell_workloads_of_one_stream_apart(harness: Harness) -> None:
    result = harness.run("run", harness.scenario(SHARED), "--backend", "local")
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = harness.reports()
    (stream,) = json.loads(path.read_text(encoding="utf-8"))["iterations"][0]["streams"]
    (iteration,) = History.load(path.parent).iterations
    assert iteration.subjects == {"one": "s.one", "two": "s.two"}
    (replica,) = stream["replicas"]
    assert replica["stored"] == 40
    assert (stream["lost"], stream["removed"]) == (0, stream["acked"] - 40)
    (consumer,) = stream["consumers"]
    assert consumer["expected"] == consumer["delivered"] < stream["acked"] / 2


def test_the_scenario_of_a_stream_is_valid_and_the_schema_has_it(harness: Harness) -> None:
    assert harness.run("validate", harness.scenario(LEADER)).returncode == 0
    schema = json.loads(harness.run("schema", "scenario").stdout)
    assert "jetstream" in json.dumps(schema["properties"]["workloads"]) + json.dumps(
        schema["$defs"]
    )
