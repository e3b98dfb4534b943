"""A cluster of child processes: what `lab` and `local` share."""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from socket import SOCK_STREAM, AddressFamily, SocketKind, socket
from typing import Any, Protocol

import anyio
import anyio.to_thread

from harness.backends.process import ChildProcess
from harness.backends.process_node import POLL_S, READ_LIMIT_S, Launch, ProcessNode
from harness.clock import now_ns, seconds
from harness.cluster.binaries import Binary, resolve_all
from harness.cluster.config import NodeConfig, render
from harness.cluster.links import Links
from harness.cluster.preflight import check
from harness.cluster.protocols import Capability, Endpoints, EventSink
from harness.cluster.shapes import Shaper
from harness.errors import ServerError, WorkerError
from harness.scenario.model import ClusterSpec
from harness.scopes import bounded_cleanup

CAPABILITIES = frozenset((Capability.STOP, Capability.KILL, Capability.PAUSE, Capability.LAME_DUCK))
SHAPING = frozenset((Capability.SHAPE, Capability.BANDWIDTH))
GRACE_S = 1.0  # from SIGTERM to SIGKILL at the end of a run
CLEANUP_LIMIT_S = 10.0
STORES = "jetstream"  # removed at the end: a run folder keeps what explains, not the data


class Places(Protocol):
    """The network places of one iteration, as a backend provides them."""

    @property
    def endpoints(self) -> Mapping[str, Endpoints]:
        """Return where each node listens."""

    @property
    def launch(self) -> Launch:
        """Return how programs are started in a place."""

    def socket(
        self, place: str, family: AddressFamily, kind: SocketKind = SOCK_STREAM, proto: int = 0
    ) -> socket:
        """Return a new socket in the network of `place`."""


