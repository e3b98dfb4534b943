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

Topology = Literal["isolate", "halves", "bridge", "ring", "custom"]
Direction = Literal["both", "to", "from"]
Between = Literal["servers", "clients", "all"]

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
) -> frozenset[Link]:
    """Return the links to cut.

    - ``isolate``: every target alone, from all others; ``to`` cuts what comes to a target,
      ``from`` what leaves it.
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
        drop: places as a user names them; a workload stands for all its groups.
        direction: for ``isolate``.
        between: whether links between servers, to clients, or all may be cut.
    """
    if topology == "custom":
        return _custom(drop, nodes, groups)
    if topology == "isolate":
        return around(targets, nodes, groups, direction=direction, between=between)
    assert len(nodes) >= FEWEST[topology], f"{topology} needs more than {len(nodes)} nodes"
    views = _views(topology, nodes, random)
    homes = {group: random.choice(list(nodes)) for group in groups}
    apart = {Link(one, other) for one, other in permutations(nodes, 2) if other not in views[one]}
    if between == "clients":
        apart = set()
    if between != "servers":
        for group, node in product(groups, nodes):
            if node not in views[homes[group]]:
                apart |= {Link(group, node), Link(node, group)}
    return frozenset(apart)


def all_links(
    nodes: Sequence[str], groups: Sequence[str], between: Between = "all"
) -> frozenset[Link]:
    """Return every link that carries traffic; client groups have none between them."""
    links: set[Link] = set()
    if between != "clients":
        links |= {Link(one, other) for one, other in permutations(nodes, 2)}
    if between != "servers":
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
) -> frozenset[Link]:
    """Return the links that lead to (``to``), from (``from``) or to and from the targets."""
    marked = frozenset(targets)
    into = direction in ("both", "to")
    out_of = direction in ("both", "from")
    return frozenset(
        link
        for link in all_links(nodes, groups, between)
        if (into and link.target in marked) or (out_of and link.source in marked)
    )


def stands_for(name: str, nodes: Sequence[str], groups: Sequence[str]) -> tuple[str, ...]:
    """Return the places that a user means: a node, a client group or a workload's groups."""
    if name in nodes or name in groups:
        return (name,)
    return tuple(group for group in groups if group.rpartition("-")[0] == name)


def _custom(
    drop: Iterable[tuple[str, str]], nodes: Sequence[str], groups: Sequence[str]
) -> frozenset[Link]:
    return frozenset(
        Link(source, target)
        for one, other in drop
        for source in stands_for(one, nodes, groups)
        for target in stands_for(other, nodes, groups)
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
