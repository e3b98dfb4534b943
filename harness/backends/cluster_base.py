"""What every kind of cluster has: its nodes, where its events go, and the clients it started."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import socket
from typing import Any, Generic, TypeVar

from harness.backends.process import ChildProcess
from harness.backends.process_node import Launch
from harness.clock import now_ns, seconds
from harness.cluster.jetstream import JetStream
from harness.cluster.links import Links
from harness.cluster.protocols import Capability, EventSink, Node
from harness.cluster.shapes import Shaper
from harness.errors import WorkerError
from harness.scenario.sites import Sites

SomeNode = TypeVar("SomeNode", bound=Node)


class ClusterBase(ABC, Generic[SomeNode]):
    """With `form` and `watch` of its kind it is a `harness.cluster.protocols.Cluster`.

    Attributes:
        nodes: the nodes by name, the seed first.
        sites: the clusters that the nodes form.
        capabilities: what can be done to the nodes.
        record: where events go.
        links: the links between places; None where nothing can be done to them.
        shaper: what can be made of the links; None where nothing can.
        jetstream: what may be asked of JetStream; None where nobody observes it.
    """

    def __init__(
        self,
        nodes: Mapping[str, SomeNode],
        *,
        sites: Sites,
        capabilities: frozenset[Capability],
        record: EventSink,
        launch: Launch,
        links: Links | None = None,
        shaper: Shaper | None = None,
    ) -> None:
        """Make a cluster whose clients are started by `launch`; the rest are its attributes."""
        self.nodes = nodes
        self.sites = sites
        self.capabilities = capabilities
        self.record = record
        self.links = links
        self.shaper = shaper
        self.jetstream: JetStream | None = None
        self._launch = launch
        self._clients: list[ChildProcess] = []

    def lend(self, jetstream: JetStream | None) -> None:
        """Let faults and targets ask `jetstream` from now on."""
        self.jetstream = jetstream

    @abstractmethod
    def describe(self) -> list[dict[str, Any]]:
        """Return name, version and effective configuration of every server, without secrets."""

    def spawn_client(
        self, group: str, argv: Sequence[str], channel: socket, log: Path
    ) -> ChildProcess:
        """Start a client process where `group` lives.

        Args:
            group: the client group.
            argv: the program and its arguments.
            channel: its stdin and stdout; the caller closes its own copy.
            log: the file that its stderr is appended to.

        Raises:
            WorkerError: `log` cannot be written.
        """
        try:
            stderr = log.open("ab")
        except OSError as error:
            raise WorkerError(f"{log} cannot be written: {error.strerror}") from error
        with stderr:
            process = self._launch(
                group, argv, stdin=channel.fileno(), stdout=channel.fileno(), stderr=stderr
            )
        self._clients.append(process)
        return process

    def _note_formed(self, began_ns: int) -> None:
        self.record("cluster.formed", took_s=round(seconds(now_ns() - began_ns), 6))
        for fact in self.describe():
            self.record("server.described", **fact)

    def _kill_clients(self) -> None:
        for client in self._clients:
            client.send_signal(signal.SIGKILL)

    async def _clients_gone(self) -> None:
        for client in self._clients:
            await client.wait()
