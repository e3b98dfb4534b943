"""Refuse: new connections to a server are answered by a TCP reset; existing ones live on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from harness.clock import now_ns, sleep_until
from harness.cluster.grudge import Between, around
from harness.cluster.links import Answer, Link, Links, Stream
from harness.cluster.protocols import Capability, Cluster, Node
from harness.errors import FaultError
from harness.faults.base import (
    HANDSHAKE,
    Fault,
    Strike,
    knock,
    patience_s,
    require_links,
    require_running,
    told_via,
    undone,
)
from harness.scenario.sites import NOWHERE, Sites
from harness.scenario.targets import Nodes, TargetError, parse_target

SERVES_LIMIT_S = 2.0
KNOCKS_S = 0.1  # what knocking takes where answers come at once


class Refuse(Fault):
    """Answer new connections to the target by a TCP reset; let them in after `duration`.

    A firewall rule or a full backlog does this. Who is connected stays so and notices
    nothing; who comes is told no at once, unlike with a partition.
    """

    action: Literal["refuse"]
    between: Between = "all"

    claims_nodes: ClassVar[bool] = False  # links are cut and healed one by one
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.REFUSE})
    parts: ClassVar[bool] = True
    lead_s: ClassVar[float] = 0.25

    def impossibilities(
        self, nodes: Sequence[str], groups: Mapping[str, Sequence[str]], sites: Sites = NOWHERE
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what cannot be refused in such a cluster; see the base class."""
        del groups
        try:
            target = parse_target(self.target, self.count, nodes, sites.names)
        except TargetError:
            return  # already a problem of its own
        if self.between == "leafnodes" and isinstance(target, Nodes):
            for name in target.names:
                if (hub := sites.of(name).hub) is not None:
                    message = f"{name} is a leaf node, to which {hub} makes no connections"
                    yield ("target",), f"{message}; aim at nodes of {hub}"

    @property
    def needed(self) -> frozenset[Capability]:
        """Return less where only clients are refused."""
        if self.between == "clients":
            return frozenset({Capability.CLIENT_REFUSE})
        return self.needs

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the doors shut, proven by attempts from every place that is refused."""
        links = require_links(cluster)
        require_running(strike.nodes)
        ways = {node.name: self._ways(cluster, links, node.name) for node in strike.nodes}
        every = frozenset(way for some in ways.values() for way in some)
        if not every:
            raise FaultError("there is nobody to refuse")
        await _require(cluster, every, Answer.ACCEPTED, "before")
        made = False

        async def accept() -> None:
            if made:
                links.accept(every)
                for node in strike.nodes:
                    some = frozenset(ways[node.name])
                    taken = await _require(cluster, some, Answer.ACCEPTED, "after")
                    strike.undo(node, f"takes connections from {len(taken)} places again")

        async with undone(accept, f"{self.name}: opening the doors"):
            await sleep_until(strike.due_ns)
            existing = _streams(links, ways)
            at_ns = now_ns()
            links.refuse(every)
            made = True
            for node in strike.nodes:
                how = f"refuse connections from {len(ways[node.name])} places"
                strike.hit(node, how, at_ns=at_ns, groups=())
            for node in strike.nodes:
                some = ways[node.name]
                refused = await _require(cluster, frozenset(some), Answer.REFUSED, "during")
                lives = await _require_life(links, node, existing[node.name], some)
                seen = f"refused connections from {len(refused)} places; {lives}{told_via(links)}"
                strike.effect(node, seen)

            async def look() -> None:
                for node in strike.nodes:
                    some = frozenset(ways[node.name])
                    refused = await _require(cluster, some, Answer.REFUSED, "held")
                    await _require_service(node)
                    strike.held(node, f"still refused connections from {len(refused)} places")

            strike.still(look, KNOCKS_S + HANDSHAKE * patience_s(cluster, every))
            yield

    def _ways(self, cluster: Cluster, links: Links, node: str) -> tuple[Link, ...]:
        into = around(
            [node],
            links.nodes,
            links.groups,
            direction="to",
            between=self.between,
            sites=cluster.sites,
        )
        return tuple(sorted(into))


async def _require(
    cluster: Cluster, ways: frozenset[Link], expected: Answer, edge: str
) -> Mapping[Link, Answer]:
    """Return the answers over all ways that are not cut; FaultError when one is another."""
    answers = await knock(cluster, sorted(ways))
    wrong = [f"{way} {one}" for way, one in answers.items() if one is not expected]
    if wrong:
        raise FaultError(f"{edge}: new connections were not {expected}: {', '.join(wrong)}")
    return answers


async def _require_life(
    links: Links, node: Node, existing: frozenset[Stream], ways: tuple[Link, ...]
) -> str:
    """Say how the server lives on behind its closed door; FaultError when it does not."""
    await _require_service(node)
    left = links.streams(node.name, [way.source for way in ways]) & existing
    if existing and not left:
        raise FaultError(f"{node.name} has lost its {len(existing)} connections as well")
    return f"{len(left)} of {len(existing)} connections live on"


async def _require_service(node: Node) -> None:
    if not await node.accepts_clients(SERVES_LIMIT_S):
        raise FaultError(f"{node.name} takes no connection from anybody, so it is not refusing")


def _streams(links: Links, ways: Mapping[str, tuple[Link, ...]]) -> dict[str, frozenset[Stream]]:
    return {node: links.streams(node, [way.source for way in some]) for node, some in ways.items()}
