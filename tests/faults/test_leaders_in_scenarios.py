from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenario.load import load
from harness.vocabulary import VOCABULARY


def build(
    *, cluster: str = "{servers: 3}", faults: str = "", thresholds: str = "{}", attach: str = "{}"
) -> str:
    hello = f"{{name: hello, kind: core, rate: 500/s, attach: {attach}}}"
    return (
        f"name: x\ncluster: {cluster}\nworkloads: [{hello}]\nfaults: [{faults}]\n"
        f"thresholds: {thresholds}\n"
    )


@pytest.fixture
def refusals(tmp_path: Path):
    def refuse(text: str) -> list[str]:
        path = tmp_path / "x.yaml"
        path.write_text(text)
        try:
            load(path, VOCABULARY)
        except ScenarioError as error:
            return str(error).splitlines()
        return []

    return refuse


def refused(refusals, text: str) -> str:
    (line,) = refusals(text)
    return line


LED = "{servers: 3, jetstream: true}"
ORDERS = "[{name: ORDERS, subjects: [o], replicas: 3}, {name: ONE, subjects: [one]}]"


def led(**parts):
    return build(cluster=LED, **parts) + f"streams: {ORDERS}\n"


@pytest.mark.parametrize("target", ["meta-leader", '"stream-leader:ORDERS"', '"follower:ORDERS"'])
def test_leaders_and_followers_are_targets_where_there_are_streams(refusals, target):
    more = "duration: 1s, expect: {leader_changed: true}"
    assert refusals(led(faults=f"{{name: f, action: kill, target: {target}, {more}}}")) == []
    assert refusals(led(attach=f"{{publishers: {target}}}")) == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ('{action: kill, target: "stream-leader:ORDRES", duration: 1s}',
         "unknown stream 'ORDRES' (did you mean 'ORDERS'?)"),
        ('{action: kill, target: "follower:ONE", duration: 1s}', "has one replica"),
        ('{action: kill, target: "consumer-leader:ORDERS/C", duration: 1s}',
         "unknown consumer 'C' of stream 'ORDERS'"),
        ('{action: kill, target: "stream-leader", duration: 1s}', "names no stream"),
        ("{action: step-down}", "a leader steps down: expected one of meta-leader"),
        ('{action: step-down, target: "follower:ORDERS"}', "a leader steps down"),
        ("{action: step-down, target: meta-leader, duration: 1s}", "takes no duration"),
        ("{action: step-down, target: meta-leader, preferred: n9}", "unknown node 'n9'"),
        ("{action: step-down, target: meta-leader, preferred: [n1, n9]}", "unknown node 'n9'"),
        ("{action: step-down, target: meta-leader, preferred: []}", "preferred"),
        ("{action: peer-remove, stream: ORDERS, target: n1}", "has a replica on each of 3 servers"),
        ("{action: peer-remove, stream: NO, target: n1}", "unknown stream 'NO'"),
        ("{action: peer-remove, target: n1}", "stream"),
        ("{action: kill, target: n1, duration: 1s, expect: {leader_changed: no one}}",
         "faults[0].expect.leader_changed: expected true or false"),
    ],
)  # fmt: skip
def test_faults_of_leaders_that_cannot_be_are_refused(refusals, fault, message):
    assert message in refused(refusals, led(faults=fault.replace("{", "{name: f, ", 1)))


def test_a_server_alone_has_nobody_to_hand_its_lead_to(refusals):
    alone = "{servers: 1, jetstream: true}"
    streams = "streams: [{name: ORDERS, subjects: [o]}]\n"
    step = '{name: f, action: step-down, target: "stream-leader:ORDERS"}'
    line = refused(refusals, build(cluster=alone, faults=step) + streams)
    assert "faults[0].target: a server alone has nobody who could lead in its place" in line


def test_a_change_of_leaders_is_expected_only_where_there_are_any(refusals):
    fault = "{name: f, action: kill, target: n1, duration: 1s, expect: {leader_changed: true}}"
    assert "nothing here that has a leader" in refused(refusals, build(faults=fault))


def test_metrics_of_streams_need_streams(refusals):
    text = build(thresholds='{consumer_stalls: ["max < 1s"]}')
    assert "consumer_stalls needs a stream, and the scenario has none" in refused(refusals, text)


def test_groups_are_labels_of_elections(refusals):
    known = '{"leader_election_time{group:stream:ORDERS}": ["max < 1s"]}'
    assert refusals(led(thresholds=known)) == []
    unknown = '{"leader_election_time{group:stream:ORDRES}": ["max < 1s"]}'
    assert "did you mean 'stream:ORDERS'?" in refused(refusals, led(thresholds=unknown))


@pytest.mark.parametrize(
    ("cluster", "why"),
    [
        ("authorization: {user: u, password: p}", "cluster.authorization says who may log in"),
        ("config: {accounts: {A: {}}}", "cluster.config.accounts says who may log in"),
    ],
)
def test_a_meta_leader_that_cannot_be_asked_is_refused(refusals, cluster, why):
    text = build(
        cluster=f"{{servers: 3, jetstream: true, {cluster}}}",
        faults="{name: f, action: step-down, target: meta-leader}",
    )
    assert why in refused(refusals, text)
