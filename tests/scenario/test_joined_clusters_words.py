"""Superclusters and leaf nodes as a user writes them: what is read, and what is refused where."""

from __future__ import annotations

import re

import pytest
from jsonschema import Draft202012Validator

from harness.errors import ScenarioError
from harness.scenario.dump import dump_yaml
from harness.scenario.load import Loaded, loads
from harness.scenario.reading import read_tree
from harness.scenario.schema import scenario_schema
from harness.scenario.tree import to_plain
from harness.vocabulary import VOCABULARY

TEXT = """\
name: joined
cluster: {CLUSTER}
client: {options: {ping_interval: 1s}}
workloads:
  - {name: hello, kind: core, rate: 10/s, subscribers: 2, attach: {subscribers: WHERE}}
faults:
  - {name: f, duration: 4s, FAULT}
thresholds: {lost: ["count == 0"]}
"""
SUPER = "clusters: {east: {servers: 2}, west: {servers: 3}}"
LEAF = "servers: 2, leafnodes: [{name: edge}, {name: shop, servers: 2}]"
KILL = "action: kill"
CUT = "action: partition"


def write(cluster: str, fault: str = KILL, where: str = "spread") -> str:
    text = TEXT.replace("CLUSTER", cluster).replace("FAULT", fault)
    return text.replace("WHERE", where)


def read(cluster: str, fault: str = KILL, where: str = "spread") -> Loaded:
    return loads(write(cluster, fault, where), "s.yaml", VOCABULARY)


def test_nodes_are_numbered_through_cluster_after_cluster_and_leaf_after_leaf() -> None:
    sites = read(SUPER).scenario.cluster.sites
    assert sites.names == {"east": ("n1", "n2"), "west": ("n3", "n4", "n5")}
    assert [site.seed for site in sites.every] == ["n1", "n3"]
    spec = read(LEAF).scenario.cluster
    assert spec.sites.names == {"hub": ("n1", "n2"), "edge": ("n3",), "shop": ("n4", "n5")}
    assert spec.nodes == ("n1", "n2", "n3", "n4", "n5")
    assert read("servers: 3").scenario.cluster.sites.names == {}


def test_two_nodes_are_joined_by_routes_gateways_leaf_nodes_or_nothing() -> None:
    joint = read(SUPER).scenario.cluster.sites.joint
    assert [joint("n1", other) for other in ("n2", "n3", "hello-publishers")] == [
        "routes",
        "gateways",
        None,
    ]
    joint = read(LEAF).scenario.cluster.sites.joint
    assert [joint("n3", other) for other in ("n1", "n4")] == ["leafnodes", None]
    assert [joint("n5", other) for other in ("n4", "n2")] == ["routes", "leafnodes"]


@pytest.mark.parametrize(
    ("cluster", "fault", "where"),
    [
        (SUPER, KILL, "west"),
        (f"{SUPER}, servers: 5", 'action: kill, target: "cluster:west", count: minority', "n5"),
        (SUPER, f'{CUT}, target: "cluster:west", between: gateways', "east"),
        (SUPER, f"{CUT}, topology: custom, drop: [[east, west], [west, n1]]", "east"),
        (SUPER, f"{CUT}, topology: custom, drop: [[east, hello]]", "east"),
        (SUPER, f"{CUT}, topology: halves, between: gateways", "seed"),
        (
            "clusters: {east: {}, west: {}}",
            "action: bandwidth, rate: 1Mbit, between: gateways",
            "n4",
        ),
        (LEAF, "action: delay, delay: 5ms, target: n1, between: leafnodes", "edge"),
        (LEAF, "action: refuse, target: n1, between: leafnodes", "hub"),
        (LEAF, f"{CUT}, topology: custom, drop: [[hub, shop], [shop, hub]]", "shop"),
    ],
)
def test_what_can_be_done_is_read_survives_a_dump_and_fits_the_schema(
    cluster: str, fault: str, where: str
) -> None:
    scenario = read(cluster, fault, where).scenario
    assert loads(dump_yaml(scenario), "dump", VOCABULARY).scenario == scenario
    validator = Draft202012Validator(scenario_schema(VOCABULARY))
    for text in (write(cluster, fault, where), dump_yaml(scenario)):
        root = read_tree(text).root
        assert root is not None
        assert [error.message for error in validator.iter_errors(to_plain(root))] == []


