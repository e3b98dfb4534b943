"""A server that runs in a container; nothing is installed or executed inside it."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio

from harness.backends.docker.container import Container
from harness.backends.docker.exits import ContainerProcess, Exits
from harness.backends.docker.service import Stopping
from harness.backends.process import ChildProcess
from harness.backends.server_node import ServerNode, Unjoined
from harness.cluster.config import NodeConfig
from harness.cluster.protocols import Endpoints, EventSink, Exit
from harness.errors import EngineError, FaultError, HarnessError, ServerError

END_LIMIT_S = 2.0  # how long the Engine may take to tell the end of a process that is gone

Plug = Callable[[str, str, int], Awaitable[None]]


class ContainerNode(ServerNode):
    """One server in a container; implements `harness.cluster.protocols.Node`.

    Restarts use the same container, and with it the same address and the same volume.
    """

    def __init__(
        self,
        name: str,
        *,
        endpoints: Endpoints,
        version: str,
        config: NodeConfig,
        container: Container,
        stopping: Stopping,
        log: Path,
        exits: Exits,
        plug: Plug,
        record: EventSink,
        peers: Callable[[str], frozenset[str]],
        unjoined: Unjoined,
        on_exit: Callable[[], None],
    ) -> None:
        """Make a node that is not started.

        Args:
            name: its name.
            endpoints: where it is reached.
            version: what its image said it is.
            config: its configuration.
            container: the container, made and not started.
            stopping: how it is asked to stop.
            log: where the container's log is kept.
            exits: who tells when it ends.
            plug: told of each new process of the container: its name, its id and its pid.
            record: where events go.
            peers: the names of the nodes that the named one should have routes to now.
            unjoined: what is missing between its cluster and others.
            on_exit: called in the event loop whenever its process ends.
        """
        super().__init__(
            name,
            endpoints=endpoints,
            log=log,
            record=record,
            peers=peers,
            unjoined=unjoined,
            on_exit=on_exit,
        )
        self.config = config
        self.container = container
        self._stopping = stopping
        self._version = version
        self._exits = exits
        self._plug = plug
        self._life: ContainerProcess | None = None
        self._keeping = anyio.Lock()

    @property
    def version(self) -> str:
        """Return what its image said it is."""
        return self._version

    @property
    def life(self) -> ContainerProcess | None:
        """Return its process, or the last one; None before the first start."""
        return self._life

    async def start(self) -> None:
        """Start the container; return once its process exists and its links are known.

        Raises:
            FaultError: it runs already.
            EngineError: the Engine cannot start it.
            ServerError: it ended at once, or its links cannot be reached.
        """
        await self._await_last_end()
        life = ContainerProcess(self._note_exit)
        self._life = life
        self._recorded = False  # its end may come in before the Engine has told its pid
        self._exits.expect(self.container.id, life)
        try:
            life.pid = await self.container.start()
        except EngineError:
            self._recorded = True  # it never ran
            life.end(-1, 0)
            raise
        self._note_start(life.pid)
        if life.pid:
            await self._plug_in(life)

    @property
    def stop_signal(self) -> str:
        """Return the name of the signal that asks it to stop."""
        return self._stopping.signal.name

    async def stop(self, limit_s: float) -> Exit:
        """Ask it to stop and return once it is gone; one with a time of grace is killed after it.

        So does Docker; the grace counts, not `limit_s`, where there is one.
        """
        number, grace_s = self._stopping.signal, self._stopping.grace_s
        if grace_s is None:
            return await self._end(number, limit_s)
        self._require_process()
        await self._ask(number)
        assert self._life is not None  # it was required just now
        with anyio.move_on_after(grace_s):
            await self._life.wait()
        if self.running:
            await self._ask(signal.SIGKILL)
        return await self.wait_exit(limit_s)

    async def pause(self, limit_s: float) -> None:
        """Freeze the container; return once the Engine shows it paused."""
        await self._freeze(limit_s, frozen=True)

    async def resume(self, limit_s: float) -> None:
        """Thaw the container; return once the Engine shows it running."""
        await self._freeze(limit_s, frozen=False)

    async def disconnect(self, limit_s: float) -> str:
        """Take the container off its network; return what the Engine then shows."""
        self._require_process()
        with anyio.move_on_after(limit_s):
            return await self.container.disconnect()
        raise FaultError(f"{self.name} was not disconnected within {limit_s:g} s")

    async def connected(self, limit_s: float) -> bool:
        """Tell whether the Engine shows the container on its network."""
        with anyio.move_on_after(limit_s):
            return await self.container.connected()
        raise FaultError(f"the Engine did not tell of {self.name} within {limit_s:g} s")

    async def connect(self, limit_s: float) -> str:
        """Put the container back on its network; return what the Engine then shows."""
        with anyio.move_on_after(limit_s):
            said = await self.container.connect()
            if self.pid:
                await self._plug(self.name, self.container.id, self.pid)
            return said
        raise FaultError(f"{self.name} was not connected within {limit_s:g} s")

    def launch_beside(self, argv: Sequence[str]) -> ChildProcess:
        """Refuse: nothing is started in a container."""
        raise FaultError(f"{argv[0]} cannot be started beside {self.name}: it is a container")

    def listening_for_routes(self) -> bool:
        """Tell whether it runs: containers of a cluster are started without regard to order."""
        return self.running

    async def keep_log(self) -> None:
        """Write what the container has said so far into the node's log file.

        Whoever reads the file meanwhile finds it whole, as it was or as it is.
        """
        async with self._keeping:
            said = await self.container.log()
            part = anyio.Path(self._log).with_suffix(".part")
            try:
                await part.write_bytes(said)
                await part.replace(self._log)
            except OSError as error:
                raise ServerError(f"{self._log} cannot be written: {error.strerror}") from error

    async def end_now(self, grace_s: float) -> None:
        """End the container, frozen or not: first asked, after `grace_s` made to."""
        life = self._life
        if life is None or life.returncode is not None:
            return
        if life.frozen:
            await self.container.freeze(HarnessError, frozen=False)
            life.frozen = False
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.expect_exit_by(number)
            try:
                await self.container.signal(number)
            except HarnessError:
                if life.returncode is None and (await self.container.state())["Running"]:
                    raise
            with anyio.move_on_after(grace_s):
                await life.wait()
                return

    async def _plug_in(self, life: ContainerProcess) -> None:
        """Make the links of a new process known; one that is gone by then tells why it ended."""
        try:
            await self._plug(self.name, self.container.id, life.pid)
        except ServerError:
            with anyio.move_on_after(END_LIMIT_S):
                await life.wait()
            await self.require_alive()
            raise

    async def _send(self, number: int) -> None:
        self._require_process()
        await self.container.signal(number, FaultError)

    async def _freeze(self, limit_s: float, *, frozen: bool) -> None:
        life = self._life
        if life is None or life.returncode is not None:
            raise FaultError(f"{self.name} does not run")
        with anyio.move_on_after(limit_s):
            await self.container.freeze(FaultError, frozen=frozen)
            if bool((await self.container.state())["Paused"]) is frozen:
                life.frozen = frozen
                return
            raise FaultError(f"the Engine does not show {self.name} as asked, paused: {frozen}")
        raise FaultError(f"{self.name} could not be frozen or thawed within {limit_s:g} s")
