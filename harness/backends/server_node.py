"""A server of a cluster, however its process is run: what the kinds of nodes share."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio

from harness.backends.endings import is_asked
from harness.backends.process import ChildProcess
from harness.backends.refusal import complaint_of, refusal_of
from harness.backends.server_clock import ServerClock
from harness.backends.server_cpu import ServerCpu
from harness.backends.server_log import explain_exit, how_ended, last_error, size
from harness.backends.server_process import Life
from harness.cluster import answers
from harness.cluster.command import Completed
from harness.cluster.disks import Disk
from harness.cluster.monitor import Monitor
from harness.cluster.protocols import Endpoints, EventSink, Exit
from harness.cluster.user_commands import UserCommand
from harness.errors import FaultError, ServerError

POLL_S = 0.005
READ_LIMIT_S = 0.5  # one read while waiting: a frozen server must not hold the wait up

Unjoined = Callable[[str, float], Awaitable[str]]


class ServerNode(ABC):
    """One server; with `start`, `pause`, `resume`, `end` and `_send` of its kind it is a Node."""

    def __init__(
        self,
        name: str,
        *,
        endpoints: Endpoints,
        log: Path,
        record: EventSink,
        peers: Callable[[str], frozenset[str]],
        unjoined: Unjoined,
        on_exit: Callable[[], None],
    ) -> None:
        """Make a node that is not started.

        Args:
            name: its name.
            endpoints: where it listens.
            log: the file that holds what it says.
            record: where events go.
            peers: the servers' own names of the nodes that the named one should have routes
                to now.
            unjoined: what is missing between its cluster and others, within a limit in
                seconds; nothing when that is as it should be.
            on_exit: called in the event loop whenever its process ends.
        """
        self._name = name
        self._endpoints = endpoints
        self._log = log
        self._record = record
        self._peers = peers
        self._unjoined = unjoined
        self._on_exit = on_exit
        self._monitor = Monitor(endpoints.monitor)
        self._clock = ServerClock(self)
        self._cpu = ServerCpu(self)
        self._server_name = name
        self._may_exit = False
        self._asked: list[int] = []
        self._may_refuse = False
        self._refused: str | None = None
        self._ended_unasked = False
        self._recorded = True
        self._said_bytes = 0

    @property
    def name(self) -> str:
        """Return its name."""
        return self._name

    @property
    def endpoints(self) -> Endpoints:
        """Return where it listens."""
        return self._endpoints

    @property
    @abstractmethod
    def version(self) -> str:
        """Return the version of its server."""

    @property
    def store(self) -> Path | None:
        """Return its store directory; None where its files cannot be reached."""
        return None

    @property
    @abstractmethod
    def life(self) -> Life | None:
        """Return its process, or the last one; None before the first start."""

    @property
    def stop_signal(self) -> str:
        """Return the name of the signal that asks it to stop."""
        return signal.SIGTERM.name

    @property
    def server_name(self) -> str:
        """Return what the server calls itself, as far as it was asked; else the node's name."""
        return self._server_name

    @property
    def monitor(self) -> Monitor:
        """Return its monitoring port."""
        return self._monitor

    @property
    def clock(self) -> ServerClock:
        """Return the wall clock that its process goes by."""
        return self._clock

    @property
    def cpu(self) -> ServerCpu:
        """Return the CPU time that its process is given."""
        return self._cpu

    @property
    def disk(self) -> Disk:
        """Return the disk that its store is on, where something can be done to that."""
        raise FaultError(f"nothing can be done to the disk of {self.name}")

    @property
    def process(self) -> Life | None:
        """Return its process; None when it does not run."""
        return self.life if self.running else None

    @property
    def pid(self) -> int | None:
        """Return the id of its process; None when it does not run."""
        life = self.life
        return life.pid if life is not None and self.running else None

    @property
    def running(self) -> bool:
        """Tell whether its process exists; a paused one does."""
        return self.life is not None and self.life.returncode is None

    @property
    def refused(self) -> str | None:
        """Return why it stays as it is, where it may refuse its data; see the protocol."""
        return self._refused

    @property
    def frozen(self) -> bool:
        """Tell whether its process exists and is seen to be stopped as a whole."""
        return self.running and self.life is not None and self.life.stopped()

    @property
    def serving(self) -> bool:
        """Tell whether it runs, is not frozen and has not been asked to end."""
        return self.running and not self._may_exit and not self.frozen

    @property
    def ended_unasked(self) -> bool:
        """Tell whether its process ended otherwise than by what the harness sent it."""
        return self._ended_unasked

    @abstractmethod
    async def start(self) -> None:
        """Start the process; return once it was spawned."""

    @abstractmethod
    async def pause(self, limit_s: float) -> None:
        """Freeze the process; return once it is seen to be stopped."""

    @abstractmethod
    async def resume(self, limit_s: float) -> None:
        """Thaw the process; return once it is seen to run."""

    @abstractmethod
    async def end_now(self, grace_s: float) -> None:
        """End the process, frozen or not: asked first, and after `grace_s` seconds made to."""

    @abstractmethod
    def launch_beside(self, argv: Sequence[str]) -> ChildProcess:
        """Start a program that dies with the harness, where the server runs."""

    @abstractmethod
    def listening_for_routes(self) -> bool:
        """Tell whether the route port is open."""

    @abstractmethod
    async def _send(self, number: int) -> None:
        """Send a signal; FaultError when there is no process."""

    async def wait_healthy(self, limit_s: float) -> None:
        """Return once /healthz says ok and it is joined to all that serve.

        It has a route to every peer of its cluster, and nothing is missing between its
        cluster and others.

        Raises:
            ServerError: it has not come to that within `limit_s` seconds, or it ended.
        """
        missing = "nothing was heard of it"
        with anyio.move_on_after(limit_s):
            while True:
                await self.require_alive()
                try:
                    peers = self._peers(self.name)
                    absent = await self._monitor.lacks_routes_to(peers, READ_LIMIT_S)
                    unjoined = await self._unjoined(self.name, READ_LIMIT_S)
                    if not absent and not unjoined and await self._monitor.healthy(READ_LIMIT_S):
                        return
                    missing = unjoined or "/healthz"
                    if absent:
                        missing = f"no route to {', '.join(sorted(absent))}"
                except ServerError as error:
                    missing = str(error)
                await anyio.sleep(POLL_S)
        raise ServerError(f"{self.name} is not healthy after {limit_s:g} s: {missing}")

    async def try_start(self, limit_s: float, *, may_refuse: bool = False) -> str | None:
        """Start the process on data that it may refuse; return None once it is healthy.

        Otherwise return the fatal error with which it ended by itself, or, where it runs and is
        routed to every peer, what its /healthz says after `limit_s` seconds. Where it
        `may_refuse`, `refused` says so until it is started again.

        Raises:
            ServerError: it ended otherwise, or has no route, or says nothing.
        """
        self._may_refuse = True
        try:
            await self.start()
            await self.wait_healthy(limit_s)
        except ServerError:
            if not self.running:
                await self.gone()  # told of, too: until then it may still refuse
            why = await self._unwell() if self.running else self._refusal()
            if why is None:
                raise
            self._refused = why if may_refuse else None
            return why
        finally:
            self._may_refuse = False
        return None

    async def _unwell(self) -> str | None:
        """Return what it has to complain of; None where it lacks routes or an answer as well."""
        try:
            absent = await self._monitor.lacks_routes_to(self._peers(self.name), READ_LIMIT_S)
            unjoined = await self._unjoined(self.name, READ_LIMIT_S)
            said = await complaint_of(self._monitor, READ_LIMIT_S)
        except ServerError:
            return None
        return None if absent or unjoined else said

    async def change_release(self, version: str) -> str:
        """Refuse, where another release would be another node."""
        raise FaultError(f"{self.name} cannot run another release: {version}")

    async def lacks(self, remotes: int, limit_s: float) -> str:
        """Return what keeps it from being healthy among so many others, or nothing.

        It is asked for its own name on the way: others know it by that.

        Raises:
            ServerError: it says nothing within the limit.
        """
        general = (await self._monitor.get("/varz", limit_s)).body
        self._server_name = str(general.get("server_name") or self._name)
        found = int(general.get("remotes", 0))
        if found != remotes:
            return f"{self._name} sees {found} of {remotes} remotes"
        return "" if await self._monitor.healthy(limit_s) else f"{self._name} is not healthy"

    async def stop(self, limit_s: float) -> Exit:
        """Ask the server to stop (SIGTERM) and return once its process is gone."""
        return await self._end(signal.SIGTERM, limit_s)

    async def kill(self, limit_s: float) -> Exit:
        """Kill the process (SIGKILL) and return once it is gone."""
        return await self._end(signal.SIGKILL, limit_s)

    async def disconnect(self, limit_s: float) -> str:
        """Take the node off its network, where it has one that can be taken away."""
        del limit_s
        raise FaultError(f"{self.name} has no network that it could be taken off")

    async def connected(self, limit_s: float) -> bool:
        """Tell whether the node is on its network: always, where nobody can take it off."""
        del limit_s
        return True

    async def connect(self, limit_s: float) -> str:
        """Put the node back on its network."""
        del limit_s
        raise FaultError(f"{self.name} has no network that it could be put on")

    async def run_command(self, command: UserCommand) -> Completed:
        """Refuse: what is to be done to a server of the harness's own, the harness does."""
        raise FaultError(f"{command.step}: commands are for servers that run already (attach)")

    async def lame_duck(self) -> None:
        """Ask the server to enter lame duck mode (SIGUSR2), at the end of which it exits."""
        self._require_process()
        await self._ask(signal.SIGUSR2)

    async def wait_exit(self, limit_s: float) -> Exit:
        """Return how the process ended.

        Raises:
            FaultError: it has not within the limit, or it ended unasked.
        """
        life = self.life
        if life is None:
            raise FaultError(f"{self.name} was never started")
        with anyio.move_on_after(limit_s):
            ended = await life.wait()
            self.record_exit()
            if self._ended_unasked:
                raise FaultError(f"{self.name} {how_ended(ended.returncode)}{self._unlike()}")
            return ended
        raise FaultError(f"{self.name} has not exited within {limit_s:g} s")

    async def responds(self, limit_s: float) -> bool:
        """Tell whether the monitoring port answers a request within the limit."""
        return await answers.responds(self._monitor, limit_s)

    async def accepts_clients(self, limit_s: float) -> bool:
        """Tell whether a new connection to the client port gets an INFO line within the limit."""
        return await answers.accepts_clients(
            self.endpoints.server or self.endpoints.client, limit_s
        )

    def expect_exit(self) -> None:
        """Declare that it is about to be asked to end; how it may depends on the signal."""
        self._may_exit = True

    def expect_exit_by(self, number: int) -> None:
        """Declare that the process may end as this signal ends it, until it is started again."""
        self.expect_exit()
        self._asked.append(number)

    async def require_alive(self) -> None:
        """Raise ServerError with its last log lines when its process has ended."""
        if not self.running:
            await self.keep_log()
            raise self.why_ended()

    async def keep_log(self) -> None:  # noqa: B027 - the log of a plain process is complete
        """Have its log file hold all that it has said; so it does where it writes it itself."""

    async def complain(self) -> str:
        """Return the last error that its server logged, or nothing."""
        await self.keep_log()
        return last_error(self._log)

    def why_ended(self) -> ServerError:
        """Return the error that says how its process ended and what it logged last."""
        returncode = None if self.life is None else self.life.returncode
        return ServerError(explain_exit(self.name, returncode, self._log, self.endpoints))

    def record_exit(self) -> None:
        """Record the end of its process, once; do nothing while it has not ended."""
        ended = None if self.life is None else self.life.exit
        if ended is None or self._recorded:
            return
        self._recorded = True
        self._record(
            "server.exited",
            at_ns=ended.at_ns,
            node=self.name,
            returncode=ended.returncode,
            expected=not self._ended_unasked,
            asked=[signal.Signals(number).name for number in self._asked],
        )

    async def gone(self) -> None:
        """Return once it has no process."""
        if self.life is not None:
            await self.life.wait()

    async def _await_last_end(self) -> None:
        """Return once the last life, if there was one, is over and recorded.

        Raises:
            FaultError: it still runs.
        """
        if self.running:
            raise FaultError(f"{self.name} runs already")
        self._refused = None
        await self.gone()  # its end is certain, but may not be stamped yet
        self.record_exit()
        self._may_exit = self._ended_unasked = False
        self._asked = []
        self._said_bytes = size(self._log)

    def _note_start(self, pid: int, *, watched: bool = False, on_device: bool = False) -> None:
        self._record(
            "server.started",
            node=self.name,
            pid=pid,
            version=self.version,
            watched=watched,
            on_device=on_device,
        )

    def _note_exit(self) -> None:
        life = self.life
        assert life is not None  # it ended just now
        assert life.returncode is not None
        refused = self._may_refuse and self._refusal() is not None
        self._ended_unasked = not (is_asked(life.returncode, self._asked) or refused)
        self._on_exit()

    def _refusal(self) -> str | None:
        return refusal_of(self.life, self._log, self._said_bytes)

    def _require_process(self) -> None:
        if not self.running:
            raise FaultError(f"{self.name} does not run")

    async def _end(self, number: int, limit_s: float) -> Exit:
        self._require_process()
        await self._ask(number)
        return await self.wait_exit(limit_s)

    async def _ask(self, number: int) -> None:
        self.expect_exit_by(number)  # first: its end may be told before it is known to be sent
        await self._send(number)

    def _unlike(self) -> str:
        asked = " or ".join(signal.Signals(number).name for number in self._asked)
        return f", as no server does on {asked}" if asked else ", unasked"
