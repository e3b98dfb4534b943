"""One server without a cluster: it leads what it has, and a durable consumer survives a kill."""

from __future__ import annotations

import pytest
from command_line import Harness

from harness.history.model import History

ALONE = """
name: {{name}}
seed: 7
cluster: {{{{servers: 1, jetstream: true{version}}}}}
streams: [{{{{name: S, subjects: ["s.>"], storage: {storage}}}}}]
client: {{{{options: {{{{reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}}}}}}}
workloads:
  - {{{{name: js, kind: jetstream, stream: S, rate: 100/s, ack_timeout: 2s,
      retry: {{{{max: 5, msg_id: true}}}}, consumers: [{{{{durable: D, ack_wait: 2s}}}}]}}}}
phases: {{{{warmup: 500ms, steady: 1s, recovery: 3s, drain: 10s}}}}
faults:
  - {{{{name: crash, action: kill, target: "consumer-leader:S/D", duration: 1s}}}}
thresholds:
  stream_lost: ["count == 0"]
  consumer_lost: ["count == 0"]
"""


def alone(storage: str = "file", version: str = "") -> str:
    return ALONE.format(storage=storage, version=version and f', version: "{version}"')


@pytest.mark.timeout(120)
@pytest.mark.parametrize("version", ["", "2.10.25", "2.12.1"])
def test_a_durable_consumer_of_a_server_alone_outlives_a_kill(
    harness: Harness, version: str
) -> None:
    ran = harness.run("run", harness.scenario(alone(version=version)), "--backend", "local")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (path,) = harness.reports()
    (iteration,) = History.load(path.parent).iterations
    (made,) = iteration.of_kind("consumer.created")
    (told,) = iteration.of_kind("consumer.state")
    assert made["leader"] == "n1"
    assert told["num_pending"] == told["num_ack_pending"] == 0
    sampled = [one["consumers"] for one in iteration.of_kind("jetstream.sampled")]
    assert sum("S/D" in one for one in sampled) > 1
    assert [window.targets for window in iteration.faults] == [("n1",)]


@pytest.mark.timeout(120)
def test_a_memory_stream_that_a_server_alone_lost_fails(harness: Harness) -> None:
    ran = harness.run("run", harness.scenario(alone("memory")), "--backend", "local")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "stream_lost" in ran.stdout
