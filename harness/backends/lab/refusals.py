"""Refusals: new TCP connections into a place that are answered by a reset.

One rule in the place's own namespace answers a first packet (SYN) from a source in a
set; every other packet passes, so that connections that exist live on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from contextlib import ExitStack
from socket import inet_aton

from harness.backends.lab import nftables as nf
from harness.backends.lab.netlink import NETLINK_NETFILTER, Netlink
from harness.backends.lab.network import LabNetwork
from harness.clock import now_ns
from harness.cluster.links import Link
from harness.errors import FaultError

_TCP = b"\x06"
_FLAGS_OFFSET, _SYN, _SYN_OR_ACK = 13, b"\x02", b"\x12"
_SOURCE_OFFSET, _ADDRESS_BYTES = 12, 4

TABLE = nf.Table(
    family=nf.FAMILY_IPV4,
    name="harness-refusals",
    hook=nf.INPUT,
    key_bytes=_ADDRESS_BYTES,
    rule=(
        nf.read_meta(nf.META_L4, nf.FIRST),
        nf.equals(nf.FIRST, _TCP),
        nf.read_payload(nf.TRANSPORT_HEADER, _FLAGS_OFFSET, 1, nf.FIRST),
        nf.mask(nf.FIRST, _SYN_OR_ACK),
        nf.equals(nf.FIRST, _SYN),
        nf.read_payload(nf.NETWORK_HEADER, _SOURCE_OFFSET, _ADDRESS_BYTES, nf.FIRST),
        nf.is_in(nf.SET, nf.FIRST),
        nf.reject_by_reset(),
    ),
)


class Refusals:
    """The links over which no new connection can be made, each with how often it was asked."""

    def __init__(self, network: LabNetwork, held: ExitStack) -> None:
        self._network = network
        self._held = held
        self._tables: dict[str, Netlink] = {}
        self._counts: Counter[Link] = Counter()

    def refuse(self, links: Collection[Link]) -> int:
        """Refuse new connections from now on; return the monotonic ns when it was done.

        Raises:
            FaultError: the kernel refused.
        """
        return self._change(frozenset(links), 1, "refuse")

    def accept(self, links: Collection[Link]) -> int:
        """Take one refusal off each link that has one; return when, as `refuse`."""
        return self._change({link for link in links if self._counts[link]}, -1, "accept")

    def replug(self, place: str) -> None:
        """Refuse again what is refused there, after the place was given a new network.

        Raises:
            FaultError: the kernel refused.
        """
        if (old := self._tables.pop(place, None)) is None:
            return
        old.close()  # its table went with its network
        keys = [self._key(link) for link in sorted(+self._counts) if link.target == place]
        try:
            TABLE.change(self._table(place), keys, [])
        except OSError as error:
            raise FaultError(f"{place} does not refuse connections again: {error}") from error

    def _change(self, links: Collection[Link], by: int, verb: str) -> int:
        """Add `by`, 1 or -1, to the refusals of each link; the kernel knows only 0 and more."""
        edge = 0 if by > 0 else 1
        for place in sorted({link.target for link in links}):
            mine = sorted(link for link in links if link.target == place)
            keys = [self._key(link) for link in mine if self._counts[link] == edge]
            add, remove = (keys, []) if by > 0 else ([], keys)
            try:
                TABLE.change(self._table(place), add, remove)
            except OSError as error:
                raise FaultError(f"{place} did not {verb} connections: {error}") from error
            self._counts.update(dict.fromkeys(mine, by))
        return now_ns()

    def _key(self, link: Link) -> bytes:
        return inet_aton(self._network.places[link.source].address)

    def _table(self, place: str) -> Netlink:
        """Return the way to the place's table, made when it is first wanted.

        The table ends with the namespace.
        """
        if place not in self._tables:
            with self._network.inside(place):
                netlink = self._held.enter_context(Netlink(NETLINK_NETFILTER))
            TABLE.create(netlink)
            self._tables[place] = netlink
        return self._tables[place]
