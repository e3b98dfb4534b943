"""All workers of an iteration: started together, commanded together, waited for within bounds.

A worker that dies, breaks its protocol or falls silent makes the wait that is going on,
and `Fleet.watch`, raise one WorkerError that names it and shows the end of its log.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from signal import SIGKILL
from types import MappingProxyType
from typing import Any, Protocol

import anyio

from harness.clock import now_ns, seconds
from harness.cluster.protocols import Process
from harness.errors import WorkerError
from harness.load.census import missing_probes, traffic_accounted
from harness.load.line import Line
from harness.load.member import Member, WorkerStats
from harness.load.plan import ClientPlan, WorkerPlan
from harness.scopes import bounded_cleanup

ARGV = (sys.executable, "-P", "-m", "harness.load.worker")
SILENCE_TICKS = 20
TICK_S = 0.25
EXIT_LIMIT_S = 2.0
KILL_LIMIT_S = 5.0

Spawn = Callable[[str, Sequence[str], socket.socket, Path], Process]


class OnEvent(Protocol):
    """Take one event of docs/history.md: its kind and its facts, `at_ns` among them."""

    def __call__(self, kind: str, facts: dict[str, Any], /) -> None:
        """Keep the event; must not wait."""


class Fleet:
    """The workers of an iteration. Every wait is bounded; every limit is in seconds."""

    def __init__(self, members: Sequence[Member], on_event: OnEvent) -> None:
        self._members = tuple(members)
        self._on_event = on_event
        self._change = anyio.Event()
        self._failure: WorkerError | None = None
        self._names = {client.id: client.name for client in self.clients}

    @property
    def clients(self) -> tuple[ClientPlan, ...]:
        """Return the plans of all clients."""
        return tuple(client for member in self._members for client in member.plan.clients)

    @property
    def stats(self) -> Mapping[str, WorkerStats]:
        """Return the latest figures by worker name."""
        return MappingProxyType({member.name: member.stats for member in self._members})

    async def ready(self, limit_s: float) -> None:
        """Return once every worker has understood its plan."""
        await self._reach("ready", limit_s)

    async def connect(self, limit_s: float) -> None:
        """Connect and subscribe all clients."""
        await self._command("connect")
        await self._reach("connected", limit_s)

    async def confirm(self, limit_s: float) -> None:
        """Probe until every receiver heard every sender of its workload.

        Of a queue group, some member must have heard each sender.
        """
        await self._command("probe")
        missing = partial(missing_probes, self._members)
        confirmed = await self._wait(lambda: not missing(), limit_s)
        await self._command("probe_end")
        if not confirmed:
            raise WorkerError(
                f"subscriptions not confirmed within {limit_s:g} s: {'; '.join(missing())}"
            )

    async def start(self, at_ns: int) -> None:
        """Let all senders begin their schedule at `at_ns`."""
        await self._command("start", at_ns=at_ns)

    async def stop(self, at_ns: int, limit_s: float) -> None:
        """End all schedules at `at_ns`; return once no attempt is in flight.

        Tell it some time ahead: what is sent before the workers know of it is sent.
        The limit counts from `at_ns`.
        """
        await self._command("stop", at_ns=at_ns)
        await self._reach("stopped", max(0.0, seconds(at_ns - now_ns())) + limit_s)

    async def drain(self, limit_s: float) -> bool:
        """Tell whether, within the limit, everything that was sent is accounted for.

        A receiver alone has heard the end marker of every sender; a queue group or
        the responders of a workload have received as many messages as were sent.
        """
        begun_ns = now_ns()
        await self._command("drain")
        return await self._wait(
            lambda: traffic_accounted(self._members, since_ns=begun_ns), limit_s
        )

    async def finish(self, limit_s: float) -> None:
        """Complete all columns and end the workers; those that live finish whatever befell others.

        Raises:
            WorkerError: a worker was lost before, or did not finish within the limit.
        """
        left = [member for member in self._members if member.failed is None]
        await self._command("finish")
        finished = await self._wait(
            lambda: all(member.done or member.failed for member in left), limit_s, heed=False
        )
        if self._failure is not None:
            raise self._failure
        if not finished:
            late = ", ".join(member.name for member in left if not member.done)
            raise WorkerError(f"not finished within {limit_s:g} s: {late}")

    def attached(self, workload: str, role: str | None = None) -> frozenset[str]:
        """Return where the workload's clients are connected now, as "host:port".

        `role` is a client's role ("publisher") or a workload's ("publishers"); None: all.
        """
        wanted = role.removesuffix("s") if role else None
        return frozenset(
            server
            for member in self._members
            for client, server in member.servers.items()
            if member.clients[client].workload == workload
            and wanted in (None, member.clients[client].role)
        )

    async def watch(self) -> None:
        """Run until cancelled; raise WorkerError when a worker is lost."""
        while self._failure is None:
            await self._change.wait()
        raise self._failure

    def tell(self, worker: str, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        """Hand an event on; workers' own events carry their name, senders are named."""
        if kind.startswith("worker."):
            facts["worker"] = worker
        if kind == "subscription.confirmed":
            facts["senders"] = [self._names[sender] for sender in facts["senders"]]
        self._on_event(kind, {"at_ns": now_ns() if at_ns is None else at_ns, **facts})

    async def attend(self, member: Member) -> None:
        """Listen to one worker until it ends, and see how it ended."""
        async with anyio.create_task_group() as group:
            group.start_soon(member.send, member.plan.to_json())
            group.start_soon(self._heed_silence, member)
            await member.listen(self._changed)
            group.cancel_scope.cancel()
        if member.done:
            return
        if member.failed is None:
            member.failed = await self._obituary(member)
        code = member.process.returncode
        self.tell(member.name, "worker.lost", returncode=code)
        self._failure = self._failure or member.failed
        self._changed()

    async def _obituary(self, member: Member) -> WorkerError:
        with anyio.move_on_after(EXIT_LIMIT_S):
            code = (await member.process.wait()).returncode
            how = f"by signal {-code}" if code < 0 else f"with code {code}"
            return member.trouble(f"ended {how} before it was done")
        return member.trouble("closed its channel and went on running")

    async def _heed_silence(self, member: Member) -> None:
        """Fail a worker that says nothing for 5 s: it owes a line every 250 ms.

        Ticks are counted, not seconds: a harness that was itself stopped for a while
        must first read what the worker has said meanwhile.
        """
        lines, ticks = member.lines, 0
        while ticks < SILENCE_TICKS:
            await anyio.sleep(TICK_S)
            quiet = lines == member.lines and "ready" in member.steps
            ticks = ticks + 1 if quiet else 0
            lines = member.lines
        member.fail(f"has been silent for {SILENCE_TICKS * TICK_S:g} s")

    async def _command(self, kind: str, **facts: Any) -> None:
        async with anyio.create_task_group() as group:
            for member in self._members:
                if member.failed is None and not member.done:
                    group.start_soon(member.send, json.dumps({"type": kind, **facts}))

    async def _reach(self, step: str, limit_s: float) -> None:
        if await self._wait(lambda: all(step in m.steps for m in self._members), limit_s):
            return
        late = [member for member in self._members if step not in member.steps]
        raise late[0].trouble(
            f"was not {step} within {limit_s:g} s" + _others([m.name for m in late[1:]])
        )

    async def _wait(
        self, reached: Callable[[], bool], limit_s: float, *, heed: bool = True
    ) -> bool:
        """Tell whether `reached` came true within the limit; raise a failure that is heeded."""
        with anyio.move_on_after(limit_s):
            while True:
                if heed and self._failure is not None:
                    raise self._failure
                if reached():
                    return True
                await self._change.wait()
        return False

    def _changed(self) -> None:
        self._change.set()
        self._change = anyio.Event()


