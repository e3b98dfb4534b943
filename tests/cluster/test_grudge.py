"""Partitions as sets of links: what every topology must keep to, for 2 to 9 nodes."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cluster.grudge import FEWEST, Between, Topology, all_links, around, grudge, stands_for
from harness.cluster.links import Link

GROUPS = ("hello-publishers", "hello-subscribers", "my-app-requesters")


def names(count: int) -> tuple[str, ...]:
    return tuple(f"n{index + 1}" for index in range(count))


def sees(cut: frozenset[Link], nodes: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """Return whom each node both hears and reaches, itself included."""
    return {
        one: frozenset(
            other for other in nodes if Link(one, other) not in cut and Link(other, one) not in cut
        )
        for one in nodes
    }


sizes = st.integers(min_value=2, max_value=9)
seeds = st.integers(min_value=0, max_value=1000)
drawn = st.sampled_from(["halves", "bridge", "ring"])
betweens: st.SearchStrategy[Between] = st.sampled_from(["servers", "clients", "all"])


@given(sizes, seeds, drawn, betweens)
def test_drawn_partitions_are_symmetric_without_self_links_and_the_same_for_a_seed(
    size: int, seed: int, topology: Topology, between: Between
) -> None:
    nodes = names(max(size, FEWEST[topology]))
    cut = grudge(topology, nodes, GROUPS, random=Random(seed), between=between)
    assert all(link.source != link.target for link in cut)
    assert all(Link(link.target, link.source) in cut for link in cut)
    assert cut <= all_links(nodes, GROUPS, between)
    again = grudge(topology, nodes, GROUPS, random=Random(seed), between=between)
    assert again == cut


@given(sizes, seeds)
def test_halves_are_two_and_as_equal_as_can_be(size: int, seed: int) -> None:
    nodes = names(size)
    views = set(sees(grudge("halves", nodes, (), random=Random(seed)), nodes).values())
    one, other = sorted(views, key=len)
    assert one | other == set(nodes)
    assert not one & other
    assert len(other) - len(one) <= 1


@given(st.integers(min_value=3, max_value=9), seeds)
def test_a_bridge_joins_two_halves_by_one_node(size: int, seed: int) -> None:
    nodes = names(size)
    views = sees(grudge("bridge", nodes, (), random=Random(seed)), nodes)
    joints = [node for node, view in views.items() if view == set(nodes)]
    assert len(joints) == 1
    one, other = sorted({view for node, view in views.items() if node not in joints}, key=len)
    assert one & other == set(joints)
    assert one | other == set(nodes)
    assert len(other) - len(one) <= 1


@given(st.integers(min_value=4, max_value=9), seeds)
def test_in_a_ring_all_see_a_majority_and_no_two_the_same(size: int, seed: int) -> None:
    nodes = names(size)
    views = sees(grudge("ring", nodes, (), random=Random(seed)), nodes)
    assert all(size // 2 < len(view) < size for view in views.values())
    assert len(set(views.values())) == size


@given(sizes, seeds, betweens)
def test_isolated_nodes_are_alone_and_the_others_are_not_touched(
    size: int, seed: int, between: Between
) -> None:
    nodes = names(size)
    targets = Random(seed).sample(nodes, Random(seed).randint(1, size))
    cut = grudge("isolate", nodes, GROUPS, random=Random(0), targets=targets, between=between)
    for link in all_links(nodes, GROUPS, between):
        assert (link in cut) == bool({link.source, link.target} & set(targets))


def test_a_direction_is_relative_to_the_target() -> None:
    nodes = names(3)
    into = around(["n1"], nodes, GROUPS, direction="to")
    out_of = around(["n1"], nodes, GROUPS, direction="from")
    assert {link.target for link in into} == {"n1"}
    assert {link.source for link in out_of} == {"n1"}
    assert {link.source for link in into} == {"n2", "n3", *GROUPS}
    assert around(["n1"], nodes, GROUPS) == into | out_of
    assert {Link(link.target, link.source) for link in into} == out_of


def test_links_between_two_targets_count_in_each_direction_and_a_lone_node_has_none() -> None:
    nodes = names(3)
    into = around(nodes, nodes, GROUPS, direction="to", between="servers")
    assert into == around(nodes, nodes, GROUPS, between="servers")
    assert len(into) == 6
    assert around(["n1"], ["n1"], []) == frozenset()


def test_between_keeps_servers_and_clients_apart() -> None:
    nodes = names(3)
    servers = around(["n1"], nodes, GROUPS, between="servers")
    clients = around(["n1"], nodes, GROUPS, between="clients")
    assert servers | clients == around(["n1"], nodes, GROUPS)
    assert not servers & clients
    assert {link.target for link in servers} == set(nodes)


def test_custom_pairs_go_one_way_and_a_workload_stands_for_its_groups() -> None:
    cut = grudge("custom", names(3), GROUPS, random=Random(0), drop=[("n1", "n2"), ("hello", "n3")])
    assert {str(link) for link in cut} == {
        "n1->n2",
        "hello-publishers->n3",
        "hello-subscribers->n3",
    }


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("n2", ("n2",)),
        ("hello-publishers", ("hello-publishers",)),
        ("my-app", ("my-app-requesters",)),
        ("my", ()),
        ("n4", ()),
    ],
)
def test_a_name_stands_for_a_node_a_group_or_the_groups_of_a_workload(
    name: str, places: tuple[str, ...]
) -> None:
    assert stands_for(name, names(3), GROUPS) == places
