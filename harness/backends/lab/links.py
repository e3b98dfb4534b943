"""The lab's links, as faults see them; implements `harness.cluster.links.Links`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from harness.backends.lab import connections, probes
from harness.backends.lab import nftables as nf
from harness.backends.lab.cuts import TABLE, Cuts, cuts
from harness.backends.lab.network import LabNetwork
from harness.backends.lab.refusals import Refusals
from harness.cluster.grudge import all_links
from harness.cluster.links import Answer, Link, Passage, Stream
from harness.cluster.protocols import Address
from harness.scenario.model import CLUSTER_NAME
from harness.scenario.sites import OBSERVER, Site, Sites


class LabLinks:
    """Links between the namespaces of one iteration; see `lab_links`."""

    def __init__(self, network: LabNetwork, cut: Cuts, refusals: Refusals, sites: Sites) -> None:
        self._network = network
        self._sites = sites
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
        others = (*self._network.endpoints, OBSERVER)
        return tuple(name for name in self._network.places if name not in others)

    @property
    def usable(self) -> frozenset[Link]:
        """Return every link that carries traffic."""
        return all_links(self.nodes, self.groups)

    @property
    def via(self) -> str | None:
        """Return None: packets themselves are dropped."""
        return None

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

    def replug(self, place: str) -> None:
        """Refuse in a place's new network what was refused in its last one."""
        self._refusals.replug(place)

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
        """Return the port that traffic of this kind uses.

        No server dials a leaf of its own or of others; there, the clients' port stands for all.
        """
        door = self._network.endpoints[link.target]
        joint = self._sites.joint(link.source, link.target)
        listens = {
            "routes": door.route,
            "gateways": door.gateway,
            "leafnodes": None if joint and self._sites.of(link.target).hub else door.leafnode,
        }
        return listens.get(joint or "clients") or door.client


@contextmanager
def lab_links(
    network: LabNetwork,
    sites: Sites | None = None,
    *,
    addresses: Mapping[str, str] | None = None,
    table: nf.Table = TABLE,
) -> Iterator[LabLinks]:
    """Make the links of a network ready for faults; all is undone on leaving.

    Args:
        network: the places.
        sites: the clusters; without them, all nodes are one.
        addresses: of all places, where the network does not have them all yet.
        table: what holds the cuts.

    Raises:
        ServerError: the kernel has no nf_tables for bridges, or refuses it.
    """
    if addresses is None:
        addresses = {name: place.address for name, place in network.places.items()}
    sites = sites or Sites((Site(CLUSTER_NAME, tuple(network.endpoints)),))
    with ExitStack() as held:
        cut = held.enter_context(cuts(addresses, table))
        yield LabLinks(network, cut, Refusals(network, held), sites)
