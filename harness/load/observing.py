"""The observer as the harness sees it: requests, advisories and the reading of replicas."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from signal import SIGKILL
from typing import Any

import anyio

from harness.cluster.jetstream import VIEW, Body, Views, read_view
from harness.cluster.monitor import Monitor
from harness.cluster.protocols import Address, Cluster, Process
from harness.errors import ServerError, WorkerError
from harness.load.line import Line
from harness.scenario.sites import OBSERVER
from harness.scopes import bounded_cleanup

ARGV = (sys.executable, "-P", "-m", "harness.load.observer")
READY_LIMIT_S = 15.0
EXIT_LIMIT_S = 2.0
KILL_LIMIT_S = 5.0
SLACK_S = 3.0  # beyond a request's own limit, until its answer has come over the channel
LOG_LINES = 5
_SHOWN = 12  # of an advisory's replicas


@dataclass(frozen=True)
class Logins:
    """Users and passwords: of the clients' account and of the system account, where known."""

    clients: tuple[str, str] | None = None
    system: tuple[str, str] | None = None


@dataclass
class _Answer:
    came: anyio.Event = field(default_factory=anyio.Event)
    result: Any = None
    error: str | None = None


class Observer:
    """What may be asked of JetStream; implements `harness.cluster.jetstream.JetStream`."""

    def __init__(
        self, cluster: Cluster, line: Line, process: Process, log: Path, logins: Logins
    ) -> None:
        self._cluster = cluster
        self._line = line
        self._process = process
        self._log = log
        self._logins = logins
        self._numbers = count(1)
        self._waiting: dict[int, _Answer] = {}
        self._ready = anyio.Event()
        self._names: dict[str, str] = {}
        self._seen: dict[str, str] = {}

    @property
    def system(self) -> bool:
        """Tell whether requests to the system account can be made."""
        return self._logins.system is not None

    @property
    def servers(self) -> Mapping[str, str]:
        """Return the servers' own names by node, as far as they were ever looked at."""
        return self._seen

    @property
    def names(self) -> dict[str, str]:
        """Return the nodes by their servers' own names, as far as they were looked at."""
        return self._names

    def door(self, node: str) -> Address:
        """Return where to connect to a node: past whatever stands before it for clients."""
        endpoints = self._cluster.nodes[node].endpoints
        return endpoints.server or endpoints.client

    async def look(self, limit_s: float) -> Views:
        """Return what every running server says now; those that do not answer are left out."""
        nodes = [node for node in self._cluster.nodes.values() if node.running]
        bodies: dict[str, Body] = {}

        async def ask(name: str, address: Address) -> None:
            try:
                if name not in self._seen:
                    said = await Monitor(address).get("/varz", limit_s)
                    own = str(said.body.get("server_name") or name)
                    self._seen[name], self._names[own] = own, name
                bodies[name] = (await Monitor(address).get(VIEW, limit_s)).body
            except ServerError:
                return  # it is left out, and whoever needs it says so

        async with anyio.create_task_group() as group:
            for node in nodes:
                group.start_soon(ask, node.name, node.endpoints.monitor)
        alone = len(self._cluster.nodes) == 1
        return Views(
            {
                node.name: read_view(node.name, bodies[node.name], self._names, alone=alone)
                for node in nodes
                if node.name in bodies
            }
        )

    async def request(
        self,
        subject: str,
        body: Mapping[str, Any] | None = None,
        *,
        limit_s: float,
        node: str | None = None,
        system: bool = False,
    ) -> Body:
        """Return the answer to a request; see the protocol."""
        said = await self._exchange(
            {
                "type": "request",
                "node": node,
                "subject": subject,
                "payload": "" if body is None else json.dumps(body),
                "limit_s": limit_s,
                "system": system,
            },
            2 * limit_s + SLACK_S,  # to be connected, and to be answered
        )
        try:
            answer = json.loads(said)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ServerError(f"{subject} was not answered by a JSON object")
        return answer

    async def read(self, order: Mapping[str, Any], limit_s: float) -> Body:
        """Read a replica; see `harness.load.replica.read_replica`, which says what comes back.

        Raises:
            ServerError: it could not be read, or not within `limit_s` seconds.
        """
        found: Body = await self._exchange({"type": "read", **order}, limit_s)
        return found

    async def plan(self) -> None:
        """Tell the process whom to connect to."""
        nodes = {}
        for node in self._cluster.nodes.values():
            door = self.door(node.name)
            nodes[node.name] = [door.host, door.port]
        clients, system = self._logins.clients, self._logins.system
        await self._say(
            {
                "type": "plan",
                "nodes": nodes,
                "login": clients and [*clients],
                "system": system and [*system],
            }
        )
        with anyio.move_on_after(READY_LIMIT_S):
            await self._ready.wait()
            return
        raise self._trouble(f"was not ready within {READY_LIMIT_S:g} s")

    async def listen(self) -> None:
        """Take in what the process says, until cancelled; WorkerError when it ends."""
        while True:
            try:
                lines = await self._line.receive()
            except anyio.EndOfStream:
                raise self._trouble("ended unasked") from None
            for line in lines:
                self._take_in(line)

    async def _exchange(self, message: Mapping[str, Any], limit_s: float) -> Any:
        number = next(self._numbers)
        answer = self._waiting[number] = _Answer()
        try:
            with anyio.move_on_after(limit_s):
                await self._say({"id": number, **message})
                await answer.came.wait()
        finally:
            del self._waiting[number]
        if not answer.came.is_set():
            raise ServerError(f"{message.get('subject', 'reading')}: nothing within {limit_s:g} s")
        if answer.error is not None:
            raise ServerError(answer.error)
        return answer.result

    async def _say(self, message: Mapping[str, Any]) -> None:
        await self._line.send(json.dumps(message))

    def _take_in(self, line: bytes) -> None:
        message = json.loads(line)
        kind = message["type"]
        if kind == "answer":
            answer = self._waiting.get(message["id"])
            if answer is not None:  # else it came too late
                answer.result, answer.error = message["result"], message["error"]
                answer.came.set()
        elif kind == "advisory":
            self._tell(message)
        elif kind == "ready":
            self._ready.set()
        else:
            raise self._trouble(f"cannot go on: {message.get('message')}")

    def _tell(self, message: Mapping[str, Any]) -> None:
        """Record an advisory, each once: which of the servers it was heard at first is told."""
        body = message["body"]
        facts = {
            "advisory": str(body.get("type", "")).rpartition(".")[2],
            "stream": body.get("stream"),
            "consumer": body.get("consumer"),
            "leader": self._names.get(str(body.get("leader")), body.get("leader")),
            "action": body.get("action"),
            "server": body.get("server"),
            "replicas": [
                {
                    "node": self._names.get(str(one.get("name")), one.get("name")),
                    "current": one.get("current", False),
                    "lag": one.get("lag", 0),
                    "offline": one.get("offline", False),
                }
                for one in (body.get("replicas") or ())[:_SHOWN]
            ]
            or None,
        }
        told = {key: value for key, value in facts.items() if value is not None}
        self._cluster.record(
            "jetstream.advisory", at_ns=message["at_ns"], node=message["node"], **told
        )

    def _trouble(self, what: str) -> WorkerError:
        try:
            text = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            text = []
        said = "; the last lines of its log:\n  " + "\n  ".join(text) if text else ""
        return WorkerError(f"the observer {what}{said}")


@asynccontextmanager
async def observer(cluster: Cluster, logins: Logins, log: Path) -> AsyncIterator[Observer]:
    """Start the observer in its place; on leaving, end it.

    Raises:
        WorkerError: it could not be started, or ended before the body did.
    """
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = cluster.spawn_client(OBSERVER, ARGV, theirs, log)
    except OSError as error:
        ours.close()
        raise WorkerError(f"the observer cannot be started: {error}") from error
    except BaseException:
        ours.close()
        raise
    line = Line(ours)
    try:
        found = Observer(cluster, line, process, log, logins)
        async with anyio.create_task_group() as listening:
            listening.start_soon(found.listen)
            await found.plan()
            yield found
            listening.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        only = group.exceptions[0]  # what the body raised, as it raised it
        raise only from only.__cause__
    finally:
        with bounded_cleanup(EXIT_LIMIT_S + KILL_LIMIT_S, "ending the observer", WorkerError):
            line.hang_up()
            try:
                with anyio.move_on_after(EXIT_LIMIT_S) as bound:
                    await process.wait()
                if bound.cancelled_caught:
                    process.send_signal(SIGKILL)
                    await process.wait()
            finally:
                line.close()
