"""The backend `docker`: each server in a container of an image as it is deployed."""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread

from harness.backends.capabilities import ASKED, SHAPING, SIGNALS, TRIED
from harness.backends.docker.container import Container, ContainerSpec, in_thread, make_container
from harness.backends.docker.diagnostics import keep_diagnostics
from harness.backends.docker.exits import Exits, watch_exits
from harness.backends.docker.images import Server, examine_images
from harness.backends.docker.network import (
    BridgePlaces,
    Net,
    bridge_places,
    endpoints_at,
    engine_network,
    published_endpoints,
)
from harness.backends.docker.node import ContainerNode
from harness.backends.docker.service import Service
from harness.backends.docker.services import services, volume_keys
from harness.backends.docker.taking_away import CLEANUP_LIMIT_S, take_away, taking_away
from harness.backends.lab.available import examine_lab
from harness.backends.lab.backend import LINK_CAPABILITIES
from harness.backends.local import LocalPlaces
from harness.backends.server_cluster import ServerCluster
from harness.backends.server_node import Unjoined
from harness.cluster.protocols import Capability, Endpoints, EventSink
from harness.engine.connection import Engine, engine
from harness.engine.labels import labels
from harness.engine.sweep import sweep
from harness.errors import EngineError, ServerError
from harness.scenario.model import ClusterSpec
from harness.scopes import bounded_cleanup

CONTAINER_CAPABILITIES = SIGNALS | ASKED | {Capability.DISCONNECT}
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


class DockerBackend:
    """Containers of a Docker Engine; implements `harness.cluster.protocols.Backend`."""

    @property
    def name(self) -> str:
        """Return ``docker``."""
        return "docker"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what can be done here: to links only where their ends can be reached."""
        if reach() is not None:
            return CONTAINER_CAPABILITIES
        return (
            CONTAINER_CAPABILITIES | TRIED | LINK_CAPABILITIES | SHAPING
        ) - examine_lab().lacks.keys()

    def host(self, main: Callable[[], int]) -> int:
        """Clear away what dead runs left on the Engine, then return what `main` returns."""
        with engine() as found:
            sweep(found)
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
        """Make the network, the containers and the clients' places; see the protocol."""
        assert not watched, "no disk can be faulted here"
        assert not on_devices, "nor are there devices"
        run = _run_of(folder)
        token = secrets.token_hex(3)
        async with AsyncExitStack() as held:
            found = held.enter_context(engine())
            servers = await anyio.to_thread.run_sync(examine_images, found, spec, run)
            subnet = spec.container.subnet if spec.container else None
            net = await held.enter_async_context(engine_network(found, run, token, subnet, record))
            making = _Making(found, spec, run, token, net, servers, folder)
            stage = await held.enter_async_context(_stage(making, groups))
            exits = await held.enter_async_context(watch_exits(found, run))
            parts = await held.enter_async_context(_containers(making, stage.endpoints, record))
            yield await held.enter_async_context(
                _cluster(
                    making,
                    stage,
                    exits,
                    parts,
                    record=record,
                    capabilities=self.capabilities,
                )
            )


@functools.cache
def reach() -> str | None:
    """Return why the networks of the Engine's containers cannot be reached; None if they can.

    Raises:
        EngineError: there is no Engine.
    """
    with engine() as found:
        return found.reach


@dataclass(frozen=True)
class _Making:
    """What is needed to make the containers of one iteration."""

    engine: Engine
    spec: ClusterSpec
    run: str
    token: str
    net: Net
    servers: Mapping[str, Server]
    folder: Path

    def name(self, what: str) -> str:
        """Return what the Engine calls something of this iteration."""
        return f"nats-harness-{self.token}-{what}"


@dataclass(frozen=True)
class _Stage:
    """Where clients and servers stand; `bridge` is None where links are left alone."""

    places: LocalPlaces | BridgePlaces
    bridge: BridgePlaces | None

    @property
    def endpoints(self) -> Mapping[str, Endpoints]:
        return self.places.endpoints


@asynccontextmanager
async def _stage(making: _Making, groups: Sequence[str]) -> AsyncIterator[_Stage]:
    nodes = making.spec.nodes
    compose = making.spec.compose
    ports = {one.name: one.ports for one in compose.services} if compose is not None else {}
    if making.engine.reach is not None:
        addresses = {node: making.net.node_address(index) for index, node in enumerate(nodes)}
        if making.engine.direct:
            yield _Stage(LocalPlaces(endpoints_at(addresses, ports)), None)
        else:
            found = published_endpoints(making.engine, addresses, Random(making.token), ports)
            yield _Stage(LocalPlaces(found), None)
        return
    async with bridge_places(making.net, nodes, groups, ports) as places:
        yield _Stage(places, places)


