"""Refuse: new connections to a server are answered by a TCP reset; existing ones live on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from harness.clock import now_ns, sleep_until
from harness.cluster.grudge import Between, around
from harness.cluster.links import Answer, Link, Links, Stream
from harness.cluster.protocols import Capability, Cluster, Node
from harness.errors import FaultError
from harness.faults.base import Fault, Strike, require_links, require_running, undone

KNOCK_LIMIT_S = 2.0
SERVES_LIMIT_S = 2.0


class Refuse(Fault):
    """Answer new connections to the target by a TCP reset; let them in after `duration`.

    A firewall rule or a full backlog does this. Who is connected stays so and notices
    nothing; who comes is told no at once, unlike with a partition.
    """

    action: Literal["refuse"]
    between: Between = "all"

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.REFUSE})
    lead_s: ClassVar[float] = 0.25

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the doors shut, proven by attempts from every place that is refused."""
        links = require_links(cluster)
        require_running(strike.nodes)
        ways = {node.name: self._ways(links, node.name) for node in strike.nodes}
        every = frozenset(way for some in ways.values() for way in some)
        if not every:
            raise FaultError("there is nobody to refuse")
        await _require(links, every, Answer.ACCEPTED, "before")
        made = False

        async def accept() -> None:
            if made:
                links.accept(every)
                await _require(links, every, Answer.ACCEPTED, "after")
                for node in strike.nodes:
                    strike.undo(node, f"takes connections from {len(ways[node.name])} places again")

        async with undone(accept, f"{self.name}: opening the doors"):
            await sleep_until(strike.due_ns)
            existing = _streams(links, ways)
            at_ns = now_ns()
            links.refuse(every)
            made = True
            for node in strike.nodes:
                how = f"refuse connections from {len(ways[node.name])} places"
                strike.hit(node, how, at_ns=at_ns, groups=())
            await _require(links, every, Answer.REFUSED, "during")
            for node in strike.nodes:
                lives = await _require_life(links, node, existing[node.name], ways[node.name])
                strike.effect(node, f"refused {len(ways[node.name])} of as many places; {lives}")
            yield

    def _ways(self, links: Links, node: str) -> tuple[Link, ...]:
        into = around([node], links.nodes, links.groups, direction="to", between=self.between)
        return tuple(sorted(into))


async def _require(links: Links, ways: frozenset[Link], expected: Answer, edge: str) -> None:
    answers = await links.knock(ways, KNOCK_LIMIT_S)
    wrong = [f"{way} {answers[way]}" for way in sorted(ways) if answers[way] is not expected]
    if wrong:
        raise FaultError(f"{edge}: new connections were not {expected}: {', '.join(wrong)}")


async def _require_life(
    links: Links, node: Node, existing: frozenset[Stream], ways: tuple[Link, ...]
) -> str:
    """Say how the server lives on behind its closed door; FaultError when it does not."""
    if not await node.accepts_clients(SERVES_LIMIT_S):
        raise FaultError(f"{node.name} takes no connection from anybody, so it is not refusing")
    left = links.streams(node.name, [way.source for way in ways]) & existing
    if existing and not left:
        raise FaultError(f"{node.name} has lost its {len(existing)} connections as well")
    return f"{len(left)} of {len(existing)} connections live on"


def _streams(links: Links, ways: Mapping[str, tuple[Link, ...]]) -> dict[str, frozenset[Stream]]:
    return {node: links.streams(node, [way.source for way in some]) for node, some in ways.items()}
