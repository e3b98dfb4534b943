"""A backend whose servers are scripted, so that a whole iteration runs against planted truth.

Everything else is the product's own: its phases, its workers, its files.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any, ClassVar, Literal

import anyio
from server_handle import ServerHandle, scripted_server
from server_script import Act, Deed, Script

from harness.backends.process import ChildProcess, spawn
from harness.cluster.protocols import Address, Capability, Cluster, Endpoints, EventSink
from harness.faults.base import Fault, Strike, undone
from harness.scenario.model import ClusterSpec
from harness.scenario.sites import NOWHERE, Sites

HOST = "127.0.0.1"


@dataclass(frozen=True)
class ScriptedNode:
    """A scripted server in the place of a node; faults reach it through `server`."""

    name: str
    server: ServerHandle
    version: str = "scripted"
    running: bool = True

    @property
    def endpoints(self) -> Endpoints:
        """Return the client port; there is neither a route nor a monitoring port."""
        nowhere = Address(HOST, 0)
        return Endpoints(Address(HOST, self.server.port), nowhere, nowhere)


@dataclass(frozen=True)
class ScriptedCluster:
    """Scripted servers that know nothing of one another."""

    nodes: Mapping[str, ScriptedNode]
    record: EventSink
    capabilities: frozenset[Capability] = frozenset()
    shaper: None = None
    sites: Sites = NOWHERE

    async def form(self, limit_s: float) -> None:
        """Record that the servers, which are up already, are up."""
        del limit_s
        for node in self.nodes.values():
            self.record("server.started", node=node.name, pid=node.server.pid, version=node.version)
        self.record("cluster.formed", took_s=0.0)

    async def watch(self) -> None:
        """Run until cancelled: a scripted server that fails breaks its own commands."""
        await anyio.sleep_forever()

    def spawn_client(
        self, group: str, argv: Sequence[str], channel: socket, log: Path
    ) -> ChildProcess:
        """Start a worker as a plain process."""
        del group
        with log.open("wb") as stderr:
            number = channel.fileno()
            return spawn(argv, stdin=number, stdout=number, stderr=stderr)

    def describe(self) -> list[dict[str, Any]]:
        """Return name, version and configuration of every server."""
        return [{"name": name, "version": "scripted", "config": {}} for name in self.nodes]


@dataclass(frozen=True)
class ScriptedBackend:
    """Run scripted servers; `scripts` has one script for each node, by name."""

    scripts: Mapping[str, Script]
    name: str = "scripted"
    capabilities: frozenset[Capability] = frozenset()

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
    ) -> AsyncIterator[ScriptedCluster]:
        """Start the servers; on leaving, each one's truth lies in `folder`."""
        del groups, watched, on_devices
        async with AsyncExitStack() as stack:
            nodes = {}
            for name in spec.nodes:
                server = scripted_server(
                    self.scripts.get(name, Script()), folder / f"{name}.truth.json"
                )
                nodes[name] = ScriptedNode(name, await stack.enter_async_context(server))
            yield ScriptedCluster(nodes, record)


class Planted(Fault):
    """Have a scripted server misbehave; the instant it says it did is the instant it was hit."""

    action: Literal["planted"] = "planted"
    deed: Deed = "close"
    listening: bool = False
    silent: ClassVar[bool] = False

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Do the deed on entry, ``return`` on exit."""
        del cluster

        async def come_back() -> None:
            for node in strike.nodes:
                assert isinstance(node, ScriptedNode)
                await node.server.act(Act("return"))
                strike.undo(node, "returned")

        async with undone(come_back, "returning"):
            for node in strike.nodes:
                assert isinstance(node, ScriptedNode)
                act = Act(self.deed, listening=self.listening)
                before_ns, _ = await node.server.act(act)
                strike.record(
                    "fault.hit",
                    at_ns=before_ns,
                    fault=strike.fault,
                    action=strike.action,
                    node=node.name,
                    how=self.deed,
                )
                strike.effect(node, f"did {self.deed}")
            yield
