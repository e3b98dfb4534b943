"""A server that runs already: looked at, never touched but by the user's own commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import anyio

from harness.backends.attach.commands import CommandRunner
from harness.backends.attach.examine import Acquaintance
from harness.clock import now_ns
from harness.cluster import answers
from harness.cluster.clocks import WallClock
from harness.cluster.command import Completed
from harness.cluster.cpus import Cpu
from harness.cluster.disks import Disk
from harness.cluster.monitor import Monitor
from harness.cluster.protocols import Endpoints, EventSink, Exit
from harness.cluster.user_commands import UserCommand
from harness.errors import FaultError, ServerError
from harness.scenario.model import AttachedServer

POLL_S = 0.05
LOOK_PERIOD_S = 0.25
LOOK_LIMIT_S = 2.0


class AttachedNode:
    """One server by observation alone; implements `harness.cluster.protocols.Node`."""

    def __init__(
        self,
        met: Acquaintance,
        urls: AttachedServer,
        *,
        runner: CommandRunner,
        record: EventSink,
        peers: Callable[[str], frozenset[str]],
    ) -> None:
        """Make the node.

        Args:
            met: the server as it was met.
            urls: how the user reaches it, for commands.
            runner: who runs the user's commands.
            record: where events go.
            peers: the names, to servers, of those that the named node should see now.
        """
        self._met = met
        self._urls = urls
        self._runner = runner
        self._record = record
        self._peers = peers
        self._monitor = Monitor(met.endpoints.monitor)
        self._varz = met.varz
        self._asked_ns = now_ns()  # when the newest answer was asked for
        self._may_restart = False
        self._replaced_unasked = False
        self._silent = False

    @property
    def name(self) -> str:
        """Return its name, the user's own."""
        return self._met.name

    @property
    def server_name(self) -> str:
        """Return the name by which servers know it."""
        return str(self._varz.get("server_name") or self._varz["server_id"])

    @property
    def endpoints(self) -> Endpoints:
        """Return where it is reached."""
        return self._met.endpoints

    @property
    def version(self) -> str:
        """Return the version that it last said it is."""
        return str(self._varz["version"])

    @property
    def store(self) -> None:
        """Return None: its files are out of reach."""

    @property
    def running(self) -> bool:
        """Return True: whether a process exists cannot be told from here, so it is asked."""
        return True

    @property
    def stop_signal(self) -> str:
        """Return the name of the signal that asks a server to stop; nobody here sends it."""
        return "SIGTERM"

    @property
    def frozen(self) -> bool:
        """Return False: it cannot be told from here."""
        return False

    @property
    def serving(self) -> bool:
        """Tell whether no fault holds on it."""
        return not self._may_restart

    @property
    def clock(self) -> WallClock:
        """Refuse: its clock is out of reach."""
        self._refuse("skew the clock of")

    @property
    def cpu(self) -> Cpu:
        """Refuse: its CPU time is out of reach."""
        self._refuse("limit the CPU time of")

    @property
    def disk(self) -> Disk:
        """Refuse: its disk is out of reach."""
        self._refuse("fault the disk of")

    async def start(self) -> None:
        """Refuse."""
        self._refuse("start")

    @property
    def refused(self) -> None:
        """Say nothing: nobody damages its data."""
        return

    async def try_start(self, limit_s: float, *, may_refuse: bool = False) -> str | None:
        """Refuse."""
        self._refuse("start", limit_s, may_refuse)

    async def change_release(self, version: str) -> str:
        """Refuse."""
        self._refuse("change the release of", version)

    async def stop(self, limit_s: float) -> Exit:
        """Refuse."""
        self._refuse("stop", limit_s)

    async def kill(self, limit_s: float) -> Exit:
        """Refuse."""
        self._refuse("kill", limit_s)

    async def pause(self, limit_s: float) -> None:
        """Refuse."""
        self._refuse("pause", limit_s)

    async def resume(self, limit_s: float) -> None:
        """Refuse."""
        self._refuse("resume", limit_s)

    async def disconnect(self, limit_s: float) -> str:
        """Refuse."""
        self._refuse("disconnect", limit_s)

    async def connected(self, limit_s: float) -> bool:
        """Tell that it is on its network: nobody here can take it off."""
        del limit_s
        return True

    async def connect(self, limit_s: float) -> str:
        """Refuse."""
        self._refuse("connect", limit_s)

    async def lame_duck(self) -> None:
        """Refuse."""
        self._refuse("send lame duck mode to")

    async def wait_exit(self, limit_s: float) -> Exit:
        """Refuse."""
        self._refuse("see the exit of", limit_s)

    def expect_exit(self) -> None:
        """Declare that it may be silent or restart, until it is next seen to be healthy."""
        self._may_restart = True

    async def run_command(self, command: UserCommand) -> Completed:
        """Run a command of the user's, which is told by its environment what it is about."""
        told = {
            "NATS_HARNESS_SERVER_NAME": self.server_name,
            "NATS_HARNESS_CLIENT_URL": self._urls.client,
            "NATS_HARNESS_MONITOR_URL": self._urls.monitor,
        }
        return await self._runner.run(command, self.name, told)

    async def wait_healthy(self, limit_s: float) -> None:
        """Return once /healthz says ok and it sees every listed server that no fault holds.

        From then on it must neither be silent nor restart.

        Raises:
            ServerError: it has not come to that within `limit_s` seconds.
        """
        missing = "nothing was heard of it"
        with anyio.move_on_after(limit_s):
            while True:
                missing = await self.lacks(LOOK_LIMIT_S)
                if not missing:
                    process = self._varz["server_id"]
                    await self.look(LOOK_LIMIT_S)
                    if not self._silent and self._varz["server_id"] == process:
                        self._may_restart = False
                        return
                await anyio.sleep(POLL_S)
        raise ServerError(f"{self.name} is not healthy after {limit_s:g} s: {missing}")

    async def lacks(self, limit_s: float) -> str:
        """Return what keeps it from being a part of the cluster, or nothing."""
        await self.look(limit_s)
        try:
            if not await self._monitor.healthy(limit_s):
                return "/healthz"
            absent = await self._monitor.lacks_routes_to(self._peers(self.name), limit_s)
        except ServerError as error:
            return str(error)
        return f"no route to {', '.join(sorted(absent))}" if absent else ""

    async def responds(self, limit_s: float) -> bool:
        """Tell whether the monitoring port answers a request within the limit."""
        return await answers.responds(self._monitor, limit_s)

    async def accepts_clients(self, limit_s: float) -> bool:
        """Tell whether a new connection to the client port gets an INFO line within the limit."""
        return await answers.accepts_clients(self.endpoints.client, limit_s)

    async def watch(self) -> None:
        """Look every `LOOK_PERIOD_S` until cancelled; ServerError when it restarted unasked."""
        while True:
            await self.look(LOOK_LIMIT_S)
            if self._replaced_unasked:
                raise ServerError(f"{self.name} restarted, though no fault holds on it")
            await anyio.sleep(LOOK_PERIOD_S)

    async def look(self, limit_s: float) -> None:
        """Ask who it is, and record when it falls silent, answers again or is another process."""
        asked_ns = now_ns()
        try:
            varz = (await self._monitor.get("/varz", limit_s)).body
        except ServerError as error:
            self._note_silence(asked_ns, str(error))
            return
        if varz.get("server_id") and "version" in varz:
            self._note_answer(asked_ns, varz)
        else:
            self._note_silence(asked_ns, "what answers is not a NATS server's monitoring port")

    def describe(self) -> Mapping[str, Any]:
        """Return how it is reached and what it said of itself, without secrets."""
        return {
            "client": self._urls.client,
            "monitor": self._urls.monitor,
            **{
                key: self._varz[key]
                for key in ("server_name", "server_id", "start", "max_payload")
                if key in self._varz
            },
            "cluster": (self._varz.get("cluster") or {}).get("name"),
        }

    def _note_answer(self, asked_ns: int, varz: Mapping[str, Any]) -> None:
        if asked_ns < self._asked_ns:
            return  # another look that began later has told more already
        self._asked_ns = asked_ns
        if self._silent:
            self._silent = False
            self._record("server.reachable", node=self.name)
        before, self._varz = self._varz, varz
        if _life(before) != _life(varz):
            self._replaced_unasked |= not self._may_restart
            self._record(
                "server.replaced",
                node=self.name,
                expected=self._may_restart,
                started=varz.get("start"),
                version=varz["version"],
            )

    def _note_silence(self, asked_ns: int, why: str) -> None:
        if self._silent or asked_ns < self._asked_ns:
            return
        self._asked_ns = asked_ns
        self._silent = True
        self._record(
            "server.unreachable",
            node=self.name,
            from_ns=asked_ns,
            expected=self._may_restart,
            why=why,
        )

    def _refuse(self, what: str, *_: object) -> NoReturn:
        raise FaultError(f"the harness does not {what} {self.name}, which it did not start")


def _life(varz: Mapping[str, Any]) -> tuple[object, object]:
    return varz["server_id"], varz.get("start")