def test_silence_between_clusters_concerns_no_client() -> None:
    drop = f"{CUT}, topology: custom, drop: [[east, west]]"
    for fault in (drop, f"{CUT}, between: gateways"):
        assert read(SUPER, fault.replace("duration: 4s", "duration: 1s")).warnings == ()
    short = write(SUPER, f"{CUT}, topology: custom, drop: [[east, hello]]").replace("4s", "1s")
    assert "clients will not notice 'f'" in loads(short, "s.yaml", VOCABULARY).warnings[0]


@pytest.mark.parametrize(
    ("cluster", "fault", "where", "said"),
    [
        ("clusters: {east: {}}", KILL, "n1", "2:21: cluster.clusters: expected two clusters"),
        ("clusters: {East: {}, w: {}}", KILL, "n1", "cluster.clusters.East: expected a name of"),
        ("clusters: {east: 3, w: {}}", KILL, "n1", "cluster.clusters.east: expected a mapping"),
        (
            "clusters: {e: {servers: 0}, w: {}}",
            KILL,
            "n1",
            "servers: expected a value of at least 1",
        ),
        ("clusters: {e: {server: 2}, w: {}}", KILL, "n1", "did you mean 'servers'?"),
        (f"{SUPER}, servers: 3", KILL, "n1", "cluster.servers: the clusters have 5 servers in all"),
        (
            "clusters: {e: {servers: 20}, w: {servers: 6}}",
            KILL,
            "n1",
            "cluster.clusters: expected at most 25 servers in all, found 26",
        ),
        (
            "servers: 25, leafnodes: [{name: x}]",
            KILL,
            "n1",
            "cluster.leafnodes: expected at most 25 servers in all, found 26",
        ),
        (f"{SUPER}, leafnodes: [{{name: x}}]", KILL, "n1", "only beside a system account"),
        (f"{SUPER}, jetstream: true", KILL, "n1", "cluster.jetstream: JetStream across gateways"),
        (f"{LEAF}, jetstream: true", KILL, "n1", "cluster.jetstream: JetStream across gateways"),
        ("clusters: {n7: {}, w: {}}", KILL, "n1", "cluster.clusters.n7: 'n7' has a meaning of its"),
        ("clusters: {seed: {}, w: {}}", KILL, "n1", "cluster.clusters.seed: 'seed' has a meaning"),
        ("clusters: {hello: {}, w: {}}", KILL, "n1", "a workload is called 'hello' too"),
        ("clusters: {hello-publishers: {}, w: {}}", KILL, "n1", "a client group is called"),
        ("leafnodes: [{name: hub}]", KILL, "n1", "leafnodes[0].name: 'hub' is the name of the"),
        ("leafnodes: [{name: x}, {name: x}]", KILL, "n1", "leafnodes[1].name: 'x' is the name of"),
        (SUPER, KILL, "wst", "unknown node 'wst' (did you mean 'west'?)"),
        ("servers: 3", KILL, "hub", "unknown node 'hub'"),
        (SUPER, 'action: kill, target: "cluster:wst"', "n1", "did you mean 'cluster:west'?"),
        ("servers: 3", 'action: kill, target: "cluster:hub"', "n1", "unknown target 'cluster:hub'"),
        (
            SUPER,
            f"{CUT}, topology: custom, drop: [[east, wst]]",
            "n1",
            "unknown node, cluster, client",
        ),
        ("servers: 3", f"{CUT}, between: gateways", "n1", "between: there are no gateways in this"),
        (SUPER, f"{CUT}, between: leafnodes", "n1", "there are no leafnodes in this cluster; see"),
        (
            "servers: 1, leafnodes: [{name: a, servers: 2}]",
            "action: refuse, target: [n1, n2], between: leafnodes",
            "n1",
            "target: n2 is a leaf node, to which hub makes no connections; aim at nodes of hub",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_place(
    cluster: str, fault: str, where: str, said: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        read(cluster, fault, where)
    assert re.match(r"s\.yaml:[257]:\d+: ", str(refused.value))
    assert said in str(refused.value)


def test_faults_on_a_cluster_and_on_a_node_of_it_do_not_overlap() -> None:
    text = write(SUPER, 'action: kill, target: "cluster:west"').replace(
        "thresholds", "  - {name: g, action: pause, target: n4, duration: 1s}\nthresholds"
    )
    with pytest.raises(ScenarioError, match="'f' and 'g' both act on n4"):
        loads(text, "s.yaml", VOCABULARY)
