"""The network between places, as faults see it: links, cuts, probes.

A place is a node or a client group. A link is one direction between two places.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, order=True)
class Link:
    """IP packets from the place `source` to the place `target`, and none the other way."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}->{self.target}"


@dataclass(frozen=True)
class Passage:
    """How many probes were sent over a link and how many of them arrived."""

    sent: int
    received: int


class Links(Protocol):
    """The links of one iteration, and what can be done to them."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the places that are nodes, the seed first."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the places that are client groups."""

    def cut(self, links: Collection[Link]) -> int:
        """Drop every IP packet on the links from now on, silently and all at one instant.

        Cuts add up: a link passes packets again only once each cut of it was healed.

        Returns:
            The monotonic time in ns when the last link was cut.
        """

    def heal(self, links: Collection[Link]) -> int:
        """Take one cut off each of the links, all at one instant; return when, as `cut`."""

    async def probe(
        self, links: Collection[Link], count: int, limit_s: float
    ) -> Mapping[Link, Passage]:
        """Send `count` small packets over each link, one way, and count the arrivals."""
