"""The host: one cluster in a process of its own, and what it is told over its channel.

Requests and answers are JSON lines over stdin, a socket. The first line is the plan, number 0,
answered once the cluster has formed. A request is ``{"id": N, "do": name, ...}`` with

    inject   {"method", "number", "options"}: a fault; answered once its effect was observed
    heal     {"strike": N}: the fault of request N; answered once its undo was observed
    state    what every node is now
    check    answered by an error once a server has ended unasked
    end      heal, end every server; answered when that is done

and an answer ``{"id": N, "result": ...}`` or ``{"id": N, "error": class, "message": text}``. The
host ends when its channel does, or the process that started it, and takes all servers with it.
"""

from __future__ import annotations

import json
import math
import os
import resource
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from harness.backends.choose import choose, require_offered
from harness.backends.lab.backend import LabBackend
from harness.backends.local import LocalBackend
from harness.backends.proxy.identify import obstacle as proxies_obstacle
from harness.backends.server_cluster import ServerCluster
from harness.clock import now_ns
from harness.cluster.protocols import Backend
from harness.errors import EXIT_PASS, HarnessError, ServerError, UsageError, leading_error
from harness.history.events import EventLog
from harness.hosting.doors import Door, led_in, open_doors
from harness.hosting.plan import GROUP, FaultCall, Plan
from harness.hosting.strikes import Strikes
from harness.load.line import Line
from harness.observation import SETUP_LIMIT_S, observed
from harness.preparation import prepare_releases
from harness.scenario.model import Scenario
from harness.scenario.sites import OBSERVER
from harness.scenario.stream_rules import has_jetstream

LOCAL, LAB = "local", "lab"


def serve(parent: int) -> int:
    """Serve the process that started this one, by its id; return the exit code."""
    if os.getppid() != parent:
        return EXIT_PASS  # it has gone already
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each client takes two in the lab
    guardian = os.pidfd_open(parent)
    channel = socket.socket(fileno=os.dup(0))
    with channel:
        plan = Plan(**json.loads(_first_line(channel)))
        try:
            with ExitStack() as held:
                loaded = plan.load()
                backend, doors = _place(plan, loaded.scenario, held)
                prepare_releases(loaded, loaded.scenario.cluster)
                host = Host(plan, loaded.scenario, backend, doors, channel, guardian)
                return backend.host(lambda: anyio.run(host.run))
        except HarnessError as error:
            channel.setblocking(True)
            channel.sendall(_encode(0, None, error).encode() + b"\n")
            return error.exit_code


def _place(plan: Plan, scenario: Scenario, held: ExitStack) -> tuple[Backend, Mapping[str, Door]]:
    """Return where the cluster is to run, and the doors to it; call it before threads exist."""
    if plan.backend == LAB:
        choose(LAB)
        try:
            doors = held.enter_context(open_doors(scenario.cluster.nodes))
        except OSError as error:
            raise ServerError(f"no free port: {error.strerror}") from error
        return LabBackend({name: door.client_address for name, door in doors.items()}), doors
    if plan.backend == LOCAL:
        return LocalBackend(proxied=proxies_obstacle() is None, strangers=GROUP), {}
    raise UsageError(f"unknown backend {plan.backend!r}; a cluster is hosted on local or lab")


def _first_line(channel: socket.socket) -> bytes:
    with channel.makefile("rb", buffering=0) as stream:
        return stream.readline()


def _encode(number: int, result: Any, error: HarnessError | None) -> str:
    if error is None:
        return json.dumps({"id": number, "result": result})
    known = next(kind for kind in type(error).__mro__ if kind.__module__ == HarnessError.__module__)
    return json.dumps({"id": number, "error": known.__name__, "message": str(error)})


