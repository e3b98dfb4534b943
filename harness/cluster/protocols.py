"""What the rest of the harness may ask of a cluster, whatever it runs on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from socket import socket
from types import MappingProxyType
from typing import Any, Protocol

from harness.cluster.clocks import WallClock
from harness.cluster.command import Completed
from harness.cluster.cpus import Cpu
from harness.cluster.disks import Disk
from harness.cluster.jetstream import JetStream
from harness.cluster.links import Links
from harness.cluster.shapes import Shaper
from harness.cluster.user_commands import UserCommand
from harness.scenario.model import ClusterSpec
from harness.scenario.sites import Sites


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
    CLOCK_SKEW = "skew-clocks"
    CPU_LIMIT = "limit-cpu"
    DISK = "fault-disks"  # by system calls that wait for an answer
    DEVICE = "cut-power-of-devices"  # that stores are on, each on one of its own
    ROLLBACK = "roll-back-disks"
    DISCONNECT = "disconnect"
    STORE = "damage-stores"  # the files of JetStream, while their server is down
    RELEASE = "change-releases"  # of servers, between two lives of theirs
    JETSTREAM = "ask-jetstream"  # as any client may: to step down, to remove a peer
    COMMAND = "run-commands"  # of the user's own, against servers that run already
    CLIENT_PARTITION = "partition-clients"  # both ways, between clients and servers
    CLIENT_RESET = "reset-clients"
    CLIENT_REFUSE = "refuse-clients"
    CLIENT_DELAY = "delay-clients"  # without reordering
    CLIENT_BANDWIDTH = "limit-clients-bandwidth"


# Whoever can do the whole can do the part that is about clients' connections only.
WHOLE: Mapping[Capability, Capability] = MappingProxyType(
    {
        Capability.CLIENT_PARTITION: Capability.PARTITION,
        Capability.CLIENT_RESET: Capability.RESET,
        Capability.CLIENT_REFUSE: Capability.REFUSE,
        Capability.CLIENT_DELAY: Capability.SHAPE,
        Capability.CLIENT_BANDWIDTH: Capability.BANDWIDTH,
    }
)


@dataclass(frozen=True)
class Address:
    """A host (an IP address) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Endpoints:
    """Where a node is reached by clients, routes and monitoring requests.

    Attributes:
        client: where clients connect, and what the node advertises to them.
        route: where other nodes of its cluster connect.
        monitor: where it is asked about itself.
        gateway: where other clusters connect, where there are any.
        leafnode: where leaf nodes connect, where there are any.
        server: where the server itself listens for clients, when a proxy stands before it.
        known_as: other addresses, ``host:port``, by which clients may come to know it.
    """

    client: Address
    route: Address
    monitor: Address
    gateway: Address | None = None
    leafnode: Address | None = None
    server: Address | None = None
    known_as: tuple[str, ...] = field(default=(), kw_only=True)


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
    def store(self) -> Path | None:
        """Return its store directory; None where its files cannot be reached."""

    @property
    def running(self) -> bool:
        """Tell whether its process exists (a paused one does)."""

    @property
    def frozen(self) -> bool:
        """Tell whether its process exists and the kernel shows it stopped."""

    @property
    def refused(self) -> str | None:
        """Return why it stays as it is, where `try_start` let it refuse its data; else None."""

    @property
    def stop_signal(self) -> str:
        """Return the name of the signal that asks it to stop, usually ``SIGTERM``."""

    async def start(self) -> None:
        """Start the process with its configuration; return once it was spawned."""

    async def wait_healthy(self, limit_s: float) -> None:
        """Return once the node's /healthz says ok and it is joined to all that runs.

        To every running peer by a route, and its cluster to the others; see `Cluster.form`.
        """

    async def try_start(self, limit_s: float, *, may_refuse: bool = False) -> str | None:
        """Start the process on data that it may refuse; return None once it is healthy.

        Otherwise return why it is not: the fatal error of JetStream's with which it ended, as it
        then may, or what its /healthz says when the limit is reached, if it is routed to every
        running peer by then; see `running`. ServerError when it ended or lives otherwise. Where
        it `may_refuse`, why it did is what `refused` says from then on.
        """

    async def change_release(self, version: str) -> str:
        """Have it run another release from its next start on; return what that release says it is.

        `version` is as in a scenario. FaultError when it runs, or the release cannot be had.
        """

    async def stop(self, limit_s: float) -> Exit:
        """Ask the server to stop (`stop_signal`) and return once its process is gone."""

    async def kill(self, limit_s: float) -> Exit:
        """Kill the process (SIGKILL) and return once it is gone."""

    async def pause(self, limit_s: float) -> None:
        """Freeze the process (SIGSTOP) and return once the kernel shows it stopped."""

    async def resume(self, limit_s: float) -> None:
        """Thaw the process (SIGCONT) and return once the kernel shows it running."""

    async def disconnect(self, limit_s: float) -> str:
        """Take the node off its network; return what shows it, once it does."""

    async def connected(self, limit_s: float) -> bool:
        """Tell whether the node is on its network."""

    async def connect(self, limit_s: float) -> str:
        """Put the node back on its network as it was; return what shows it, once it does."""

    async def lame_duck(self) -> None:
        """Ask the server to enter lame duck mode (SIGUSR2)."""

    async def wait_exit(self, limit_s: float) -> Exit:
        """Return how the process ended.

        FaultError when it has not within the limit, or ended otherwise than what it was sent
        ends a server.
        """

    async def responds(self, limit_s: float) -> bool:
        """Tell whether the monitoring port answers a request within the limit."""

    async def accepts_clients(self, limit_s: float) -> bool:
        """Tell whether a new connection to the client port gets an INFO line within the limit."""

    @property
    def clock(self) -> WallClock:
        """Return the wall clock that its process goes by."""

    @property
    def cpu(self) -> Cpu:
        """Return the CPU time that its process is given."""

    @property
    def disk(self) -> Disk:
        """Return the disk that its store is on; FaultError where nothing can be done to it."""

    async def run_command(self, command: UserCommand) -> Completed:
        """Run a command of the user's for this node; FaultError when it cannot be run."""

    def expect_exit(self) -> None:
        """Declare that it is about to be asked to end: it serves nobody until its next start."""


class Cluster(Protocol):
    """The servers of one iteration and the places its clients run in."""

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Return the nodes by name, the seed first."""

    @property
    def sites(self) -> Sites:
        """Return the clusters that the nodes form."""

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

    @property
    def jetstream(self) -> JetStream | None:
        """Return what may be asked of JetStream; None where nobody observes it."""

    def lend(self, jetstream: JetStream | None) -> None:
        """Let faults and targets ask `jetstream` from now on."""

    async def form(self, limit_s: float) -> None:
        """Start every node and return once each is healthy and joined to all it should be.

        That is: a route to every other node of its cluster, a gateway to every other
        cluster, and, of a leaf, a connection to its hub.
        """

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
        watched: Collection[str] = (),
        on_devices: Collection[str] = (),
    ) -> AbstractAsyncContextManager[Cluster]:
        """Make the network and the nodes, started by `Cluster.form`; end them all on leaving.

        Args:
            spec: the servers to run.
            groups: the client groups; each gets a network place of its own where possible.
            folder: where configurations and logs of the servers are kept.
            record: where events go.
            watched: the nodes to whose disks something may be done that needs their system
                calls to be seen; a backend without `Capability.DISK` is given none.
            on_devices: the nodes whose stores have to be on a device of their own each; a
                backend without `Capability.DEVICE` is given none.
        """
