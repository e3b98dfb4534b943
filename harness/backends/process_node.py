"""A server that runs as a child process, wherever the backend puts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

import anyio

from harness.backends.process import ChildProcess
from harness.backends.server_log import explain_exit
from harness.cluster.binaries import Binary
from harness.cluster.config import NodeConfig
from harness.cluster.monitor import Monitor
from harness.cluster.protocols import Endpoints, EventSink, Exit
from harness.errors import FaultError, ServerError

POLL_S = 0.005
STOP_POLL_S = 0.001
READ_LIMIT_S = 0.5  # one read while waiting: a frozen server must not hold the wait up
INFO_LIMIT_BYTES = 65_536
TCP_LISTEN = "0A"


class Launch(Protocol):
    """Start a program in a place (a node's or a client group's) of the backend."""

    def __call__(
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
        """Start it; `env` is the whole environment, `on_exit` is called when it ended."""


class ProcessNode:
    """One server; implements `harness.cluster.protocols.Node`.

    Restarts use the same configuration, the same ports and the same log file.
    """

    def __init__(
        self,
        name: str,
        *,
        endpoints: Endpoints,
        binary: Binary,
        config: NodeConfig,
        folder: Path,
        launch: Launch,
        record: EventSink,
        peers: Callable[[str], frozenset[str]],
        on_exit: Callable[[], None],
    ) -> None:
        """Make a node that is not started.

        Args:
            name: its name, which is also its place.
            endpoints: where it listens.
            binary: the server.
            config: its configuration, which ``<name>.conf`` in `folder` holds.
            folder: where ``<name>.log`` goes.
            launch: how the backend starts programs.
            record: where events go.
            peers: the names of the nodes that the named one should have routes to now.
            on_exit: called in the event loop whenever its process ends.
        """
        self._name = name
        self._endpoints = endpoints
        self._binary = binary
        self._config = config
        self._conf = folder / f"{name}.conf"
        self._log = folder / f"{name}.log"
        self._launch = launch
        self._record = record
        self._peers = peers
        self._on_exit = on_exit
        self._monitor = Monitor(endpoints.monitor)
        self._process: ChildProcess | None = None
        self._may_exit = False
        self._ended_unasked = False
        self._recorded = True

    @property
    def name(self) -> str:
        """Return its name."""
        return self._name

    @property
    def endpoints(self) -> Endpoints:
        """Return where it listens."""
        return self._endpoints

    @property
    def version(self) -> str:
        """Return the version of its binary."""
        return self._binary.version

    @property
    def monitor(self) -> Monitor:
        """Return its monitoring port."""
        return self._monitor

    @property
    def pid(self) -> int | None:
        """Return the id of its process; None when it does not run."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Tell whether its process exists; a paused one does."""
        return self._process is not None and self._process.returncode is None

    @property
    def serving(self) -> bool:
        """Tell whether it runs, is not frozen and has not been asked to end."""
        return self.running and not self._may_exit and not self._alive().stopped()

    @property
    def ended_unasked(self) -> bool:
        """Tell whether its process ended although nobody had declared that it may."""
        return self._ended_unasked

    async def start(self) -> None:
        """Start the process; return once it was spawned.

        Raises:
            FaultError: it runs already.
            ServerError: its log cannot be written.
        """
        if self.running:
            raise FaultError(f"{self.name} runs already")
        if self._process is not None:
            await self._process.wait()  # its end is certain, but may not be stamped yet
        self.record_exit()
        try:
            log = self._log.open("ab")
        except OSError as error:
            raise ServerError(f"{self._log} cannot be written: {error.strerror}") from error
        self._may_exit = self._ended_unasked = False
        with log:
            self._process = self._launch(
                self.name,
                [str(self._binary.path), "-c", str(self._conf)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._config.environment},
                on_exit=self._note_exit,
            )
        self._recorded = False
        self._record("server.started", node=self.name, pid=self._process.pid, version=self.version)

    async def wait_healthy(self, limit_s: float) -> None:
        """Return once /healthz says ok and it has a route to every peer that serves.

        Raises:
            ServerError: it has not come to that within `limit_s` seconds, or it ended.
        """
        missing = "nothing was heard of it"
        with anyio.move_on_after(limit_s):
            while True:
                self.require_alive()
                try:
                    peers = self._peers(self.name)
                    absent = await self._monitor.lacks_routes_to(peers, READ_LIMIT_S)
                    if not absent and await self._monitor.healthy(READ_LIMIT_S):
                        return
                    missing = f"no route to {', '.join(sorted(absent))}" if absent else "/healthz"
                except ServerError as error:
                    missing = str(error)
                await anyio.sleep(POLL_S)
        raise ServerError(f"{self.name} is not healthy after {limit_s:g} s: {missing}")

    async def stop(self, limit_s: float) -> Exit:
        """Ask the server to stop (SIGTERM) and return once its process is gone."""
        return await self._end(signal.SIGTERM, limit_s)

    async def kill(self, limit_s: float) -> Exit:
        """Kill the process (SIGKILL) and return once it is gone."""
        return await self._end(signal.SIGKILL, limit_s)

    async def pause(self, limit_s: float) -> None:
        """Freeze the process (SIGSTOP) and return once the kernel shows it stopped."""
        self._alive().send_signal(signal.SIGSTOP)
        await self._until_stopped(limit_s, wanted=True)

    async def resume(self, limit_s: float) -> None:
        """Thaw the process (SIGCONT) and return once the kernel shows it running."""
        self._alive().send_signal(signal.SIGCONT)
        await self._until_stopped(limit_s, wanted=False)

    async def lame_duck(self) -> None:
        """Ask the server to enter lame duck mode (SIGUSR2), at the end of which it exits."""
        process = self._alive()
        self.expect_exit()
        process.send_signal(signal.SIGUSR2)

    async def wait_exit(self, limit_s: float) -> Exit:
        """Return how the process ended; FaultError when it has not within the limit."""
        if self._process is None:
            raise FaultError(f"{self.name} was never started")
        with anyio.move_on_after(limit_s):
            ended = await self._process.wait()
            self.record_exit()
            return ended
        raise FaultError(f"{self.name} has not exited within {limit_s:g} s")

    async def responds(self, limit_s: float) -> bool:
        """Tell whether the monitoring port answers a request within the limit."""
        try:
            await self._monitor.get("/healthz", limit_s)
        except ServerError:
            return False
        return True

    async def accepts_clients(self, limit_s: float) -> bool:
        """Tell whether a new connection to the client port gets an INFO line within the limit."""
        said = b""
        address = self.endpoints.client
        try:
            with anyio.fail_after(limit_s):
                async with await anyio.connect_tcp(address.host, address.port) as stream:
                    while b"\n" not in said and len(said) < INFO_LIMIT_BYTES:
                        said += await stream.receive()
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):  # TimeoutError too
            return False
        return said.startswith(b"INFO ")

    def expect_exit(self) -> None:
        """Declare that the process may end from now on until it is started again."""
        self._may_exit = True

    def listening_for_routes(self) -> bool:
        """Tell whether the route port is open, by the kernel's table and without a connection."""
        route = self.endpoints.route
        host = int.from_bytes(socket.inet_aton(route.host), sys.byteorder)
        wanted = f"{host:08X}:{route.port:04X}"
        try:
            table = Path(f"/proc/{self._alive().pid}/net/tcp").read_text(encoding="ascii")
        except (OSError, FaultError):
            return False  # it ended meanwhile
        rows = (row.split() for row in table.splitlines()[1:])
        return any(row[1] == wanted and row[3] == TCP_LISTEN for row in rows)

    def require_alive(self) -> None:
        """Raise ServerError with its last log lines when its process has ended."""
        if not self.running:
            raise self.why_ended()

    def why_ended(self) -> ServerError:
        """Return the error that says how its process ended and what it logged last."""
        returncode = None if self._process is None else self._process.returncode
        return ServerError(explain_exit(self.name, returncode, self._log, self.endpoints))

    def record_exit(self) -> None:
        """Record the end of its process, once; do nothing while it has not ended."""
        ended = None if self._process is None else self._process.exit
        if ended is None or self._recorded:
            return
        self._recorded = True
        self._record(
            "server.exited",
            at_ns=ended.at_ns,
            node=self.name,
            returncode=ended.returncode,
            expected=not self._ended_unasked,
        )

    def signal_end(self, number: int) -> None:
        """Signal the process, frozen or not, if there is one; for the end of a run."""
        if self._process is not None and self.running:
            self.expect_exit()
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)

    async def gone(self) -> None:
        """Return once it has no process."""
        if self._process is not None:
            await self._process.wait()

    def _note_exit(self) -> None:
        self._ended_unasked = not self._may_exit
        self._on_exit()

    def _alive(self) -> ChildProcess:
        if self._process is None or not self.running:
            raise FaultError(f"{self.name} does not run")
        return self._process

    async def _end(self, number: int, limit_s: float) -> Exit:
        process = self._alive()
        self.expect_exit()
        process.send_signal(number)
        return await self.wait_exit(limit_s)

    async def _until_stopped(self, limit_s: float, *, wanted: bool) -> None:
        with anyio.move_on_after(limit_s):
            while self._alive().stopped() is not wanted:
                await anyio.sleep(STOP_POLL_S)
            return
        verb = "stop" if wanted else "go on"
        raise FaultError(f"{self.name} was told to {verb} and has not within {limit_s:g} s")
