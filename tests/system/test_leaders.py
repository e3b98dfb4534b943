"""Leaders of real servers: watched from outside, aimed at, asked to step down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from command_line import Harness

from harness.backends.lab.links import LabLinks
from harness.backends.lab.shaper import LabShaper
from harness.backends.local import LocalBackend
from harness.load.observing import Logins, observer
from harness.scenario.model import ClusterSpec

LEADERS = """
name: {name}
cluster: {{servers: 3, jetstream: true}}
streams:
  - {{name: ORDERS, subjects: ["o.>"], replicas: 3}}
  - {{name: TWO, replicas: 2}}
workloads:
  - {{name: hello, kind: core, rate: 100/s, attach: {{publishers: "stream-leader:ORDERS"}}}}
phases: {{warmup: 200ms, steady: 500ms, recovery: 12s, drain: 2s}}
faults:
  - name: stream
    action: step-down
    target: "stream-leader:ORDERS"
    expect: {{leader_changed: true}}
  - name: meta
    action: step-down
    target: meta-leader
    at: 1500ms
    expect: {{leader_changed: true}}
  - {{name: peer, action: peer-remove, stream: TWO, target: "follower:TWO", at: 3s}}
  - name: kill
    action: kill
    target: "stream-leader:ORDERS"
    at: 8s
    duration: 8s
    expect: {{leader_changed: true}}
thresholds:
  "leader_election_time{{group:stream:ORDERS}}": ["n >= 2", "max < 20s"]
  "replica_catchup_time{{stream:ORDERS}}": ["n == 4"]
"""
CUT = """
name: {name}
cluster: {{servers: 3, jetstream: true}}
client: {{options: {{ping_interval: 1s}}}}
streams: [{{name: ORDERS, replicas: 3}}]
workloads: [{{name: hello, kind: core, rate: 50/s}}]
phases: {{warmup: 200ms, steady: 500ms, recovery: 8s, drain: 2s}}
faults:
  - name: cut
    action: partition
    target: "stream-leader:ORDERS"
    between: all
    duration: 24s
    expect: {{leader_changed: true}}
"""


def events_of(harness: Harness) -> list[dict[str, Any]]:
    lines = harness.reports()[0].with_name("events.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.lab
def test_leaders_step_down_peers_are_replaced_and_all_replicas_are_read(harness: Harness) -> None:
    result = harness.run("run", harness.scenario(LEADERS), "--backend", "lab")
    report = harness.report()
    doubts = [one for one in report["findings"] if one["check"] in ("proof", "expectation")]
    assert len(doubts) == 7
    assert {one["verdict"] for one in doubts} == {"pass"}, result.stdout + result.stderr
    (whole,) = [one for one in report["findings"] if one["check"] == "completion"]
    assert whole["verdict"] == "pass"
    events = events_of(harness)
    kinds = {one["kind"] for one in report["iterations"][0]["timeline"]}
    assert {"stream.created", "jetstream.leader", "jetstream.advisory"} <= kinds
    reads = [(one["stream"], one["node"]) for one in events if one["kind"] == "audit.read"]
    assert len(set(reads)) == len(reads) == 5
    led = next(one["leader"] for one in events if one["kind"] == "stream.created")
    (home,) = [
        one["server"]
        for one in events
        if one["kind"] == "client.connected" and one["client"] == "hello-publisher-1"
    ]
    assert home == led


@pytest.mark.lab
def test_a_server_that_is_cut_off_is_still_heard(harness: Harness) -> None:
    result = harness.run("run", harness.scenario(CUT), "--backend", "lab")
    events = events_of(harness)
    (cut,) = [one for one in events if one["kind"] == "fault.hit" and one["silent"]][:1]
    healed = next(one["at_ns"] for one in events if one["kind"] == "fault.heal_started")
    alone = next(one["targets"][0] for one in events if one["kind"] == "fault.inject_started")
    lost = [
        one
        for one in events
        if one["kind"] == "jetstream.advisory"
        and one["advisory"] == "stream_quorum_lost"
        and cut["at_ns"] < one["at_ns"] < healed
    ]
    assert {one["node"] for one in lost} == {alone}, result.stdout + result.stderr
    links = [link for one in events if one["kind"] == "fault.probed" for link in one["links"]]
    assert links
    assert "observer" not in {place for link in links for place in (link["from"], link["to"])}
    (met,) = [one for one in harness.report()["findings"] if one["check"] == "expectation"]
    assert met["verdict"] == "pass"


def test_no_fault_of_links_knows_the_observer_in_the_lab() -> None:
    places = dict.fromkeys(("n1", "n2", "hello-publishers", "observer"))
    network = cast("Any", SimpleNamespace(places=places, endpoints={"n1": 1, "n2": 2}))
    links = LabLinks(network, *cast("Any", (None, None, None)))
    assert links.groups == ("hello-publishers",)
    assert "observer" not in {place for one in links.usable for place in (one.source, one.target)}
    shaper = LabShaper(network, ("n1", "n2"), *cast("Any", (Path("x"), None)))
    assert shaper.groups == ("hello-publishers",)


@pytest.mark.anyio
async def test_proxies_that_let_nothing_pass_do_not_hold_up_the_observer(tmp_path: Path) -> None:
    spec = ClusterSpec.model_validate({"servers": 1, "jetstream": True})
    groups = ("hello-publishers", "observer")
    silent: Callable[..., None] = lambda *_, **__: None  # noqa: E731 - nobody reads the events
    async with (
        LocalBackend(proxied=True).cluster(
            spec, groups=groups, folder=tmp_path, record=silent
        ) as on,
        observer(on, Logins(), tmp_path / "observer.log") as found,
    ):
        await on.form(20.0)
        links = on.links
        assert links is not None
        assert links.groups == ("hello-publishers",)
        await found.request("$JS.API.INFO", limit_s=5.0)
        links.cut(links.usable)
        passed = await links.probe(links.usable, 1, 0.5)
        assert not any(one.received for one in passed.values())
        assert "error" not in await found.request("$JS.API.INFO", limit_s=5.0)
        links.heal(links.usable)
