"""Who cannot hear whom: partitions as sets of links, drawn from names alone.

The words are Jepsen's: a grudge says whose packets a place drops, a bridge is the one
node that both halves see, and in a ring every node sees a majority, but no two the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations, product
from random import Random
from typing import Literal

from harness.cluster.links import Link
from harness.scenario.sites import NOWHERE, Sites

Topology = Literal["isolate", "halves", "bridge", "ring", "custom"]
Direction = Literal["both", "to", "from"]
Between = Literal["servers", "clients", "gateways", "leafnodes", "all"]

FEWEST: Mapping[Topology, int] = {"halves": 2, "bridge": 3, "ring": 4}


def grudge(
    topology: Topology,
    nodes: Sequence[str],
    groups: Sequence[str],
    *,
    random: Random,
    targets: Sequence[str] = (),
    drop: Iterable[tuple[str, str]] = (),
    direction: Direction = "both",
    between: Between = "all",
    sites: Sites = NOWHERE,
    together: bool = False,
) -> frozenset[Link]:
    """Return the links to cut.

    - ``isolate``: every target alone, from all others; ``to`` cuts what comes to a target,
      ``from`` what leaves it. With `together`, the targets keep the links among themselves.
    - ``halves``: two halves, as equal as can be, that see nothing of each other.
    - ``bridge``: two halves, and one node that sees both.
    - ``ring``: every node sees a majority of all nodes, no two the same one.
    - ``custom``: the pairs of `drop`, from the first place to the second.

    In halves, bridge and ring, a client group sees what the node sees that is drawn for
    it, so that it stands in one half.

    Args:
        topology: how the cluster is parted.
        nodes: all nodes, at least `FEWEST`.
        groups: all client groups.
        random: the dice.
        targets: the nodes that ``isolate`` is about.
        drop: places as a user names them; a workload stands for all its groups, a cluster
            for its nodes.
        direction: for ``isolate``.
        between: which links may be cut; see `all_links`.
        sites: the clusters that the nodes form.
        together: for ``isolate``.
    """
    if topology == "custom":
        return _custom(drop, nodes, groups, sites)
    if topology == "isolate":
        cut = around(targets, nodes, groups, direction=direction, between=between, sites=sites)
        within = frozenset(targets) if together else frozenset()
        return frozenset(link for link in cut if not {link.source, link.target} <= within)
    assert len(nodes) >= FEWEST[topology], f"{topology} needs more than {len(nodes)} nodes"
    views = _views(topology, nodes, random)
    homes = {group: random.choice(list(nodes)) for group in groups}
    apart = {Link(one, other) for one, other in permutations(nodes, 2) if other not in views[one]}
    if between != "all":
        apart &= all_links(nodes, (), between, sites)
    if between in ("clients", "all"):
        for group, node in product(groups, nodes):
            if node not in views[homes[group]]:
                apart |= {Link(group, node), Link(node, group)}
    return frozenset(apart)


def all_links(
    nodes: Sequence[str],
    groups: Sequence[str],
    between: Between = "all",
    sites: Sites = NOWHERE,
) -> frozenset[Link]:
    """Return every link that may carry traffic; client groups have none between them.

    `between` is ``servers``: links of two nodes; ``clients``: of a node and a client group;
    ``gateways``: of two nodes in different clusters; ``leafnodes``: of a leaf and a node of
    its hub; ``all``. `sites` tells gateways and leafs from other nodes.
    """
    links: set[Link] = set()
    if between != "clients":
        links |= {
            Link(one, other)
            for one, other in permutations(nodes, 2)
            if between in ("servers", "all") or sites.joint(one, other) == between
        }
    if between in ("clients", "all"):
        links |= {Link(group, node) for group, node in product(groups, nodes)}
        links |= {Link(node, group) for group, node in product(groups, nodes)}
    return frozenset(links)


def around(
    targets: Iterable[str],
    nodes: Sequence[str],
    groups: Sequence[str],
    *,
    direction: Direction = "both",
    between: Between = "all",
    sites: Sites = NOWHERE,
) -> frozenset[Link]:
    """Return the links that lead to (``to``), from (``from``) or to and from the targets."""
    marked = frozenset(targets)
    into = direction in ("both", "to")
    out_of = direction in ("both", "from")
    return frozenset(
        link
        for link in all_links(nodes, groups, between, sites)
        if (into and link.target in marked) or (out_of and link.source in marked)
    )


def stands_for(
    name: str, nodes: Sequence[str], groups: Sequence[str], sites: Sites = NOWHERE
) -> tuple[str, ...]:
    """Return the places that a user means: a node, a group, a cluster or a workload's groups."""
    if name in nodes or name in groups:
        return (name,)
    if name in sites.names:
        return sites.names[name]
    return tuple(group for group in groups if group.rpartition("-")[0] == name)


def _custom(
    drop: Iterable[tuple[str, str]], nodes: Sequence[str], groups: Sequence[str], sites: Sites
) -> frozenset[Link]:
    return frozenset(
        Link(source, target)
        for one, other in drop
        for source in stands_for(one, nodes, groups, sites)
        for target in stands_for(other, nodes, groups, sites)
        if source != target
    )


def _views(
    topology: Topology, nodes: Sequence[str], random: Random
) -> Mapping[str, frozenset[str]]:
    """Return what each node sees, itself included; who sees is seen."""
    drawn = random.sample(list(nodes), len(nodes))
    if topology == "ring":
        # So many neighbours on each side that they are a majority together with the node.
        reach = (len(drawn) // 2 + 1) // 2
        return {
            node: frozenset(drawn[(place + step) % len(drawn)] for step in range(-reach, reach + 1))
            for place, node in enumerate(drawn)
        }
    joint = drawn[:1] if topology == "bridge" else []
    rest = drawn[len(joint) :]
    halves = (rest[: len(rest) // 2], rest[len(rest) // 2 :])
    views = {node: frozenset([*half, *joint]) for half in halves for node in half}
    return {**views, **{node: frozenset(drawn) for node in joint}}