@dataclass
class Host:
    """The cluster of a plan, and the conversation about it."""

    plan: Plan
    scenario: Scenario
    backend: Backend
    doors: Mapping[str, Door]
    channel: socket.socket
    guardian: int
    _trouble: ServerError | None = field(default=None, init=False)
    _end: int | None = field(default=None, init=False)

    async def run(self) -> int:
        """Serve until told to end, or until nobody is left to tell it."""
        self._line = Line(self.channel)
        self._broken = anyio.Event()
        try:
            async with anyio.create_task_group() as root:
                root.start_soon(self._outlive_nobody, root.cancel_scope)
                sink, requests = anyio.create_memory_object_stream[dict[str, Any]](math.inf)
                root.start_soon(self._hear, sink, root.cancel_scope)
                async with self._hosted() as cluster:
                    await self._converse(cluster, requests)
                await self._answer(self._end or 0, {})
                root.cancel_scope.cancel()
        except (HarnessError, BaseExceptionGroup) as raised:
            error = leading_error(raised)
            if not isinstance(error, HarnessError):
                raise
            await self._answer(self._end or 0, error=error)
            return error.exit_code
        return EXIT_PASS

    async def _outlive_nobody(self, scope: anyio.CancelScope) -> None:
        await anyio.wait_readable(self.guardian)
        scope.cancel()

    async def _hear(
        self, sink: MemoryObjectSendStream[dict[str, Any]], scope: anyio.CancelScope
    ) -> None:
        """Take in requests, also while the cluster forms; the end of them is the end of all."""
        with sink:
            while True:
                try:
                    lines = await self._line.receive()
                except anyio.EndOfStream:
                    scope.cancel()
                    return
                for line in lines:
                    sink.send_nowait(json.loads(line))

    @asynccontextmanager
    async def _hosted(self) -> AsyncIterator[ServerCluster]:
        """Run the cluster, formed and with its doors open."""
        folder, spec = Path(self.plan.folder), self.scenario.cluster
        with_jetstream = has_jetstream(self.scenario)
        async with AsyncExitStack() as held:
            events = held.enter_context(EventLog(folder / "events.jsonl"))

            def record(kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
                at_ns = now_ns() if at_ns is None else at_ns
                events(kind, at_ns=at_ns, iteration=0, **facts)
                if self._strikes is not None:
                    self._strikes.note(kind, facts)

            self._strikes: Strikes | None = None
            cluster = await held.enter_async_context(
                self.backend.cluster(
                    spec,
                    groups=(GROUP, OBSERVER) if with_jetstream else (GROUP,),
                    folder=folder,
                    record=record,
                    watched=spec.nodes if self.plan.disks else (),
                )
            )
            assert isinstance(cluster, ServerCluster)  # of local and of the lab
            if with_jetstream:
                log = folder / f"{OBSERVER}.log"
                await held.enter_async_context(observed(self.scenario, cluster, log))
            else:
                await cluster.form(SETUP_LIMIT_S)
            await held.enter_async_context(led_in(cluster, self.doors, GROUP))
            self._strikes = Strikes(cluster, self.plan.seed, self._answer)
            yield cluster

    async def _converse(
        self, cluster: ServerCluster, requests: MemoryObjectReceiveStream[dict[str, Any]]
    ) -> None:
        """Answer requests until one says that it is the end."""
        await self._answer(0, {"backend": self.backend.name, "nodes": self._addresses(cluster)})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, cluster)
            with requests:
                while self._end is None:
                    await self._obey(await requests.receive(), cluster, tasks)
            tasks.cancel_scope.cancel()  # and what still holds is healed

    async def _watch(self, cluster: ServerCluster) -> None:
        try:
            await cluster.watch()
        except ServerError as error:
            self._trouble = error
            self._broken.set()

    async def _obey(
        self, request: dict[str, Any], cluster: ServerCluster, tasks: anyio.abc.TaskGroup
    ) -> None:
        number, do = request["id"], request["do"]
        assert self._strikes is not None  # made before anybody may ask
        try:
            if do == "inject":
                call = FaultCall(request["method"], request["number"], request["options"])
                fault = self.plan.fault(call)
                await self._require_whole(cluster)
                require_offered(fault.needed_among(cluster.sites), self.backend)
                tasks.start_soon(self._strikes.strike, number, fault)
            elif do == "heal":
                tasks.start_soon(self._strikes.heal, request["strike"], number)
            elif do == "state":
                await self._answer(number, self._state(cluster))
            elif do == "check":
                await self._require_whole(cluster)
                await self._answer(number, {})
            elif do == "end":
                self._end = number
        except HarnessError as error:
            await self._answer(number, error=error)

    async def _require_whole(self, cluster: ServerCluster) -> None:
        """Raise ServerError when a server has ended unasked."""
        for _ in range(2):
            await anyio.lowlevel.checkpoint()  # the loop may have to be told of it first
        for node in cluster.nodes.values():
            if node.ended_unasked:
                await self._broken.wait()
        if self._trouble is not None:
            raise self._trouble

    def _addresses(self, cluster: ServerCluster) -> dict[str, Any]:
        found = {}
        for name, node in cluster.nodes.items():
            door = self.doors.get(name)
            monitor = node.endpoints.monitor if door is None else door.monitor_address
            found[name] = {
                "client": str(node.endpoints.client),
                "monitor": str(monitor),
                "version": node.version,
            }
        return found

    def _state(self, cluster: ServerCluster) -> dict[str, Any]:
        return {
            name: {"running": node.running, "version": node.version}
            for name, node in cluster.nodes.items()
        }

    async def _answer(
        self, number: int, result: Any = None, error: HarnessError | None = None
    ) -> None:
        with anyio.CancelScope(shield=True):  # half a line would be nobody's answer
            await self._line.send(_encode(number, result, error))
