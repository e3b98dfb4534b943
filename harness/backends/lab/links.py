"""The lab's links, as faults see them; implements `harness.cluster.links.Links`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from harness.backends.lab import connections, probes
from harness.backends.lab.cuts import Cuts, cuts
from harness.backends.lab.network import LabNetwork
from harness.backends.lab.refusals import Refusals
from harness.cluster.links import Answer, Link, Passage, Stream
from harness.cluster.protocols import Address


class LabLinks:
    """Links between the namespaces of one iteration; see `lab_links`."""

    def __init__(self, network: LabNetwork, cut: Cuts, refusals: Refusals) -> None:
        self._network = network
        self._cuts = cut
        self._refusals = refusals
        self._changes = 0

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the places that are nodes, the seed first."""
        return tuple(self._network.endpoints)

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the places that are client groups."""
        return tuple(name for name in self._network.places if name not in self._network.endpoints)

    @property
    def severed(self) -> frozenset[Link]:
        """Return the links that are cut now."""
        return self._cuts.links

    @property
    def changes(self) -> int:
        """Return how often links were cut or healed."""
        return self._changes

    def cut(self, links: Collection[Link]) -> int:
        """Drop every IP packet on the links from now on; see the protocol."""
        self._changes += 1
        return self._cuts.cut(links)

    def heal(self, links: Collection[Link]) -> int:
        """Take one cut off each of the links; see the protocol."""
        self._changes += 1
        return self._cuts.heal(links)

    async def probe(
        self, links: Collection[Link], count: int, limit_s: float
    ) -> Mapping[Link, Passage]:
        """Send probes over each link and count the arrivals; see the protocol."""
        return await probes.probe(self._network, links, count, limit_s)

    def streams(self, place: str, peers: Collection[str]) -> frozenset[Stream]:
        """Return the established TCP connections between a place and some peers."""
        return connections.streams(self._network, place, peers)

    def reset(self, streams: Collection[Stream]) -> int:
        """Close connections by a TCP reset; see the protocol."""
        return connections.reset(self._network, streams)

    def refuse(self, links: Collection[Link]) -> int:
        """Answer new TCP connections by a reset from now on; see the protocol."""
        return self._refusals.refuse(links)

    def accept(self, links: Collection[Link]) -> int:
        """Take one refusal off each of the links; see the protocol."""
        return self._refusals.accept(links)

    async def knock(self, links: Collection[Link], limit_s: float) -> Mapping[Link, Answer]:
        """Try a new TCP connection over each link to a node; see the protocol."""
        return await probes.knock(
            self._network, {link: self._door(link) for link in links}, limit_s
        )

    def _door(self, link: Link) -> Address:
        """Return the port that traffic of this kind uses: routes between nodes, else clients."""
        endpoints = self._network.endpoints
        door = endpoints[link.target]
        return door.route if link.source in endpoints else door.client


@contextmanager
def lab_links(network: LabNetwork) -> Iterator[LabLinks]:
    """Make the links of a network ready for faults; all is undone on leaving.

    Raises:
        ServerError: the kernel has no nf_tables for bridges, or refuses it.
    """
    ports = {name: place.port for name, place in network.places.items()}
    with ExitStack() as held:
        yield LabLinks(network, held.enter_context(cuts(ports)), Refusals(network, held))
