"""The backend `attach`: a cluster that runs already, by client and monitoring URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from harness.backends.attach.commands import CommandRunner
from harness.backends.attach.examine import Acquaintance, meet_all
from harness.backends.attach.node import LOOK_LIMIT_S, POLL_S, AttachedNode
from harness.backends.cluster_base import ClusterBase
from harness.backends.local import LocalPlaces
from harness.clock import now_ns
from harness.cluster.protocols import Capability, EventSink
from harness.errors import ServerError, UsageError
from harness.scenario.model import ClusterSpec
from harness.scopes import bounded_cleanup

ATTACH_CAPABILITIES = frozenset((Capability.COMMAND, Capability.JETSTREAM))
CLEANUP_LIMIT_S = 10.0


class AttachBackend:
    """Servers that run already; implements `harness.cluster.protocols.Backend`."""

    @property
    def name(self) -> str:
        """Return ``attach``."""
        return "attach"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what can be done here: what the user brings the commands for."""
        return ATTACH_CAPABILITIES

    def host(self, main: Callable[[], int]) -> int:
        """Return what `main` returns; this place needs no entering."""
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
    ) -> AsyncIterator[AttachedCluster]:
        """Meet the servers; leave them as they are. All client groups are on this host.

        Raises:
            ServerError: one is not there, or not what the scenario says.
        """
        del groups, watched, on_devices
        try:
            met = await anyio.to_thread.run_sync(meet_all, spec)
        except UsageError as error:
            raise ServerError(str(error)) from error
        cluster = AttachedCluster(spec, met, folder, record)
        try:
            yield cluster
        finally:
            with bounded_cleanup(CLEANUP_LIMIT_S, "a last look at the servers", ServerError):
                await cluster.close()


class AttachedCluster(ClusterBase[AttachedNode]):
    """Servers that run already; implements `harness.cluster.protocols.Cluster`."""

    def __init__(
        self,
        spec: ClusterSpec,
        met: Mapping[str, Acquaintance],
        folder: Path,
        record: EventSink,
    ) -> None:
        assert spec.attach is not None
        login = spec.authorization
        secrets = frozenset([login.password.get_secret_value()] if login else [])
        runner = CommandRunner(folder / "commands", record, secrets)
        super().__init__(
            {
                name: AttachedNode(
                    met[name], urls, runner=runner, record=record, peers=self._names_of_peers
                )
                for name, urls in spec.attach.items()
            },
            sites=spec.sites,
            capabilities=ATTACH_CAPABILITIES,
            record=record,
            launch=LocalPlaces({name: one.endpoints for name, one in met.items()}).launch,
        )

    async def form(self, limit_s: float) -> None:
        """Start nothing; return once each server is healthy and sees the other listed ones.

        Raises:
            ServerError: it has not come to that within `limit_s` seconds.
        """
        began_ns = now_ns()
        missing = "no server was reached"
        with anyio.move_on_after(limit_s):
            for node in self.nodes.values():
                while (lack := await node.lacks(LOOK_LIMIT_S)) != "":
                    missing = f"{node.name}: {lack}"
                    await anyio.sleep(POLL_S)
            self._note_formed(began_ns)
            return
        raise ServerError(
            f"the attached cluster is not whole after {limit_s:g} s of waiting: {missing}"
        )

    async def watch(self) -> None:
        """Look at every server until cancelled; ServerError when one restarted unasked."""
        async with anyio.create_task_group() as watchers:
            for node in self.nodes.values():
                watchers.start_soon(node.watch)

    def describe(self) -> list[dict[str, Any]]:
        """Return name, version and what each server said of itself, without secrets."""
        return [
            {"name": name, "version": node.version, "config": dict(node.describe())}
            for name, node in self.nodes.items()
        ]

    async def close(self) -> None:
        """End the clients, and look at each server a last time."""
        self._kill_clients()
        async with anyio.create_task_group() as looks:
            for node in self.nodes.values():
                looks.start_soon(node.look, LOOK_LIMIT_S)
        await self._clients_gone()

    def _names_of_peers(self, name: str) -> frozenset[str]:
        """Return the servers' own names of the others that no fault holds."""
        return frozenset(
            node.server_name for other, node in self.nodes.items() if other != name and node.serving
        )
