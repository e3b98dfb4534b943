"""The backend `local`: plain processes on 127.0.0.1, wherever processes can be started."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import (
    AF_INET,
    SO_REUSEADDR,
    SOCK_STREAM,
    SOL_SOCKET,
    AddressFamily,
    SocketKind,
    socket,
)
from typing import IO

from harness.backends import leash
from harness.backends.process import ChildProcess, spawn
from harness.backends.process_cluster import CAPABILITIES, ProcessCluster, process_cluster
from harness.cluster.protocols import Address, Capability, Endpoints, EventSink
from harness.errors import ServerError
from harness.scenario.model import ClusterSpec

LOOPBACK = "127.0.0.1"


class LocalBackend:
    """Plain processes; implements `harness.cluster.protocols.Backend`."""

    @property
    def name(self) -> str:
        """Return ``local``."""
        return "local"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what can be done to nodes here."""
        return CAPABILITIES

    def host(self, main: Callable[[], int]) -> int:
        """Return what `main` returns; this place needs no entering."""
        return main()

    @asynccontextmanager
    async def cluster(
        self, spec: ClusterSpec, *, groups: Sequence[str], folder: Path, record: EventSink
    ) -> AsyncIterator[ProcessCluster]:
        """Hold the ports and make the nodes; see the protocol. All groups share this host."""
        del groups
        with hold_endpoints(spec.nodes) as endpoints:
            async with process_cluster(
                spec, LocalPlaces(endpoints), folder=folder, record=record
            ) as cluster:
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
        tied = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), "--", *argv]
        return spawn(tied, stdin=stdin, stdout=stdout, stderr=stderr, env=env, on_exit=on_exit)

    def socket(
        self, place: str, family: AddressFamily, kind: SocketKind = SOCK_STREAM, proto: int = 0
    ) -> socket:
        """Return a new socket of this host."""
        del place
        return socket(family, kind, proto)


@contextmanager
def hold_endpoints(nodes: Sequence[str]) -> Iterator[Mapping[str, Endpoints]]:
    """Choose three free ports a node and keep everybody else from being given them.

    Each port stays bound, without listening, for as long as the body runs. Linux lets
    the server bind it as well, again and again, since both sides set SO_REUSEADDR
    (socket(7)), while it no longer hands it out to anybody who asks for any free port.

    Raises:
        ServerError: no ports are left.
    """
    with ExitStack() as held:
        try:
            endpoints = {node: Endpoints(*(_hold(held) for _ in range(3))) for node in nodes}
        except OSError as error:
            raise ServerError(f"no free port on {LOOPBACK}: {error.strerror}") from error
        yield endpoints


def _hold(held: ExitStack) -> Address:
    holder = held.enter_context(socket(AF_INET, SOCK_STREAM))
    holder.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    holder.bind((LOOPBACK, 0))
    return Address(LOOPBACK, holder.getsockname()[1])
