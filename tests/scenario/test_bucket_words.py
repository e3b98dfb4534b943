"""Scenarios with buckets: what is refused, and where."""

from __future__ import annotations

import pytest

from harness.errors import ScenarioError
from harness.scenario.load import loads
from harness.vocabulary import VOCABULARY

BASE = """\
name: x
cluster: {cluster}
workloads:
  - {workload}
  - {{name: hello, kind: core}}
thresholds: {thresholds}
"""
KV = "{name: cfg, kind: kv, replicas: 3}"
JETSTREAM = "{servers: 3, jetstream: true}"


def text(cluster: str = JETSTREAM, workload: str = KV, thresholds: str = "{}") -> str:
    return BASE.format(cluster=cluster, workload=workload, thresholds=thresholds)


def refusals(source: str) -> list[str]:
    try:
        loads(source, "x.yaml", VOCABULARY)
    except ScenarioError as error:
        return str(error).splitlines()
    return []


def test_a_bucket_in_a_cluster_with_jetstream_is_accepted() -> None:
    assert refusals(text()) == []
    assert refusals(text(workload="{name: blobs, kind: object, payload: 4MiB}")) == []
    assert refusals(text("{servers: 3, config: {jetstream: {max_mem: 1000000}}}")) == []


@pytest.mark.parametrize(
    ("source", "where", "message"),
    [
        (text("{servers: 3}"), 4, "a kv workload needs JetStream; add cluster.jetstream: true"),
        (text("{servers: 1, jetstream: true}"), 4, "3 replicas need as many servers"),
        (text(workload="{name: cfg, kind: kv, mix: {put: 1, gets: 2}}"), 4, "gets"),
        (text(workload="{name: cfg, kind: kv, mix: {get: 1}}"), 4, "something that writes"),
        (text(workload="{name: cfg, kind: kv, client: 3}"), 4, "client"),
        (text(workload="{name: cfg, kind: kv, bucket: a.b}"), 4, "a.b"),
        (text(workload="{name: cfg, kind: kv, payload: 2MiB}"), 4, "the servers take at most"),
        (text(workload="{name: cfg, kind: kv, attach: {clients: n1}}"), 4, "no role 'clients'"),
        (text(thresholds='{object_lost: ["count == 0"]}'), 6, "needs an object workload"),
        (
            text(thresholds='{"kv_lost{workload:hello}": ["count == 0"]}'),
            6,
            "needs a kv workload, and workload 'hello' is not one",
        ),
        (
            text(thresholds='{"kv_violations{guarantee:write}": ["count == 0"]}'),
            6,
            "no value 'write' (did you mean 'writes'?)",
        ),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(source: str, where: int, message: str) -> None:
    (line,) = refusals(source)
    assert f":{where}:" in line
    assert message in line


def test_two_workloads_do_not_share_a_stream() -> None:
    both = "{name: a, kind: kv, bucket: same}\n  - {name: b, kind: kv, bucket: same}"
    (line,) = refusals(text(workload=both))
    assert "its bucket is kept in the stream 'KV_same', which workload 'a' makes already" in line
    declared = text(workload="{name: a, kind: kv}") + "streams: [{name: KV_a, subjects: [x]}]\n"
    (line,) = refusals(declared)
    assert "'KV_a', which streams has already" in line


def test_thresholds_on_buckets_are_accepted() -> None:
    thresholds = (
        '{kv_lost: ["count == 0"], "kv_stale_reads{read:leader}": ["count == 0"], '
        '"kv_violations{guarantee:writes,workload:cfg}": ["count == 0"], '
        'watch_gaps: ["ratio < 1%"], "service_latency{workload:cfg}": ["p99 < 1s"]}'
    )
    assert refusals(text(thresholds=thresholds)) == []
