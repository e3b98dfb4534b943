"""What joins the clusters of one iteration: gateways and leaf nodes, as the servers tell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from harness.cluster.links import Link
from harness.cluster.monitor import Monitor
from harness.scenario.sites import Site, Sites


class Server(Protocol):
    """A server that can be asked what it is connected to."""

    @property
    def serving(self) -> bool:
        """Tell whether it runs and can answer."""

    @property
    def monitor(self) -> Monitor:
        """Return its monitoring port."""


@dataclass(frozen=True)
class Joints:
    """The connections between clusters that there should be, and which of them are missing.

    Attributes:
        sites: the clusters.
        servers: the nodes by name.
        severed: the links that are cut at the moment.
    """

    sites: Sites
    servers: Mapping[str, Server]
    severed: Callable[[], Collection[Link]]

    async def missing_from(self, node: str, limit_s: float) -> str:
        """Return which cluster `node` itself is not connected to, or nothing; as `missing_at`."""
        return await self._first(((node, other) for other in self._dialled_by(node)), limit_s)

    async def missing_at(self, node: str, limit_s: float) -> str:
        """Return a connection that `node` or another one to its cluster should have by now.

        It is not expected while the seed of the cluster that it leads to is away: whoever
        was started meanwhile knows no other node there. Nor is it while it is cut off.

        Raises:
            ServerError: a server does not answer within the limit.
        """
        site = self.sites.of(node)
        wanted = [(node, other) for other in self._dialled_by(node)]
        wanted += [(one, site) for other in self.sites.diallers_of(site) for one in other.nodes]
        return await self._first((pair for pair in wanted if self._expected(*pair)), limit_s)

    def _dialled_by(self, node: str) -> Iterator[Site]:
        return self.sites.dialled_by(self.sites.of(node))

    def _expected(self, node: str, other: Site) -> bool:
        ways = {Link(node, other.seed), Link(other.seed, node)}
        serve = self.servers[node].serving and self.servers[other.seed].serving
        return serve and not ways & frozenset(self.severed())

    async def _first(self, wanted: Iterator[tuple[str, Site]], limit_s: float) -> str:
        for node, other in wanted:
            monitor = self.servers[node].monitor
            if self.sites.joint(node, other.seed) == "gateways":
                if other.name not in await monitor.gateways(limit_s):
                    return f"{node} has no gateway to {other.name}"
            elif not await monitor.leafs(limit_s):
                return f"{node} has no leaf node connection to {other.name}"
        return ""
