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
import anyio.to_thread

from harness.backends.disk.device import Device
from harness.backends.disk.server_disk import ServerDisk
from harness.backends.process import ChildProcess
from harness.backends.server_node import ServerNode, Unjoined
from harness.cluster.binaries import Binary, resolve
from harness.cluster.config import NodeConfig
from harness.cluster.protocols import Endpoints, EventSink
from harness.errors import BinaryError, FaultError, ServerError

STOP_POLL_S = 0.001
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


class ProcessNode(ServerNode):
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
        store: Path,
        launch: Launch,
        record: EventSink,
        peers: Callable[[str], frozenset[str]],
        unjoined: Unjoined,
        on_exit: Callable[[], None],
        watched: bool = False,
        device: Device | None = None,
    ) -> None:
        """Make a node that is not started.

        Args:
            name: its name, which is also its place.
            endpoints: where it listens.
            binary: the server.
            config: its configuration, which ``<name>.conf`` in `folder` holds.
            folder: where ``<name>.log`` goes.
            store: where its JetStream data is, should it have any.
            launch: how the backend starts programs.
            record: where events go.
            peers: the names of the nodes that the named one should have routes to now.
            unjoined: what is missing between its cluster and others.
            on_exit: called in the event loop whenever its process ends.
            watched: whether something may be done to its disk; see `ServerDisk`.
            device: what its store is on, where that is a device of its own.
        """
        log = folder / f"{name}.log"
        super().__init__(
            name,
            endpoints=endpoints,
            log=log,
            record=record,
            peers=peers,
            unjoined=unjoined,
            on_exit=on_exit,
        )
        self._binary = binary
        self._config = config
        self._conf = folder / f"{name}.conf"
        self._store = store
        self._launch = launch
        self._process: ChildProcess | None = None
        self._disk = ServerDisk(
            self,
            store,
            watched=watched,
            launch=launch,
            log=folder / f"{name}.disk.log",
            on_exit=on_exit,
            device=device,
        )

    @property
    def version(self) -> str:
        """Return the version of its binary."""
        return self._binary.version

    @property
    def store(self) -> Path:
        """Return its store directory."""
        return self._store

    @property
    def life(self) -> ChildProcess | None:
        """Return its process, or the last one; None before the first start."""
        return self._process

    @property
    def disk(self) -> ServerDisk:
        """Return the disk that its store is on."""
        return self._disk

    @property
    def ended_unasked(self) -> bool:
        """Tell whether its process, or what it cannot do without, ended unasked."""
        return super().ended_unasked or self._disk.why_broken is not None

    def why_ended(self) -> ServerError:
        """Return the error that says why it cannot go on."""
        return self._disk.why_broken or super().why_ended()

    async def start(self) -> None:
        """Start the process; return once it was spawned.

        Raises:
            FaultError: it runs already.
            ServerError: its log cannot be written.
        """
        await self._await_last_end()
        try:
            log = self._log.open("ab")
        except OSError as error:
            raise ServerError(f"{self._log} cannot be written: {error.strerror}") from error
        with log:
            argv, stdin = self._disk.prepare([str(self._binary.path), "-c", str(self._conf)])
            self._process = self._launch(
                self.name,
                argv,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._config.environment},
                on_exit=self._note_exit,
            )
        self._recorded = False
        self._note_start(
            self._process.pid, watched=self._disk.watched, on_device=self._disk.on_device
        )

    async def change_release(self, version: str) -> str:
        """Have it run another release from its next start on; return what that says it is.

        Its data and its configuration stay as they are.

        Raises:
            FaultError: it runs, or the release cannot be had.
        """
        if self.running:
            raise FaultError(f"{self.name} runs: a process stays what it was started as")
        try:
            self._binary = await anyio.to_thread.run_sync(resolve, version)
        except BinaryError as error:
            raise FaultError(str(error)) from error
        return self._binary.version

    async def pause(self, limit_s: float) -> None:
        """Freeze the process (SIGSTOP) and return once the kernel shows it stopped."""
        self._alive().send_signal(signal.SIGSTOP)
        await self._until_stopped(limit_s, wanted=True)

    async def resume(self, limit_s: float) -> None:
        """Thaw the process (SIGCONT) and return once the kernel shows it running."""
        self._alive().send_signal(signal.SIGCONT)
        await self._until_stopped(limit_s, wanted=False)

    def launch_beside(self, argv: Sequence[str]) -> ChildProcess:
        """Start a program that dies with the harness, where the server runs."""
        nothing = subprocess.DEVNULL
        return self._launch(self.name, argv, stdin=nothing, stdout=nothing, stderr=nothing)

    def listening_for_routes(self) -> bool:
        """Tell whether the route port is open, by the kernel's table and without a connection.

        A server opens it last, after those of gateways and leaf nodes.
        """
        route = self.endpoints.route
        host = int.from_bytes(socket.inet_aton(route.host), sys.byteorder)
        wanted = f"{host:08X}:{route.port:04X}"
        try:
            table = Path(f"/proc/{self._alive().pid}/net/tcp").read_text(encoding="ascii")
        except (OSError, FaultError):
            return False  # it ended meanwhile
        rows = (row.split() for row in table.splitlines()[1:])
        return any(row[1] == wanted and row[3] == TCP_LISTEN for row in rows)

    async def end_now(self, grace_s: float) -> None:
        """End the process, frozen or not: asked first, and after `grace_s` seconds made to."""
        with anyio.move_on_after(grace_s):
            self._signal_end(signal.SIGTERM)
            await self.gone()
        self._signal_end(signal.SIGKILL)
        await self.gone()
        await self._disk.close()

    async def _send(self, number: int) -> None:
        self._alive().send_signal(number)

    def _signal_end(self, number: int) -> None:
        if self._process is not None and self.running:
            self.expect_exit_by(number)
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)

    def _alive(self) -> ChildProcess:
        if self._process is None or not self.running:
            raise FaultError(f"{self.name} does not run")
        return self._process

    async def _until_stopped(self, limit_s: float, *, wanted: bool) -> None:
        with anyio.move_on_after(limit_s):
            while self._alive().stopped() is not wanted:
                await anyio.sleep(STOP_POLL_S)
            return
        verb = "stop" if wanted else "go on"
        raise FaultError(f"{self.name} was told to {verb} and has not within {limit_s:g} s")
