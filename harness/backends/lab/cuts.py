"""Cuts: links of the bridge that drop IP packets, by pairs of its ports.

One rule of the bridge drops IPv4 packets whose pair of in and out port is in a set; a
change of the set is one batch, which the kernel commits at one instant. ARP passes: if
it did not, a one-way cut would soon become a two-way one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from harness.backends.lab import nftables as nf
from harness.backends.lab.netlink import NETLINK_NETFILTER, Netlink
from harness.clock import now_ns
from harness.cluster.links import Link
from harness.errors import FaultError, ServerError

_NAME_BYTES = 16
_IPV4 = b"\x08\x00"

TABLE = nf.Table(
    family=nf.FAMILY_BRIDGE,
    name="harness-cuts",
    hook=nf.FORWARD,
    key_bytes=2 * _NAME_BYTES,
    rule=(
        nf.read_meta(nf.META_PROTOCOL, nf.FIRST),
        nf.equals(nf.FIRST, _IPV4),
        nf.read_meta(nf.META_INPUT_NAME, nf.FIRST),
        nf.read_meta(nf.META_OUTPUT_NAME, nf.SECOND),
        nf.is_in(nf.SET, nf.FIRST),
        nf.drop(),
    ),
)


class Cuts:
    """The cut links of one bridge, each with the number of its cuts; see `cuts`."""

    def __init__(self, netlink: Netlink, ports: Mapping[str, str]) -> None:
        self._netlink = netlink
        self._ports = ports
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
            TABLE.change(self._netlink, add, remove)
        except OSError as error:
            raise FaultError(f"the kernel did not {verb} the links: {error}") from error

    def _key(self, link: Link) -> bytes:
        ports = (self._ports[link.source], self._ports[link.target])
        return b"".join(port.encode().ljust(_NAME_BYTES, b"\0") for port in ports)


@contextmanager
def cuts(ports: Mapping[str, str]) -> Iterator[Cuts]:
    """Hang the table of cuts into the calling thread's network; take it away on leaving.

    Args:
        ports: the port of the bridge that leads to each place, by the place's name.

    Raises:
        ServerError: the kernel has no nf_tables for bridges, or refuses it.
    """
    with ExitStack() as held:
        try:
            netlink = held.enter_context(Netlink(NETLINK_NETFILTER))
            TABLE.create(netlink)
        except OSError as error:
            raise ServerError(f"nf_tables on the bridge: {error.strerror}") from error
        try:
            yield Cuts(netlink, ports)
        finally:
            try:
                TABLE.delete(netlink)
            except OSError as error:
                raise ServerError(f"the table of cuts cannot be removed: {error}") from error
