"""Superclusters and leaf nodes: their configurations, the links between them, who is aimed at."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.cluster.binaries import bundled
from harness.cluster.config import NodeConfig, render
from harness.cluster.grudge import all_links, around, grudge
from harness.cluster.links import Link
from harness.cluster.preflight import check
from harness.cluster.protocols import Address, Endpoints
from harness.cluster.targets import resolve
from harness.errors import UsageError
from harness.placement import plan_workers
from harness.scenario.load import loads
from harness.scenario.model import ClusterSpec, FaultStep
from harness.vocabulary import VOCABULARY

SUPER = {"clusters": {"east": {"servers": 2}, "west": {"servers": 2}}}
LEAF = {"servers": 2, "leafnodes": [{"name": "edge", "servers": 2}]}
SITES = ClusterSpec.model_validate(SUPER).sites
LEAVES = ClusterSpec.model_validate(LEAF).sites
NODES = ("n1", "n2", "n3", "n4")
GROUPS = ("hello-publishers", "hello-subscribers")
LOGIN = {"user": "r", "password": "s3cret"}


def rendered(node: str, **facts: Any) -> NodeConfig:
    spec = ClusterSpec.model_validate(facts)
    ports = (4222, 6222, 8222, 7222, 7422)
    endpoints = {
        name: Endpoints(*(Address(f"198.18.0.{i + 1}", port) for port in ports))
        for i, name in enumerate(spec.nodes)
    }
    return render(spec, node, endpoints, Path("/run/store"))


def test_a_node_is_given_its_own_seed_and_the_seed_of_each_other_cluster(tmp_path: Path) -> None:
    config = rendered("n4", **SUPER)
    assert config.effective["cluster"]["name"] == "west"
    assert config.effective["cluster"]["routes"] == ["nats://198.18.0.3:6222"]
    assert config.effective["gateway"] == {
        "name": "west",
        "listen": "198.18.0.4:7222",
        "gateways": [{"name": "east", "urls": ["nats://198.18.0.1:7222"]}],
    }
    assert "routes" not in rendered("n3", **SUPER).effective["cluster"]
    path = tmp_path / "n4.conf"
    path.write_text(config.text)
    check(bundled(), config, path, {})


def test_a_hub_listens_for_leaf_nodes_and_a_leaf_knows_its_seed() -> None:
    assert rendered("n2", **LEAF).effective["leafnodes"] == {"listen": "198.18.0.2:7422"}
    leaf = rendered("n4", **LEAF).effective
    assert leaf["leafnodes"] == {"remotes": [{"urls": ["nats://198.18.0.1:7422"]}]}
    assert leaf["cluster"]["routes"] == ["nats://198.18.0.3:6222"]
    assert [rendered(node, **LEAF).effective["cluster"]["name"] for node in ("n1", "n3")] == [
        "hub",
        "edge",
    ]


def test_a_plain_cluster_has_neither() -> None:
    assert not {"gateway", "leafnodes"} & rendered("n1", servers=3).effective.keys()


@pytest.mark.parametrize(("facts", "node"), [(SUPER, "n1"), (LEAF, "n1"), (LEAF, "n3")])
def test_servers_log_in_to_each_other_and_no_password_is_shown(
    facts: dict[str, Any], node: str
) -> None:
    config = rendered(node, **facts, route_authorization=LOGIN)
    assert "s3cret" not in config.text + str(config.effective)
    assert any("s3cret" in value for value in config.environment.values())


@pytest.mark.parametrize(
    ("facts", "config", "said"),
    [
        (SUPER, {"gateway": {"Name": "x"}}, "cluster.config.gateway.name: the harness names"),
        (SUPER, {"gateway": {"port": 1}}, "cluster.config.gateway.port: the harness chooses"),
        (LEAF, {"leafnodes": {"remotes": []}}, "leafnodes.remotes: cluster.leafnodes says"),
        (LEAF, {"jetstream": "enabled"}, "cluster.config.jetstream: JetStream across"),
    ],
)
def test_what_the_harness_decides_is_refused(
    facts: dict[str, Any], config: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        rendered("n1", **facts, config=config)


def test_links_between_gateways_or_leaf_nodes_are_those_that_cross() -> None:
    crossing = {Link(one, other) for one in ("n1", "n2") for other in ("n3", "n4")}
    crossing |= {Link(link.target, link.source) for link in crossing}
    assert all_links(NODES, GROUPS, "gateways", SITES) == crossing
    assert all_links(NODES, GROUPS, "leafnodes", LEAVES) == crossing
    assert all_links(NODES, GROUPS, "leafnodes", SITES) == frozenset()
    assert crossing < all_links(NODES, GROUPS, "servers", SITES)
    to_n1 = around(["n1"], NODES, GROUPS, direction="to", between="gateways", sites=SITES)
    assert to_n1 == {Link("n3", "n1"), Link("n4", "n1")}
    halves = grudge("halves", NODES, GROUPS, random=Random(1), between="gateways", sites=SITES)
    assert halves < crossing


def test_a_cluster_as_a_target_keeps_the_links_among_its_nodes() -> None:
    for together in (False, True):
        cut = grudge(
            "isolate",
            NODES,
            GROUPS,
            random=Random(1),
            targets=("n3", "n4"),
            together=together,
            sites=SITES,
        )
        assert (Link("n3", "n4") in cut) is not together
        assert {Link("n3", "n1"), Link("hello-publishers", "n4")} <= cut
        assert Link("n1", "n2") not in cut


def test_a_cluster_in_a_drop_list_stands_for_its_nodes() -> None:
    drop = [("east", "n3"), ("hello", "west")]
    cut = grudge("custom", NODES, GROUPS, random=Random(1), drop=drop, sites=SITES)
    assert {str(link) for link in cut} == {
        "n1->n3",
        "n2->n3",
        "hello-publishers->n3",
        "hello-publishers->n4",
        "hello-subscribers->n3",
        "hello-subscribers->n4",
    }


def test_a_cluster_as_a_target_is_its_nodes_or_some_of_them() -> None:
    def aim(**fields: Any) -> tuple[str, ...]:
        step = FaultStep(name="f", action="kill", target="cluster:west", **fields)
        return resolve(step, NODES, lambda *_: frozenset(), Random(3), SITES.names)

    assert aim() == ("n3", "n4")
    assert len(aim(count="one")) == 1
    assert set(aim(count="one")) < {"n3", "n4"}


def test_clients_attached_to_a_cluster_are_spread_over_its_nodes() -> None:
    text = """
name: joined
cluster: {clusters: {east: {servers: 2}, west: {servers: 2}}}
workloads:
  - {name: w, kind: core, rate: 1/s, publishers: 1, subscribers: 3, attach: {subscribers: west}}
"""
    scenario = loads(text, "s.yaml", VOCABULARY).scenario
    addresses = {node: Address(node, 4222) for node in scenario.cluster.nodes}
    plans = plan_workers(scenario, addresses, Path("/run"), run=1, seed="s")
    servers = [client.servers for plan in plans for client in plan.clients]
    assert servers == [(f"nats://{node}:4222",) for node in ("n1", "n3", "n4", "n3")]