class ProcessCluster:
    """The servers of one iteration; implements `harness.cluster.protocols.Cluster`."""

    def __init__(
        self,
        places: Places,
        binaries: Mapping[str, Binary],
        configs: Mapping[str, NodeConfig],
        folder: Path,
        record: EventSink,
        *,
        capabilities: frozenset[Capability] = CAPABILITIES,
        links: Links | None = None,
        shaper: Shaper | None = None,
    ) -> None:
        self._shaper = shaper
        self._places = places
        self._capabilities = capabilities
        self._links = links
        self._configs = configs
        self._record = record
        self._changed = anyio.Event()
        self._clients: list[ChildProcess] = []
        self._nodes = {
            name: ProcessNode(
                name,
                endpoints=places.endpoints[name],
                binary=binaries[name],
                config=config,
                folder=folder,
                launch=places.launch,
                record=record,
                peers=self._peers,
                on_exit=self._note_change,
            )
            for name, config in configs.items()
        }

    @property
    def nodes(self) -> Mapping[str, ProcessNode]:
        """Return the nodes by name, the seed first."""
        return self._nodes

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what can be done to the nodes."""
        return self._capabilities

    @property
    def links(self) -> Links | None:
        """Return the links between places; None where nothing can be done to them."""
        return self._links

    @property
    def record(self) -> EventSink:
        """Return where events go."""
        return self._record

    @property
    def shaper(self) -> Shaper | None:
        """Return what can be made of the links; None where nothing can."""
        return self._shaper

    async def form(self, limit_s: float) -> None:
        """Start every node; return once each is healthy and has routes to all others.

        The seed goes first and the others wait until its route port is open: a route
        that is refused is tried again only after a second.

        Raises:
            ServerError: a server ended, or they have not formed within `limit_s` seconds.
        """
        began_ns = now_ns()
        missing = "no server was reached"
        with anyio.move_on_after(limit_s):
            seed, *others = self._nodes.values()
            await seed.start()
            while others and not seed.listening_for_routes():
                seed.require_alive()
                await anyio.sleep(POLL_S / 5)
            for node in others:
                await node.start()
            for node in self._nodes.values():
                while (missing := await self._lacks(node)) != "":
                    await anyio.sleep(POLL_S)
            self._record("cluster.formed", took_s=round(seconds(now_ns() - began_ns), 6))
            for fact in self.describe():
                self._record("server.described", **fact)
            return
        raise ServerError(f"the cluster has not formed within {limit_s:g} s: {missing}")

    async def watch(self) -> None:
        """Record exits until cancelled; raise ServerError when one was not asked for."""
        while True:
            self._changed = changed = anyio.Event()
            for node in self._nodes.values():
                node.record_exit()
                if node.ended_unasked:
                    raise node.why_ended()
            await changed.wait()

    def spawn_client(
        self, group: str, argv: Sequence[str], channel: socket, log: Path
    ) -> ChildProcess:
        """Start a client process where `group` lives.

        Args:
            group: the client group.
            argv: the program and its arguments.
            channel: its stdin and stdout; the caller closes its own copy.
            log: the file that its stderr is appended to.
        """
        try:
            stderr = log.open("ab")
        except OSError as error:
            raise WorkerError(f"{log} cannot be written: {error.strerror}") from error
        with stderr:
            process = self._places.launch(
                group, argv, stdin=channel.fileno(), stdout=channel.fileno(), stderr=stderr
            )
        self._clients.append(process)
        return process

    def socket(
        self, place: str, family: AddressFamily, kind: SocketKind = SOCK_STREAM, proto: int = 0
    ) -> socket:
        """Return a new socket that lives in the network of a node or a client group."""
        return self._places.socket(place, family, kind, proto)

    def describe(self) -> list[dict[str, Any]]:
        """Return name, version and effective configuration of every server, without secrets."""
        return [
            {"name": name, "version": node.version, "config": dict(self._configs[name].effective)}
            for name, node in self._nodes.items()
        ]

    async def close(self) -> None:
        """End every process, record how, and return once none is left."""
        for client in self._clients:
            client.send_signal(signal.SIGKILL)
        with anyio.move_on_after(GRACE_S):
            await self._signal_all(signal.SIGTERM)
        await self._signal_all(signal.SIGKILL)
        for client in self._clients:
            await client.wait()
        for node in self._nodes.values():
            node.record_exit()

    async def _signal_all(self, number: int) -> None:
        for node in self._nodes.values():
            node.signal_end(number)
        for node in self._nodes.values():
            await node.gone()

    async def _lacks(self, node: ProcessNode) -> str:
        """Return what keeps `node` from being part of the whole cluster, or nothing."""
        for other in self._nodes.values():
            other.require_alive()
        wanted = len(self._nodes) - 1
        try:
            found = await node.monitor.remotes(READ_LIMIT_S)
            if found != wanted:
                return f"{node.name} sees {found} of {wanted} remotes"
            return "" if await node.monitor.healthy(READ_LIMIT_S) else f"{node.name} is not healthy"
        except ServerError as error:
            return f"{node.name}: {error}"

    def _peers(self, name: str) -> frozenset[str]:
        """Return the nodes that `name` should have routes to by now.

        While the seed is away, a node that was started again may find nobody: it knows
        only the seed's route, and routes learned by gossip are not tried again.
        """
        seed = next(iter(self._nodes.values()))
        if name != seed.name and not seed.serving:
            return frozenset()
        return frozenset(
            other.name for other in self._nodes.values() if other.name != name and other.serving
        )

    def _note_change(self) -> None:
        self._changed.set()


@asynccontextmanager
async def process_cluster(
    spec: ClusterSpec,
    places: Places,
    *,
    folder: Path,
    record: EventSink,
    capabilities: frozenset[Capability] = CAPABILITIES,
    links: Links | None = None,
    shaper: Shaper | None = None,
) -> AsyncIterator[ProcessCluster]:
    """Write the configurations and make the nodes; end every process on leaving.

    `capabilities` and `links` are what the places allow beyond what processes do.

    Raises:
        BinaryError: a server binary cannot be had.
        UsageError: a server refuses its configuration.
        ServerError: `folder` cannot be written, or a process would not end.
    """
    binaries = await anyio.to_thread.run_sync(resolve_all, spec)
    configs = await anyio.to_thread.run_sync(_prepare, spec, places.endpoints, folder, binaries)
    cluster = ProcessCluster(
        places,
        binaries,
        configs,
        folder,
        record,
        capabilities=capabilities,
        links=links,
        shaper=shaper,
    )
    try:
        yield cluster
    finally:
        with bounded_cleanup(CLEANUP_LIMIT_S, "ending the servers", ServerError):
            await cluster.close()
            await anyio.to_thread.run_sync(_remove, folder / STORES)


def _remove(folder: Path) -> None:
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise ServerError(f"{folder} cannot be removed: {error.strerror or error}") from error


def _prepare(
    spec: ClusterSpec,
    endpoints: Mapping[str, Endpoints],
    folder: Path,
    binaries: Mapping[str, Binary],
) -> Mapping[str, NodeConfig]:
    """Write every node's configuration, and let each distinct binary check one of them.

    They differ only in addresses; the last node stands for the others, since the seed
    has no routes.
    """
    stores = folder.absolute() / STORES
    configs = {node: render(spec, node, endpoints, stores / node) for node in spec.nodes}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for node, config in configs.items():
            (folder / f"{node}.conf").write_text(config.text, encoding="utf-8")
    except OSError as error:
        raise ServerError(f"{folder} cannot be written: {error.strerror or error}") from error
    for node in {binaries[node].path: node for node in spec.nodes}.values():
        check(binaries[node], configs[node], folder / f"{node}.conf", spec.config)
    return configs
