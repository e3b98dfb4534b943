"""A cluster of child processes: what `lab` and `local` share."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread

from harness.backends.capabilities import CAPABILITIES
from harness.backends.disk.device import mounted
from harness.backends.process_node import ProcessNode
from harness.backends.server_cluster import CLEANUP_LIMIT_S, Places, ServerCluster
from harness.backends.server_node import Unjoined
from harness.cluster.binaries import Binary, resolve_all
from harness.cluster.config import NodeConfig, render
from harness.cluster.links import Links
from harness.cluster.preflight import check
from harness.cluster.protocols import Capability, Endpoints, EventSink
from harness.cluster.shapes import Shaper
from harness.errors import ServerError
from harness.scenario.model import ClusterSpec
from harness.scopes import bounded_cleanup

STORES = "jetstream"  # removed at the end: a run folder keeps what explains, not the data


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
    watched: Collection[str] = (),
    on_devices: Collection[str] = (),
) -> AsyncIterator[ServerCluster]:
    """Write the configurations and make the nodes; end every process on leaving.

    `capabilities` and `links` are what the places allow beyond what processes do; the disks
    of the `watched` nodes can be faulted, and the power of those `on_devices` be cut.

    Raises:
        BinaryError: a server binary cannot be had.
        UsageError: a server refuses its configuration.
        ServerError: `folder` cannot be written, or a process would not end.
    """
    binaries = await anyio.to_thread.run_sync(resolve_all, spec)
    stores = {node: _store_of(folder, node, on_devices) for node in spec.nodes}
    configs = await anyio.to_thread.run_sync(
        _prepare, spec, places.endpoints, folder, binaries, stores
    )

    def make_node(
        name: str,
        *,
        record: EventSink,
        peers: Callable[[str], frozenset[str]],
        unjoined: Unjoined,
        on_exit: Callable[[], None],
    ) -> ProcessNode:
        return ProcessNode(
            name,
            endpoints=places.endpoints[name],
            binary=binaries[name],
            config=configs[name],
            folder=folder,
            store=stores[name],
            launch=places.launch,
            record=record,
            peers=peers,
            unjoined=unjoined,
            on_exit=on_exit,
            watched=name in watched,
            device=made.get(name),
        )

    try:
        async with mounted(_root_of(folder), on_devices) as made:
            cluster = ServerCluster(
                places,
                configs,
                make_node,
                record,
                sites=spec.sites,
                capabilities=capabilities,
                links=links,
                shaper=shaper,
            )
            try:
                yield cluster
            finally:
                with bounded_cleanup(CLEANUP_LIMIT_S, "ending the servers", ServerError):
                    await cluster.close()
    finally:
        with bounded_cleanup(CLEANUP_LIMIT_S, "removing the stores", ServerError):
            await anyio.to_thread.run_sync(_remove, folder / STORES)


def _root_of(folder: Path) -> Path:
    return folder.absolute() / STORES


def _store_of(folder: Path, node: str, on_devices: Collection[str]) -> Path:
    """Return where a store is: below where its device is mounted, so that it can be exchanged."""
    place = _root_of(folder) / node
    return place / node if node in on_devices else place


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
    stores: Mapping[str, Path],
) -> Mapping[str, NodeConfig]:
    """Write every node's configuration, and let each distinct binary check one of a cluster.

    They differ only in addresses; the last node stands for the others, since the seed
    has no routes.
    """
    configs = {node: render(spec, node, endpoints, stores[node]) for node in spec.nodes}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for node, config in configs.items():
            (folder / f"{node}.conf").write_text(config.text, encoding="utf-8")
    except OSError as error:
        raise ServerError(f"{folder} cannot be written: {error.strerror or error}") from error
    sites = spec.sites
    chosen = {(binaries[node].path, sites.of(node).name): node for node in spec.nodes}
    for node in chosen.values():
        check(binaries[node], configs[node], folder / f"{node}.conf", spec.config)
    return configs