def _others(names: list[str]) -> str:
    return f" (nor were {', '.join(names)})" if names else ""


@asynccontextmanager
async def fleet(
    plans: Sequence[WorkerPlan],
    spawn: Spawn,
    *,
    on_event: OnEvent,
    logs: Path,
) -> AsyncIterator[Fleet]:
    """Start one worker per plan; on leaving, end them all.

    Args:
        plans: the workers; `columns` folders must exist.
        spawn: starts a process in the place of a client group: group (the worker's
            name), argv, the socket that becomes its stdin and stdout, its stderr file.
        on_event: takes `worker.*`, `client.*` and `subscription.confirmed` events.
        logs: the folder for what workers write to stderr.

    Raises:
        WorkerError: a worker could not be started or ended.
    """
    members: list[Member] = []
    try:
        for plan in plans:
            member = _hire(plan, spawn, logs / f"{plan.worker}.log")
            members.append(member)  # at once: whoever was started must be ended
        crew = Fleet(members, on_event)
        async with anyio.create_task_group() as listeners:
            for member in members:
                member.tell = partial(crew.tell, member.name)
                listeners.start_soon(crew.attend, member)
            yield crew
            listeners.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        error = group.exceptions[0]  # what the body raised, as it raised it
        raise error from error.__cause__
    finally:
        with bounded_cleanup(EXIT_LIMIT_S + KILL_LIMIT_S, "ending the workers", WorkerError):
            async with anyio.create_task_group() as exits:
                for member in members:
                    exits.start_soon(_dismiss, member)


def _hire(plan: WorkerPlan, spawn: Spawn, log: Path) -> Member:
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = spawn(plan.worker, ARGV, theirs, log)
    except OSError as error:
        ours.close()
        raise WorkerError(f"worker {plan.worker} cannot be started: {error}") from error
    except BaseException:
        ours.close()
        raise
    return Member(plan, process, Line(ours), log, tell=lambda *_, **__: None)


async def _dismiss(member: Member) -> None:
    """Close the channel, which tells a worker to exit at once; kill one that does not."""
    member.line.hang_up()
    try:
        with anyio.move_on_after(EXIT_LIMIT_S) as bound:
            await member.process.wait()
        if bound.cancelled_caught:
            member.process.send_signal(SIGKILL)
            await member.process.wait()
    finally:
        member.line.close()
