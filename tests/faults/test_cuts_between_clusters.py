"""Faults of links between clusters: aimed at what crosses, proven there, and nowhere else."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from fake_links import FakeCluster, FakeLinks
from fake_strikes import strike_on, strike_with

from harness.cluster.links import Link
from harness.errors import FaultError
from harness.faults import FAULTS
from harness.scenario.model import ClusterSpec
from harness.scenario.sites import Sites

pytestmark = pytest.mark.anyio

NODES = ("n1", "n2", "n3", "n4")
SUPER = ClusterSpec.model_validate(
    {"clusters": {"east": {"servers": 2}, "west": {"servers": 2}}}
).sites
LEAF = ClusterSpec.model_validate({"servers": 2, "leafnodes": [{"name": "edge", "servers": 2}]})
CROSSING = {"n1->n3", "n1->n4", "n2->n3", "n2->n4", "n3->n1", "n3->n2", "n4->n1", "n4->n2"}


def make(sites: Sites = SUPER, **fields: Any) -> FakeCluster:
    return FakeCluster(FakeLinks(nodes=NODES, **fields), sites=sites)


def enter(cluster: FakeCluster, action: str, *names: str, **fields: Any) -> Any:
    fault = FAULTS[action].model_validate({"name": "f", "action": action, **fields})
    nodes = tuple(cluster.nodes[name] for name in names)
    strike = strike_on(nodes, action, cluster.record, random=Random(1))
    return strike_with(fault, strike, cluster)


def severed(cluster: FakeCluster) -> set[str]:
    assert cluster.links is not None
    return {str(link) for link in cluster.links.severed}


@pytest.mark.parametrize(
    ("sites", "fields"),
    [
        (SUPER, {"target": "cluster:west", "between": "gateways"}),
        (LEAF.sites, {"target": "cluster:edge", "between": "leafnodes"}),
        (SUPER, {"target": "cluster:west", "between": "servers"}),
        (SUPER, {"topology": "custom", "drop": [["east", "west"], ["west", "east"]]}),
    ],
)
async def test_a_cut_between_clusters_leaves_each_of_them_whole(
    sites: Sites, fields: dict[str, Any]
) -> None:
    cluster = make(sites)
    async with enter(cluster, "partition", "n3", "n4", **fields):
        assert severed(cluster) == CROSSING
    assert severed(cluster) == set()
    assert len(cluster.record.proofs("effect")) == len(cluster.record.proofs("undo")) == 4


async def test_one_node_of_a_cluster_is_cut_off_from_its_own_cluster_too() -> None:
    cluster = make()
    fields = {"target": "cluster:west", "count": "one", "between": "servers"}
    async with enter(cluster, "partition", "n4", **fields):
        assert {"n3->n4", "n4->n3", "n1->n4"} <= severed(cluster)
        assert "n1->n3" not in severed(cluster)


async def test_a_cut_between_clusters_that_lets_something_through_is_none() -> None:
    cluster = make(leaks=frozenset({Link("n4", "n2")}))
    fields = {"target": "cluster:west", "between": "gateways"}
    with pytest.raises(FaultError, match="during: the cut let something through: n4->n2"):
        async with enter(cluster, "partition", "n3", "n4", **fields):
            pytest.fail("entered")
    assert cluster.record.proofs("effect") == []


async def test_without_gateways_there_is_nothing_to_cut_between_them() -> None:
    cluster = make(LEAF.sites)
    with pytest.raises(FaultError, match="there is no link to cut"):
        async with enter(cluster, "partition", "n3", "n4", between="gateways"):
            pytest.fail("entered")


async def test_a_reset_between_clusters_spares_the_connections_within() -> None:
    cluster = make()
    links = cluster.links
    assert links is not None
    for port, peer in enumerate(("n1", "n4", "hello-publishers")):
        links.connect("n3", peer, port)
    async with enter(cluster, "reset", "n3", between="gateways"):
        assert {one.peer for one in links.streams("n3", links.groups + NODES)} == {
            "n4",
            "hello-publishers",
        }
    with pytest.raises(FaultError, match="n3 has no connection to reset"):
        async with enter(cluster, "reset", "n3", between="gateways"):
            pytest.fail("entered")


async def test_a_refusal_between_clusters_is_for_the_others_only() -> None:
    cluster = make()
    links = cluster.links
    assert links is not None
    async with enter(cluster, "refuse", "n1", between="gateways"):
        assert {str(link) for link in +links.refused} == {"n3->n1", "n4->n1"}
    assert not +links.refused
