"""The clusters that a scenario's servers form, and how two servers of them are joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

OBSERVER = "observer"  # the place of the harness's own client: no fault of links touches it
CLUSTER_PREFIX = "cluster:"  # of a target

Joint = Literal["routes", "gateways", "leafnodes"]


@dataclass(frozen=True)
class Site:
    """Servers joined by routes: a cluster, or one that is a leaf of another.

    Attributes:
        name: of the cluster, to the user and to the servers.
        nodes: its nodes; the first is its seed, the only one whose addresses others are given.
        hub: the name of the site that its nodes are leafs of; None for a cluster of its own.
    """

    name: str
    nodes: tuple[str, ...]
    hub: str | None = None

    @property
    def seed(self) -> str:
        """Return the node that the others know of from the start."""
        return self.nodes[0]


@dataclass(frozen=True)
class Sites:
    """Every site of a scenario, in the order of their nodes."""

    every: tuple[Site, ...] = ()

    @cached_property
    def _homes(self) -> Mapping[str, Site]:
        return {node: site for site in self.every for node in site.nodes}

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Return the nodes that a cluster's name stands for; no names where there is but one."""
        return {site.name: site.nodes for site in self.every} if len(self.every) > 1 else {}

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return all nodes."""
        return tuple(self._homes)

    def of(self, node: str) -> Site:
        """Return the site of a node; KeyError when there is no such node."""
        return self._homes[node]

    def joint(self, one: str, other: str) -> Joint | None:
        """Return what joins two places; None when they have no connection to each other.

        Only nodes are joined, and two leafs of one hub are not.
        """
        here, there = self._homes.get(one), self._homes.get(other)
        if here is None or there is None:
            return None
        if here is there:
            return "routes"
        if here.hub is None and there.hub is None:
            return "gateways"
        return "leafnodes" if here.name == there.hub or there.name == here.hub else None

    def dialled_by(self, site: Site) -> Iterator[Site]:
        """Yield the other sites that every node of `site` connects to by itself."""
        for other in self.every:
            if other is not site and (other.name == site.hub if site.hub else not other.hub):
                yield other

    def diallers_of(self, site: Site) -> Iterator[Site]:
        """Yield the other sites whose every node connects to `site` by itself."""
        return (other for other in self.every if site in self.dialled_by(other))


NOWHERE = Sites()
