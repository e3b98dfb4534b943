"""Cuts: links of the bridge that drop IP packets, by pairs of addresses.

One rule of the bridge drops IPv4 packets whose pair of source and target is in a set; a
change of the set is one batch, which the kernel commits at one instant. ARP passes: if
it did not, a one-way cut would soon become a two-way one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from socket import inet_aton

from harness.backends.lab import nftables as nf
from harness.backends.lab.netlink import NETLINK_NETFILTER, Netlink
from harness.clock import now_ns
from harness.cluster.links import Link
from harness.errors import FaultError, ServerError

_SOURCE_OFFSET, _PAIR_BYTES = 12, 8  # source and target lie side by side (RFC 791)
_IPV4 = b"\x08\x00"

TABLE = nf.Table(
    family=nf.FAMILY_BRIDGE,
    name="harness-cuts",
    hook=nf.FORWARD,
    key_bytes=_PAIR_BYTES,
    rule=(
        nf.read_meta(nf.META_PROTOCOL, nf.FIRST),
        nf.equals(nf.FIRST, _IPV4),
        nf.read_payload(nf.NETWORK_HEADER, _SOURCE_OFFSET, _PAIR_BYTES, nf.FIRST),
        nf.is_in(nf.SET, nf.FIRST),
        nf.drop(),
    ),
)


class Cuts:
    """The cut links of one bridge, each with the number of its cuts; see `cuts`."""

    def __init__(self, netlink: Netlink, table: nf.Table, addresses: Mapping[str, str]) -> None:
        self._netlink = netlink
        self._table = table
        self._addresses = addresses
        self._counts: Counter[Link] = Counter()

    @property
    def links(self) -> frozenset[Link]:
        """Return the links that are cut now."""
        return frozenset(self._counts)

    def cut(self, links: Collection[Link]) -> int:
        """Cut all links at one instant; return the monotonic ns when it was done.

        Raises:
            FaultError: the kernel refused, and nothing was changed.
        """
        links = frozenset(links)
        fresh = [self._key(link) for link in sorted(links) if not self._counts[link]]
        self._change(fresh, [], "cut")
        at_ns = now_ns()
        self._counts.update(links)
        return at_ns

    def heal(self, links: Collection[Link]) -> int:
        """Take one cut off each link, all at one instant; return when, as `cut`.

        Raises:
            FaultError: the kernel refused, or a link is not cut; nothing was changed.
        """
        links = frozenset(links)
        whole = [str(link) for link in sorted(links) if not self._counts[link]]
        if whole:
            raise FaultError(f"cannot heal what is not cut: {', '.join(whole)}")
        last = [self._key(link) for link in sorted(links) if self._counts[link] == 1]
        self._change([], last, "heal")
        at_ns = now_ns()
        self._counts.subtract(links)
        self._counts = +self._counts
        return at_ns

    def _change(self, add: list[bytes], remove: list[bytes], verb: str) -> None:
        try:
            self._table.change(self._netlink, add, remove)
        except OSError as error:
            raise FaultError(f"the kernel did not {verb} the links: {error}") from error

    def _key(self, link: Link) -> bytes:
        return b"".join(inet_aton(self._addresses[end]) for end in (link.source, link.target))


@contextmanager
def cuts(addresses: Mapping[str, str], table: nf.Table = TABLE) -> Iterator[Cuts]:
    """Hang the table of cuts into the calling thread's network; take it away on leaving.

    Args:
        addresses: the IPv4 address of each place, by the place's name.
        table: the table; another name keeps two runs in one network apart.

    Raises:
        ServerError: the kernel has no nf_tables for bridges, or refuses it.
    """
    with ExitStack() as held:
        try:
            netlink = held.enter_context(Netlink(NETLINK_NETFILTER))
            table.create(netlink)
        except OSError as error:
            raise ServerError(f"nf_tables on the bridge: {error.strerror}") from error
        try:
            yield Cuts(netlink, table, addresses)
        finally:
            try:
                table.delete(netlink)
            except OSError as error:
                raise ServerError(f"the table of cuts cannot be removed: {error}") from error
