"""The servers of one iteration, however their processes are run: what kinds of clusters share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from socket import SOCK_STREAM, AddressFamily, SocketKind, socket
from typing import Any, Protocol

import anyio
import anyio.to_thread

from harness.backends.cluster_base import ClusterBase
from harness.backends.joints import Joints
from harness.backends.meta_group import find_left_out
from harness.backends.process_node import Launch
from harness.backends.server_node import POLL_S, READ_LIMIT_S, ServerNode, Unjoined
from harness.clock import now_ns
from harness.cluster.config import NodeConfig
from harness.cluster.links import Links
from harness.cluster.protocols import Capability, Endpoints, EventSink
from harness.cluster.shapes import Shaper
from harness.errors import ServerError
from harness.scenario.sites import Sites

GRACE_S = 1.0  # from SIGTERM to SIGKILL at the end of a run
CLEANUP_LIMIT_S = 10.0


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


class MakeNode(Protocol):
    """Make the node called `name`; the rest is what it needs to know of the others."""

    def __call__(
        self,
        name: str,
        *,
        record: EventSink,
        peers: Callable[[str], frozenset[str]],
        unjoined: Unjoined,
        on_exit: Callable[[], None],
    ) -> ServerNode:
        """Return the node, not started."""


class ServerCluster(ClusterBase[ServerNode]):
    """The servers of one iteration; implements `harness.cluster.protocols.Cluster`."""

    def __init__(
        self,
        places: Places,
        configs: Mapping[str, NodeConfig],
        make_node: MakeNode,
        record: EventSink,
        *,
        sites: Sites,
        capabilities: frozenset[Capability],
        links: Links | None = None,
        shaper: Shaper | None = None,
    ) -> None:
        super().__init__(
            {
                name: make_node(
                    name,
                    record=record,
                    peers=self._peers,
                    unjoined=self._unjoined,
                    on_exit=self._note_change,
                )
                for name in configs
            },
            sites=sites,
            capabilities=capabilities,
            record=record,
            launch=places.launch,
            links=links,
            shaper=shaper,
        )
        self._places = places
        self._configs = configs
        self._changed = anyio.Event()
        self._joints = Joints(
            sites, self.nodes, lambda: frozenset() if links is None else links.severed
        )

    async def form(self, limit_s: float) -> None:
        """Start every node; return once each is healthy and joined to all others.

        A cluster's seed goes first and the others wait until its route port is open: a
        route that is refused is tried again only after a second. So is a leaf's connection,
        and leafs come last.

        Raises:
            ServerError: a server ended, or they have not formed within `limit_s` seconds.
        """
        began_ns = now_ns()
        missing = "no server was reached"
        with anyio.move_on_after(limit_s):
            whole = False
            while not whole:
                await self._start_all()
                for node in self.nodes.values():
                    while (missing := await self._lacks(node)) != "":
                        await anyio.sleep(POLL_S)
                whole = (missing := await self._left_out()) == ""
                if not whole:
                    await self._empty(missing)
            self._note_formed(began_ns)
            return
        said = await self._complaints()
        raise ServerError(f"the cluster has not formed within {limit_s:g} s: {missing}{said}")

    async def _start_all(self) -> None:
        for site in self.sites.every:
            seed, *others = (self.nodes[name] for name in site.nodes)
            awaited = bool(others) or any(self.sites.diallers_of(site))
            await seed.start()
            while awaited and not seed.listening_for_routes():
                await seed.require_alive()
                await anyio.sleep(POLL_S / 5)
            for node in others:
                await node.start()

    async def _left_out(self) -> str:
        """Say which servers JetStream has left out, where one cluster has it on."""
        if len(self.sites.every) > 1 or not all(
            config.effective.get("jetstream") for config in self._configs.values()
        ):
            return ""
        return await find_left_out(list(self.nodes.values()))

    async def _empty(self, why: str) -> None:
        """End every server and remove its store, so that all start from nothing again."""
        self.record("cluster.emptied", why=why)
        async with anyio.create_task_group() as ending:
            for node in self.nodes.values():
                ending.start_soon(node.kill, CLEANUP_LIMIT_S)
        for node in self.nodes.values():
            node.record_exit()
            if node.store is not None:
                await anyio.to_thread.run_sync(shutil.rmtree, node.store, True)

    async def watch(self) -> None:
        """Record exits until cancelled; raise ServerError when one was not asked for."""
        while True:
            self._changed = changed = anyio.Event()
            for node in self.nodes.values():
                node.record_exit()
                if node.ended_unasked:
                    await node.keep_log()
                    raise node.why_ended()
            await changed.wait()

    def socket(
        self, place: str, family: AddressFamily, kind: SocketKind = SOCK_STREAM, proto: int = 0
    ) -> socket:
        """Return a new socket that lives in the network of a node or a client group."""
        return self._places.socket(place, family, kind, proto)

    def describe(self) -> list[dict[str, Any]]:
        """Return name, version and effective configuration of every server, without secrets."""
        return [
            {"name": name, "version": node.version, "config": dict(self._configs[name].effective)}
            for name, node in self.nodes.items()
        ]

    async def close(self) -> None:
        """End every process, record how, and return once none is left."""
        self._kill_clients()
        async with anyio.create_task_group() as ending:
            for node in self.nodes.values():
                ending.start_soon(node.end_now, GRACE_S)
        await self._clients_gone()
        for node in self.nodes.values():
            node.record_exit()

    async def _lacks(self, node: ServerNode) -> str:
        """Return what keeps `node` from being part of the whole cluster, or nothing."""
        for other in self.nodes.values():
            await other.require_alive()
        wanted = len(self.sites.of(node.name).nodes) - 1
        try:
            if (missing := await node.lacks(wanted, READ_LIMIT_S)) != "":
                return missing
            return await self._joints.missing_from(node.name, READ_LIMIT_S)
        except ServerError as error:
            return f"{node.name}: {error}"

    async def _complaints(self) -> str:
        """Return what the servers logged as errors, for a message's end; each error once."""
        said: dict[str, str] = {}
        for name, node in self.nodes.items():
            if (error := await node.complain()) != "":
                said.setdefault(error, f"{name} logged: {error}")
        return "".join(f"\n  {line}" for line in said.values())

    def _peers(self, name: str) -> frozenset[str]:
        """Return what the nodes call themselves that `name` should have routes to by now.

        While the seed is away, a node that was started again may find nobody: it knows
        only the seed's route, and routes learned by gossip are not tried again.
        """
        site = self.sites.of(name)
        if name != site.seed and not self.nodes[site.seed].serving:
            return frozenset()
        return frozenset(
            self.nodes[other].server_name
            for other in site.nodes
            if other != name and self.nodes[other].serving
        )

    async def _unjoined(self, name: str, limit_s: float) -> str:
        return await self._joints.missing_at(name, limit_s)

    def _note_change(self) -> None:
        self._changed.set()
