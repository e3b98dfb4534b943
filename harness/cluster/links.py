"""The network between places, as faults see it: links, cuts, probes.

A place is a node or a client group. A link is one direction between two places.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
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


@dataclass(frozen=True)
class Stream:
    """An established TCP connection as its end in `place` sees it.

    Attributes:
        key: what the kernel knows it by, and no other before or after.
    """

    place: str
    peer: str
    port: int
    peer_port: int
    key: bytes


class Answer(StrEnum):
    """What an attempt to connect came to."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    SILENCE = "silence"


class Links(Protocol):
    """The links of one iteration, and what can be done to them."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the places that are nodes, the seed first."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the places that are client groups."""

    @property
    def usable(self) -> frozenset[Link]:
        """Return every link that can be cut and probed."""

    @property
    def via(self) -> str | None:
        """Return what stands in for the network (``proxy``), None if nothing does."""

    @property
    def severed(self) -> frozenset[Link]:
        """Return the links that are cut now, by whatever fault."""

    @property
    def changes(self) -> int:
        """Return how often links were cut or healed: when it has not changed, nothing has."""

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
        """Send `count` small packets over each link, one way, and count the arrivals.

        What has not arrived is sent again until the limit, so that only a link that passes
        nothing at all fails.
        """

    def streams(self, place: str, peers: Collection[str]) -> frozenset[Stream]:
        """Return the established TCP connections between a place and some of its peers."""

    def reset(self, streams: Collection[Stream]) -> int:
        """Close connections by a TCP reset, those of one place at one instant.

        Returns:
            The monotonic time in ns when the last was closed.
        """

    def refuse(self, links: Collection[Link]) -> int:
        """Answer new TCP connections over the links by a reset; those that exist live on.

        Refusals add up, as cuts do; the target of each link is a node. Returns when, as `cut`.
        """

    def accept(self, links: Collection[Link]) -> int:
        """Take one refusal off each of the links; return when, as `cut`."""

    async def knock(self, links: Collection[Link], limit_s: float) -> Mapping[Link, Answer]:
        """Try a new TCP connection over each link: from a node to the route port, else clients'."""
