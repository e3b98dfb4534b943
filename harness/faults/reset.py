"""Reset: existing connections of a server are closed by a TCP reset at one instant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

import anyio
from pydantic import field_validator

from harness.clock import now_ns
from harness.cluster.grudge import Between, around
from harness.cluster.links import Answer, Link, Links, Stream
from harness.cluster.protocols import Capability, Cluster
from harness.errors import FaultError
from harness.faults.base import (
    EFFECT_LIMIT_S,
    Fault,
    Strike,
    knock,
    require_links,
    require_running,
    told_via,
    undone,
)

LOOK_S = 0.005


class Reset(Fault):
    """Close the target's existing connections by a TCP reset, as a broken middlebox does.

    Both ends are told at once, unlike with a partition, and the server lives on: it takes
    new connections all the while. The effect is the resets themselves; nothing is held.
    """

    action: Literal["reset"]
    between: Between = "all"

    claims_nodes: ClassVar[bool] = False  # links are cut and healed one by one
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.RESET})
    self_timed: ClassVar[bool] = True
    timeless: ClassVar[bool] = True

    @field_validator("duration")
    @classmethod
    def _refuse_duration(cls, duration: float | None) -> float | None:
        if duration is not None:
            raise ValueError("takes no duration; the connections are closed at one instant")
        return duration

    @property
    def needed(self) -> frozenset[Capability]:
        """Return less where only clients' connections are reset."""
        if self.between == "clients":
            return frozenset({Capability.CLIENT_RESET})
        return self.needs

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Close the connections on entry, proven by both ends; leave once new ones are taken."""
        links = require_links(cluster)
        require_running(strike.nodes)

        async def require_open() -> None:
            for node in strike.nodes:
                ways = [
                    link
                    for link in self._ways(cluster, links, node.name)
                    if link.target == node.name
                ]
                answers = await knock(cluster, ways)
                shut = [f"{way} {one}" for way, one in answers.items() if one != Answer.ACCEPTED]
                if shut:
                    raise FaultError(f"new connections after the reset: {', '.join(shut)}")
                strike.undo(node, f"takes new connections from {len(answers)} places")

        doomed: dict[str, frozenset[Stream]] = {}
        for node in strike.nodes:
            peers = sorted(
                {link.source for link in self._ways(cluster, links, node.name)} - {node.name}
            )
            doomed[node.name] = links.streams(node.name, peers)
            if not doomed[node.name]:
                raise FaultError(f"{node.name} has no connection to reset")
        async with undone(require_open, f"{self.name}: looking for open doors"):
            at_ns = now_ns()
            links.reset(frozenset().union(*doomed.values()))
            for node in strike.nodes:
                peers = sorted({one.peer for one in doomed[node.name]})
                how = f"reset {len(doomed[node.name])} connections with {', '.join(peers)}"
                groups = frozenset(peers) & frozenset(links.groups)
                routed = frozenset(peers) & frozenset(links.nodes)
                strike.hit(node, how, at_ns=at_ns, groups=groups, peers=routed)
            for node in strike.nodes:
                await _wait_gone(links, doomed[node.name])
                count = len(doomed[node.name])
                seen = f"{count} connections are gone at both ends{told_via(links)}"
                strike.effect(node, seen)
            yield

    def _ways(self, cluster: Cluster, links: Links, node: str) -> list[Link]:
        places = (links.nodes, links.groups)
        return sorted(around([node], *places, between=self.between, sites=cluster.sites))


async def _wait_gone(links: Links, doomed: frozenset[Stream]) -> None:
    """Return once neither end of any of the connections is left; FaultError if one stays."""
    (place,) = {one.place for one in doomed}
    peers = sorted({one.peer for one in doomed})
    far_ends = {(one.peer, one.peer_port, one.port) for one in doomed}
    with anyio.move_on_after(EFFECT_LIMIT_S):
        while True:
            near = links.streams(place, peers) & doomed
            far = {
                (one.place, one.port, one.peer_port)
                for peer in peers
                for one in links.streams(peer, [place])
            } & far_ends
            if not near and not far:
                return
            await anyio.sleep(LOOK_S)
    raise FaultError(f"{place}: {len(near)} connections are left there, {len(far)} at peers")