@dataclass(frozen=True)
class _Part:
    """A node's container, made and not started, and what it was made from."""

    service: Service
    container: Container


@asynccontextmanager
async def _containers(
    making: _Making, endpoints: Mapping[str, Endpoints], record: EventSink
) -> AsyncIterator[Mapping[str, _Part]]:
    """Make volumes and containers; remove them all on leaving."""
    keys = volume_keys(making.spec)
    volumes = {key: making.name(f"data-{index}") for index, key in enumerate(keys, 1)}
    images = {node: server.image for node, server in making.servers.items()}
    wanted = services(making.spec, images, endpoints, volumes, here=making.engine.here)
    parts: dict[str, _Part] = {}
    try:
        for key, volume in volumes.items():
            make_volume = functools.partial(_make_volume, making, volume, key)
            await in_thread(make_volume, "no volume", EngineError, abandon=False)
        for node, service in wanted.items():
            make = functools.partial(_make, making, service.container, making.name(node))
            parts[node] = _Part(service, await anyio.to_thread.run_sync(make))
            _write_config(making.folder, node, service)
        yield parts
    finally:
        with taking_away("removing the containers", record):
            async with anyio.create_task_group() as removing:
                for node, part in parts.items():
                    what = f"container {making.name(node)}"
                    removing.start_soon(take_away, part.container.remove, what, record)
            for volume in volumes.values():
                remove = functools.partial(making.engine.api.remove_volume, volume, force=True)
                await take_away(remove, f"volume {volume}", record)


def _make(making: _Making, container: ContainerSpec, name: str) -> Container:
    return make_container(making.engine, container, making.net.name, making.run, name)


def _make_volume(making: _Making, name: str, key: str) -> None:
    making.engine.api.create_volume(name, labels=dict(labels(making.run, f"data of {key}")))


def _write_config(folder: Path, node: str, service: Service) -> None:
    if not service.config.text:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{node}.conf").write_text(service.config.text, encoding="utf-8")
    except OSError as error:
        raise ServerError(f"{folder} cannot be written: {error.strerror or error}") from error


@asynccontextmanager
async def _cluster(
    making: _Making,
    stage: _Stage,
    exits: Exits,
    parts: Mapping[str, _Part],
    *,
    record: EventSink,
    capabilities: frozenset[Capability],
) -> AsyncIterator[ServerCluster]:
    async with AsyncExitStack() as held:
        links, shaper, plug = None, None, _leave_alone
        if stage.bridge is not None:
            from harness.backends.docker.reach import reach_links  # noqa: PLC0415 - pyroute2

            reached = await held.enter_async_context(
                reach_links(stage.bridge, making.net, making.spec.sites, making.folder, record)
            )
            links, shaper, plug = reached.links, reached.shaper, reached.plug

        def make_node(
            name: str,
            *,
            record: EventSink,
            peers: Callable[[str], frozenset[str]],
            unjoined: Unjoined,
            on_exit: Callable[[], None],
        ) -> ContainerNode:
            return ContainerNode(
                name,
                endpoints=stage.endpoints[name],
                version=making.servers[name].version,
                config=parts[name].service.config,
                container=parts[name].container,
                stopping=parts[name].service.stopping,
                log=making.folder / f"{name}.log",
                exits=exits,
                plug=plug,
                record=record,
                peers=peers,
                unjoined=unjoined,
                on_exit=on_exit,
            )

        cluster = ServerCluster(
            stage.places,
            {node: part.service.config for node, part in parts.items()},
            make_node,
            record,
            sites=making.spec.sites,
            capabilities=capabilities,
            links=links,
            shaper=shaper,
        )
        try:
            yield cluster
        finally:
            with bounded_cleanup(CLEANUP_LIMIT_S, "ending the containers", ServerError):
                nodes = [node for node in cluster.nodes.values() if isinstance(node, ContainerNode)]
                try:
                    await keep_diagnostics(nodes, making.folder / "diagnostics")
                finally:
                    await cluster.close()


async def _leave_alone(node: str, container: str, pid: int) -> None:
    """Do nothing about a container's new process: its network is out of reach."""
    del node, container, pid


def _run_of(folder: Path) -> str:
    """Return the id of the run that a folder belongs to, for labels."""
    for part in reversed(folder.absolute().parts):
        if (match := _RUN_ID.search(part)) is not None:
            return match[0]
    return secrets.token_hex(6)
