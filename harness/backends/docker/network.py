"""The network of one iteration on an Engine, and where its client groups stand.

Where the Engine is this machine's and the harness runs as root, each client group has a
network namespace on the Engine's bridge, beside the containers, and the containers' own
namespaces are open to the harness: so links are cut and shaped from outside. Elsewhere
clients run on the host, and the containers' links are left alone.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from random import Random
from socket import if_indextoname, if_nametoindex
from types import MappingProxyType
from typing import IO

from docker.errors import APIError
from docker.types import IPAMConfig, IPAMPool
from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from harness.backends.docker.container import in_thread
from harness.backends.docker.subnets import candidates, colliding, parse_subnet, taken
from harness.backends.docker.taking_away import take_away, taking_away
from harness.backends.lab import namespaces as ns
from harness.backends.lab.network import (
    CLIENT_PORT,
    GATEWAY_PORT,
    INNER,
    LEAFNODE_PORT,
    MONITOR_PORT,
    ROUTE_PORT,
    LabNetwork,
    Place,
    make_inner,
)
from harness.backends.process import ChildProcess, spawn, tied
from harness.cluster.protocols import Address, Endpoints, EventSink
from harness.engine.connection import Engine, explain
from harness.engine.labels import labels
from harness.errors import EngineError, ServerError, UsageError
from harness.scenario.compose.model import Ports
from harness.scopes import bounded_cleanup

CLEANUP_LIMIT_S = 15.0
_TRIES = 5
_PUBLISHED = (20_000, 30_000)  # below the ports that Linux gives to whoever asks for any
_GROUPS_FROM = 256  # of a subnet's addresses: nodes have .0.N, client groups .1.N and on


@dataclass(frozen=True)
class Net:
    """A network of the Engine.

    Attributes:
        id: what the Engine knows it by.
        name: its name, which is unique.
        bridge: its bridge on the Engine's machine.
        subnet: its addresses; the last is the bridge's own.
    """

    id: str
    name: str
    bridge: str
    subnet: IPv4Network

    def node_address(self, index: int) -> str:
        """Return the address of the node with this index, from 0."""
        return str(self.subnet[index + 1])

    def group_address(self, index: int) -> str:
        """Return the address of the client group with this index, from 0."""
        return str(self.subnet[_GROUPS_FROM + index + 1])


@asynccontextmanager
async def engine_network(
    engine: Engine, run: str, token: str, subnet: str | None, record: EventSink
) -> AsyncIterator[Net]:
    """Make a user-defined network for a run; remove it on leaving.

    Args:
        engine: where.
        run: the run that it belongs to, for its labels.
        token: what tells this network from all others, in hexadecimal digits.
        subnet: its subnet; None to find a free one.
        record: told when it cannot be removed.

    Raises:
        UsageError: the subnet that was asked for is somebody else's, or too small.
        EngineError: the Engine refuses.
    """
    made = await in_thread(
        lambda: _make(engine, run, token, subnet), "no network", EngineError, abandon=False
    )
    try:
        yield made
    finally:
        with taking_away(f"removing network {made.name}", record):
            await take_away(
                lambda: engine.api.remove_network(made.id), f"network {made.name}", record
            )


def _make(engine: Engine, run: str, token: str, asked: str | None) -> Net:
    used = taken(engine)
    if asked is not None:
        subnet = parse_subnet(asked)
        if (other := colliding(subnet, used)) is not None:
            raise UsageError(
                f"cluster.container.subnet: {subnet} collides with {other}, which is in use; "
                "give another or leave it out"
            )
        return _create(engine, run, token, subnet)
    refused: APIError | None = None
    for _, subnet in zip(range(_TRIES), candidates(used, Random(token)), strict=False):
        try:
            return _create(engine, run, token, subnet)
        except APIError as error:  # taken meanwhile, or by something that does not show
            refused = error
    why = "all of 198.18.0.0/15 is in use" if refused is None else explain(refused)
    raise EngineError(
        f"no subnet is free for the run's network: {why}; give cluster.container.subnet"
    )


def _create(engine: Engine, run: str, token: str, subnet: IPv4Network) -> Net:
    name, bridge = f"nats-harness-{token}", f"nh{token}"
    made = engine.api.create_network(
        name,
        driver="bridge",
        ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet), gateway=str(subnet[-2]))]),
        labels=dict(labels(run, "network")),
        options={"com.docker.network.bridge.name": bridge},
        check_duplicate=True,
    )
    return Net(made["Id"], name, bridge, subnet)


@dataclass(frozen=True)
class BridgePlaces(LabNetwork):
    """Client groups and containers side by side on the Engine's bridge; see `bridge_places`.

    `places` changes whenever a container is started: each life of one has a network
    namespace and a port of the bridge of its own, though the address stays.
    """

    addresses: Mapping[str, str]
    _places: dict[str, Place]

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
        """Start a program in the network of `place`; it dies with the harness."""
        with self.inside(place):
            return spawn(
                tied(argv), stdin=stdin, stdout=stdout, stderr=stderr, env=env, on_exit=on_exit
            )

    def plug(self, node: str, container: str, pid: int) -> None:
        """Take the network of a container's new process for that of `node`.

        Raises:
            ServerError: it cannot be opened, or no port of the bridge leads to it.
        """
        _require_own(node, container, pid)
        try:
            network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ServerError(f"{node}: its network cannot be opened: {error}") from error
        before = self._places.get(node)
        try:
            port = _port_of(pid)
        except OSError as error:
            os.close(network)
            raise ServerError(f"{node}: its port of the bridge cannot be told: {error}") from error
        self._places[node] = Place(network, self.addresses[node], port)
        if before is not None:
            os.close(before.network)


def _require_own(node: str, container: str, pid: int) -> None:
    """Raise ServerError unless the process is the container's here as well.

    An Engine with the name and the kernel of this machine may number its processes otherwise;
    what is done to a process must not be done to somebody else's.
    """
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    except OSError as error:
        raise ServerError(f"{node}: its process {pid} is not to be found: {error}") from error
    if container not in groups:
        raise ServerError(
            f"{node}: process {pid} is not its container's here: the Engine numbers processes "
            "otherwise; run the harness beside the Engine, or without root"
        )


def _port_of(pid: int) -> str:
    """Return the host's end of a container's cable, by what its own sysfs says of the peer."""
    for card in sorted(Path(f"/proc/{pid}/root/sys/class/net").glob("eth*")):
        return if_indextoname(int((card / "iflink").read_text(encoding="ascii")))
    raise FileNotFoundError("it has no network card")


@asynccontextmanager
async def bridge_places(
    net: Net,
    nodes: Sequence[str],
    groups: Sequence[str],
    ports: Mapping[str, Ports] = MappingProxyType({}),
) -> AsyncIterator[BridgePlaces]:
    """Put a network namespace for each client group on the bridge; remove them on leaving.

    `ports` are those of nodes that listen elsewhere than usual.

    Raises:
        ServerError: the kernel refuses.
    """
    addresses = {name: net.node_address(index) for index, name in enumerate(nodes)}
    with ExitStack() as held:
        home = ns.open_network()
        held.callback(os.close, home)
        places: dict[str, Place] = {}
        held.callback(_close_all, places)
        for index, name in enumerate(groups):
            address = net.group_address(index)
            port = f"{net.bridge}g{index + 1}"
            places[name] = Place(ns.new_network(home), address, port)
        try:
            await _attach(net, dict(places), home)
            yield BridgePlaces(
                home,
                MappingProxyType(places),
                endpoints_at(addresses, ports),
                {**addresses, **{name: place.address for name, place in places.items()}},
                places,
            )
        finally:
            with bounded_cleanup(CLEANUP_LIMIT_S, "removing the clients' cables", ServerError):
                await _detach([places[name].port for name in groups])


def _close_all(places: Mapping[str, Place]) -> None:
    for place in places.values():
        os.close(place.network)


def published_endpoints(
    engine: Engine,
    addresses: Mapping[str, str],
    dice: Random,
    ports: Mapping[str, Ports] = MappingProxyType({}),
) -> Mapping[str, Endpoints]:
    """Return where servers are reached whose network is another machine's, or hidden.

    Their client and monitoring ports are published on ports of the Engine's machine that
    are drawn here, since a server must advertise its own before it starts. Routes stay on
    the run's network.
    """
    host = engine.host
    free = iter(dice.sample(range(*_PUBLISHED), 2 * len(addresses)))
    return {
        name: Endpoints(
            client=Address(host, next(free)),
            route=inside.route,
            monitor=Address(host, next(free)),
            gateway=inside.gateway,
            leafnode=inside.leafnode,
            server=inside.client,
        )
        for name, inside in endpoints_at(addresses, ports).items()
    }


def endpoints_at(
    addresses: Mapping[str, str], ports: Mapping[str, Ports] = MappingProxyType({})
) -> Mapping[str, Endpoints]:
    """Return where servers listen that have an address each; those without `ports` as usual."""
    usual = Ports(client=CLIENT_PORT, route=ROUTE_PORT, monitor=MONITOR_PORT)
    return {
        name: _endpoints(address, ports.get(name, usual)) for name, address in addresses.items()
    }


def _endpoints(address: str, ports: Ports) -> Endpoints:
    route = ports.route or ROUTE_PORT  # a server alone has none, and nobody asks for it
    listens = (ports.client, route, ports.monitor, GATEWAY_PORT, LEAFNODE_PORT)
    return Endpoints(*(Address(address, port) for port in listens))


async def _attach(net: Net, places: Mapping[str, Place], home: int) -> None:
    try:
        bridge = if_nametoindex(net.bridge)
        async with AsyncIPRoute() as links:
            for place in places.values():
                await links.link(
                    "add",
                    ifname=place.port,
                    kind="veth",
                    master=bridge,
                    state="up",
                    peer={"ifname": INNER, "net_ns_fd": place.network},
                )
                await make_inner(place, home, net.subnet.prefixlen)
    except (NetlinkError, OSError) as error:
        raise ServerError(f"clients cannot be put on the bridge {net.bridge}: {error}") from error


async def _detach(ports: Sequence[str]) -> None:
    async with AsyncIPRoute() as links:
        for port in ports:
            with suppress(OSError, NetlinkError):  # it went with its namespace, or never was
                await links.link("del", index=if_nametoindex(port))
