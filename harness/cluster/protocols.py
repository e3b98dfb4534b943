"""What the rest of the harness may ask of a cluster, whatever it runs on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from socket import socket
from typing import Any, Protocol

from harness.cluster.links import Links
from harness.cluster.shapes import Shaper
from harness.scenario.model import ClusterSpec


class Capability(StrEnum):
    """An ability that a fault may need and a backend may have."""

    STOP = "stop"
    KILL = "kill"
    PAUSE = "pause"
    LAME_DUCK = "lame-duck"
    PARTITION = "partition"
    RESET = "reset"
    REFUSE = "refuse"
    SHAPE = "shape"  # delay, jitter, loss, duplicate, reorder on single links
    BANDWIDTH = "limit-bandwidth"


@dataclass(frozen=True)
class Address:
    """A host (an IP address) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Endpoints:
    """Where a node listens for clients, routes and monitoring requests."""

    client: Address
    route: Address
    monitor: Address


@dataclass(frozen=True)
class Exit:
    """How a process ended, and when (monotonic ns); `returncode` is -N for signal N."""

    at_ns: int
    returncode: int


class EventSink(Protocol):
    """Record one event of the run; facts are keyword arguments that JSON can hold."""

    def __call__(self, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        """Record an event of `kind`, now unless `at_ns` says when."""


class Process(Protocol):
    """A started process."""

    @property
    def pid(self) -> int:
        """Return the process id, as seen from the harness."""

    @property
    def returncode(self) -> int | None:
        """Return how it ended, -N for signal N; None while it exists."""

    def send_signal(self, number: int) -> None:
        """Send a signal; do nothing when the process has ended."""

    async def wait(self) -> Exit:
        """Return how and when it ended, once it has."""


class Node(Protocol):
    """One server of the cluster."""

    @property
    def name(self) -> str:
        """Return its name."""

    @property
    def endpoints(self) -> Endpoints:
        """Return where it listens."""

    @property
    def version(self) -> str:
        """Return the version of its binary."""

    @property
    def running(self) -> bool:
        """Tell whether its process exists (a paused one does)."""

    async def start(self) -> None:
        """Start the process with its configuration; return once it was spawned."""

    async def wait_healthy(self, limit_s: float) -> None:
        """Return once the node's /healthz says ok and it sees every running peer."""

    async def stop(self, limit_s: float) -> Exit:
        """Ask the server to stop (SIGTERM) and return once its process is gone."""

    async def kill(self, limit_s: float) -> Exit:
        """Kill the process (SIGKILL) and return once it is gone."""

    async def pause(self, limit_s: float) -> None:
        """Freeze the process (SIGSTOP) and return once the kernel shows it stopped."""

    async def resume(self, limit_s: float) -> None:
        """Thaw the process (SIGCONT) and return once the kernel shows it running."""

    async def lame_duck(self) -> None:
        """Ask the server to enter lame duck mode (SIGUSR2)."""

    async def wait_exit(self, limit_s: float) -> Exit:
        """Return how the process ended; FaultError when it has not within the limit."""

    async def responds(self, limit_s: float) -> bool:
        """Tell whether the monitoring port answers a request within the limit."""

    async def accepts_clients(self, limit_s: float) -> bool:
        """Tell whether a new connection to the client port gets an INFO line within the limit."""

    def expect_exit(self) -> None:
        """Declare that the process may end from now on until it is started again."""


class Cluster(Protocol):
    """The servers of one iteration and the places its clients run in."""

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Return the nodes by name, the seed first."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what can be done to the nodes."""

    @property
    def links(self) -> Links | None:
        """Return the links between nodes and client groups; None where nothing can be done."""

    @property
    def record(self) -> EventSink:
        """Return where events go."""

    @property
    def shaper(self) -> Shaper | None:
        """Return what can be made of the links; None where nothing can."""

    async def form(self, limit_s: float) -> None:
        """Start every node and return once every node sees n-1 distinct remotes and is healthy."""

    async def watch(self) -> None:
        """Run until cancelled; raise ServerError when a server exits that was not asked to."""

    def spawn_client(self, group: str, argv: Sequence[str], channel: socket, log: Path) -> Process:
        """Start a client process where `group` lives; `channel` is its stdin and stdout."""

    def describe(self) -> list[dict[str, Any]]:
        """Return name, version and effective configuration of every server, without secrets."""


class Backend(Protocol):
    """A place where clusters run."""

    @property
    def name(self) -> str:
        """Return the name that a user gives."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what can be done to nodes here."""

    def host(self, main: Callable[[], int]) -> int:
        """Run `main` where this backend's clusters live and return its exit code.

        Call it before threads or an event loop exist; `cluster` works only inside.
        """

    def cluster(
        self,
        spec: ClusterSpec,
        *,
        groups: Sequence[str],
        folder: Path,
        record: EventSink,
    ) -> AbstractAsyncContextManager[Cluster]:
        """Make the network and the nodes, started by `Cluster.form`; end them all on leaving.

        Args:
            spec: the servers to run.
            groups: the client groups; each gets a network place of its own where possible.
            folder: where configurations and logs of the servers are kept.
            record: where events go.
        """
