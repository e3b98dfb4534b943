"""The backend `local`: plain processes on 127.0.0.1, wherever processes can be started."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import SOCK_STREAM, AddressFamily, SocketKind, socket
from typing import IO

from harness.backends.capabilities import CAPABILITIES, STORAGE
from harness.backends.disk.device import keep_mounts_apart
from harness.backends.ports import hold_port
from harness.backends.process import ChildProcess, spawn, tied
from harness.backends.process_cluster import process_cluster
from harness.backends.server_cluster import ServerCluster
from harness.cluster.protocols import WHOLE, Address, Capability, Endpoints, EventSink
from harness.errors import ServerError
from harness.scenario.model import ClusterSpec
from harness.scenario.sites import OBSERVER

LOOPBACK = "127.0.0.1"


CLIENT_CAPABILITIES = frozenset(WHOLE)
LACKS = (
    "local has proxies between clients and servers: with between: clients they cut both ways, "
    "delay, limit, reset and refuse; not between servers, not one way alone, not single packets"
)


@dataclass(frozen=True)
class LocalBackend:
    """Plain processes; implements `harness.cluster.protocols.Backend`.

    Attributes:
        proxied: whether clients go through proxies, which faults of their links need.
        strangers: the client group of connections that no worker made; None to refuse them.
        mounting: whether servers' stores are on devices of their own.
    """

    proxied: bool = False
    strangers: str | None = None
    mounting: bool = False

    @property
    def name(self) -> str:
        """Return ``local``."""
        return "local"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what can be done to nodes here."""
        return CAPABILITIES | STORAGE | CLIENT_CAPABILITIES

    def host(self, main: Callable[[], int]) -> int:
        """Return what `main` returns; only mounts need a place of their own."""
        if self.mounting:
            keep_mounts_apart()
        return main()

    @asynccontextmanager
    async def cluster(
        self,
        spec: ClusterSpec,
        *,
        groups: Sequence[str],
        folder: Path,
        record: EventSink,
        watched: Collection[str] = (),
        on_devices: Collection[str] = (),
    ) -> AsyncIterator[ServerCluster]:
        """Hold the ports and make the nodes; see the protocol. All groups share this host."""
        clients = tuple(group for group in groups if group != OBSERVER)  # it needs no proxy
        joined = len(spec.sites.every) > 1
        with hold_endpoints(spec.nodes, joined=joined, proxied=self.proxied) as endpoints:
            if not self.proxied:
                async with process_cluster(
                    spec,
                    LocalPlaces(endpoints),
                    folder=folder,
                    record=record,
                    capabilities=CAPABILITIES | STORAGE,
                    watched=watched,
                    on_devices=on_devices,
                ) as cluster:
                    yield cluster
                return
            from harness.backends.proxy.place import proxies  # noqa: PLC0415 - seldom needed

            async with (
                proxies(
                    LocalPlaces(endpoints), clients, folder / "proxy.log", record, self.strangers
                ) as place,
                process_cluster(
                    spec,
                    place,
                    folder=folder,
                    record=record,
                    capabilities=self.capabilities,
                    links=place.links,
                    shaper=place.shaper,
                    watched=watched,
                    on_devices=on_devices,
                ) as cluster,
            ):
                yield cluster


@dataclass(frozen=True)
class LocalPlaces:
    """One place for all: this host."""

    endpoints: Mapping[str, Endpoints]

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
        """Start a program that dies with the harness."""
        del place
        return spawn(
            tied(argv), stdin=stdin, stdout=stdout, stderr=stderr, env=env, on_exit=on_exit
        )

    def socket(
        self, place: str, family: AddressFamily, kind: SocketKind = SOCK_STREAM, proto: int = 0
    ) -> socket:
        """Return a new socket of this host."""
        del place
        return socket(family, kind, proto)


@contextmanager
def hold_endpoints(
    nodes: Sequence[str], *, joined: bool = False, proxied: bool = False
) -> Iterator[Mapping[str, Endpoints]]:
    """Choose three free ports a node and keep everybody else from being given them.

    With `joined` there is one for gateways and one for leaf nodes besides; with `proxied`
    another one, where the server itself listens for clients.

    Raises:
        ServerError: no ports are left.
    """
    with ExitStack() as held:
        try:
            endpoints = {node: _hold_node(held, joined, proxied) for node in nodes}
        except OSError as error:
            raise ServerError(f"no free port on {LOOPBACK}: {error.strerror}") from error
        yield endpoints


def _hold_node(held: ExitStack, joined: bool, proxied: bool) -> Endpoints:  # noqa: FBT001 - private
    def hold() -> Address:
        return Address(LOOPBACK, held.enter_context(hold_port(LOOPBACK)))

    return Endpoints(
        client=hold(),
        route=hold(),
        monitor=hold(),
        gateway=hold() if joined else None,
        leafnode=hold() if joined else None,
        server=hold() if proxied else None,
    )
