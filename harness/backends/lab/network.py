"""The network of one iteration: a bridge, and a namespace for each node and client group.

Addresses are those that RFC 2544 sets aside for such tests: nodes have 198.18.0.N,
client groups 198.18.1.N and on, and the harness itself 198.18.255.254 on the bridge, so
that it reaches every port of every node. Ports of the bridge are named ``v-n1``, ...,
``v-g1``, ... in the order given, so that a later cut can name them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import (
    SOCK_STREAM,
    AddressFamily,
    SocketKind,
    if_nametoindex,
    socket,
)
from types import MappingProxyType
from typing import IO

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from harness.backends.lab import namespaces as ns
from harness.backends.process import ChildProcess, spawn
from harness.cluster.protocols import Address, Endpoints
from harness.errors import ServerError
from harness.scopes import bounded_cleanup

BRIDGE = "br-lab"
BRIDGE_MAC = "02:00:c6:12:ff:fe"  # fixed: else it changes with the ports, and ARP goes stale
HOME_ADDRESS = "198.18.255.254"
PREFIX = 16
INNER = "eth0"
GROUP = 0x1AB  # marks the bridge and its ports
LOOPBACK_INDEX = 1
CLIENT_PORT, ROUTE_PORT, MONITOR_PORT = 4222, 6222, 8222
GATEWAY_PORT, LEAFNODE_PORT = 7222, 7422
HOSTS = 254  # of the last byte of an address
CLEANUP_LIMIT_S = 5.0


@dataclass(frozen=True)
class Place:
    """A network namespace on the bridge.

    Attributes:
        network: an open descriptor of the namespace.
        address: its IPv4 address.
        port: the name of its port of the bridge.
    """

    network: int
    address: str
    port: str


@dataclass(frozen=True)
class LabNetwork:
    """The places by name, and how to act in them; see `lab_network`."""

    home: int
    places: Mapping[str, Place]
    endpoints: Mapping[str, Endpoints]

    @contextmanager
    def inside(self, place: str) -> Iterator[None]:
        """Run the body in the network of `place`; it must not await."""
        with ns.inside(self.places[place].network, self.home):
            yield

    def socket(
        self, place: str, family: AddressFamily, kind: SocketKind = SOCK_STREAM, proto: int = 0
    ) -> socket:
        """Return a new socket that lives in the network of `place`."""
        with self.inside(place):
            return socket(family, kind, proto)

    def launch(
        self,
        place: str,
        argv: Sequence[str],
        *,
        stdin: int | IO[bytes],
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
        env: Mapping[str, str] | None = None,
        on_exit: Callable[[], None] | None = None,
    ) -> ChildProcess:
        """Start a program in the network of `place`; the lab's end is its end."""
        with self.inside(place):
            return spawn(argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env, on_exit=on_exit)


@asynccontextmanager
async def lab_network(nodes: Sequence[str], groups: Sequence[str]) -> AsyncIterator[LabNetwork]:
    """Build the network of one iteration; take it away on leaving.

    Raises:
        ServerError: the kernel refuses a part of it.
    """
    named = [(name, f"v-n{i + 1}", f"198.18.0.{i + 1}") for i, name in enumerate(nodes)]
    named += [
        (name, f"v-g{i + 1}", f"198.18.{1 + i // HOSTS}.{1 + i % HOSTS}")
        for i, name in enumerate(groups)
    ]
    with ExitStack() as held:
        home = _keep(held, ns.open_network())
        places = {}
        for name, port, address in named:
            assert name not in places, f"two places are called {name}"
            places[name] = Place(_keep(held, ns.new_network(home)), address, port)
        try:
            await _build(places.values(), home)
            yield LabNetwork(home, MappingProxyType(places), _endpoints(nodes, places))
        finally:
            # A namespace goes when its last process and descriptor have gone, some time
            # later; the ports must be away before the next iteration asks for their names.
            with bounded_cleanup(CLEANUP_LIMIT_S, "removing the lab's network", ServerError):
                await _remove()


async def _build(places: Iterable[Place], home: int) -> None:
    try:
        async with AsyncIPRoute() as links:
            bridge = await _make_bridge(links)
            for place in places:
                await links.link(
                    "add",
                    ifname=place.port,
                    group=GROUP,
                    kind="veth",
                    master=bridge,
                    state="up",
                    peer={"ifname": INNER, "net_ns_fd": place.network},
                )
                await make_inner(place, home)
    except (NetlinkError, OSError) as error:
        raise ServerError(f"the lab's network cannot be built: {error}") from error


async def _make_bridge(links: AsyncIPRoute) -> int:
    _switch_ipv6_off()
    await links.link("set", index=LOOPBACK_INDEX, state="up")
    await links.link("add", ifname=BRIDGE, group=GROUP, kind="bridge", address=BRIDGE_MAC)
    bridge = if_nametoindex(BRIDGE)
    await links.addr("add", index=bridge, address=HOME_ADDRESS, prefixlen=PREFIX)
    await links.link("set", index=bridge, state="up")
    return bridge


async def make_inner(place: Place, home: int, prefix: int = PREFIX) -> None:
    """Give the namespace's own end of the cable its address and put it up."""
    links = AsyncIPRoute()
    with ns.inside(place.network, home):
        _switch_ipv6_off()
        links.socket  # noqa: B018 - reading it opens it, and it must be opened in here
        inner = if_nametoindex(INNER)
    async with links:
        await links.link("set", index=LOOPBACK_INDEX, state="up")
        await links.addr("add", index=inner, address=place.address, prefixlen=prefix)
        await links.link("set", index=inner, state="up")


async def _remove() -> None:
    """Remove the bridge and its ports at once: one by one each takes the kernel 25 ms."""
    try:
        async with AsyncIPRoute() as links:
            await links.link("del", group=GROUP)
    except (NetlinkError, OSError) as error:
        if getattr(error, "code", None) != errno.ENODEV:  # the building failed before the first
            raise ServerError(f"the lab's network cannot be removed: {error}") from error


def _switch_ipv6_off() -> None:
    """Keep IPv6's own chatter off the cables, where the kernel has IPv6 at all."""
    for scope in ("all", "default"):
        with suppress(FileNotFoundError):
            Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("1", encoding="ascii")


def _keep(held: ExitStack, descriptor: int) -> int:
    held.callback(os.close, descriptor)
    return descriptor


def _endpoints(nodes: Iterable[str], places: Mapping[str, Place]) -> Mapping[str, Endpoints]:
    ports = (CLIENT_PORT, ROUTE_PORT, MONITOR_PORT, GATEWAY_PORT, LEAFNODE_PORT)
    return MappingProxyType(
        {
            node: Endpoints(*(Address(places[node].address, port) for port in ports))
            for node in nodes
        }
    )
