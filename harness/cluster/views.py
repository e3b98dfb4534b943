"""What each server says of itself and of the others, sampled on a fixed period.

The monitoring port is asked from where the harness lives. In the lab that is an address
of its own on the bridge, which no partition, reset, refusal or shaped link of a scenario
names, so a node that is cut off from everybody is still seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio

from harness.clock import now_ns, sleep_to_next, sleep_until, to_ns
from harness.cluster.line import Answer, MonitorLine, open_line
from harness.cluster.protocols import Cluster, EventSink, Node
from harness.errors import ServerError

PERIOD_S = 0.25
LIMIT_S = 2.0  # of one look; a frozen server costs nobody else anything
NEWEST = 16  # closed connections that are asked for beyond those known to be new
MOST = 1024  # closed connections of one answer


async def sample_views(cluster: Cluster) -> None:
    """Record `server.sampled` of every running node each `PERIOD_S`, until cancelled.

    Each node has a task of its own, and its turn within the period. A look that gets no
    answer within `LIMIT_S`, or whose connection breaks, is recorded as
    `server.unanswered`; a node without a process is not asked.
    """
    names: dict[str, str] = {}
    async with anyio.create_task_group() as watchers:
        for turn, node in enumerate(cluster.nodes.values()):
            first_ns = now_ns() + to_ns(PERIOD_S * turn / len(cluster.nodes))
            watchers.start_soon(_Viewer(node, cluster.record, names).run, first_ns)


@dataclass
class _Viewer:
    """The sampling of one node.

    Attributes:
        names: of nodes by the id of their server process, since routes of releases before
            2.10 name only ids, and servers may have other names than nodes; shared by all
            viewers.
        seen_ns: the start of the last look that succeeded; what was closed before the first
            one is nobody's business.
    """

    node: Node
    record: EventSink
    names: dict[str, str]
    seen_ns: int | None = None
    _process: str = ""
    _known: set[int] = field(default_factory=set)
    _counts: list[Any] | None = None

    async def run(self, due_ns: int) -> None:
        await sleep_until(due_ns)
        while True:
            if self.node.running:
                due_ns = await self._converse(due_ns)
            due_ns = await sleep_to_next(due_ns, to_ns(PERIOD_S))

    async def _converse(self, due_ns: int) -> int:
        """Look over one connection until it breaks; return when the last look was due."""
        from_ns = now_ns()
        why = f"no answer within {LIMIT_S:g} s"
        try:
            with anyio.move_on_after(LIMIT_S) as scope:
                async with open_line(self.node.endpoints.monitor) as line:
                    while True:
                        await self._look(line)
                        scope.deadline = anyio.current_time() + LIMIT_S + PERIOD_S
                        due_ns = await sleep_to_next(due_ns, to_ns(PERIOD_S))
                        from_ns = now_ns()
                        scope.deadline = anyio.current_time() + LIMIT_S
            silent = True
        except (ServerError, KeyError, TypeError, ValueError) as error:
            silent, why = False, f"{type(error).__name__}: {error}"
        if self.node.running:
            self.record(
                "server.unanswered", node=self.node.name, from_ns=from_ns, silent=silent, why=why
            )
        return due_ns

    async def _look(self, line: MonitorLine) -> None:
        general = await line.ask("/varz")
        first = self.seen_ns is None
        process = str(general.body.get("server_id"))
        if process != self._process:
            self._process, self._counts = process, None
            self._known.clear()
            self.names[process] = self.node.name
        counts = [general.body.get(name) for name in ("total_connections", "connections")]
        closed = []
        if counts != self._counts:
            closed = await self._find_closed(line, general.from_ns)
        routes = await line.ask("/routez")
        self.record(
            "server.sampled",
            at_ns=routes.to_ns,
            node=self.node.name,
            from_ns=general.from_ns,
            routes=self._read_routes(routes.body),
            closed=[] if first else closed,
            connections=general.body.get("connections", 0),
            remotes=general.body.get("remotes", 0),
            slow_consumers=general.body.get("slow_consumers", 0),
            in_msgs=general.body.get("in_msgs", 0),
            out_msgs=general.body.get("out_msgs", 0),
            mem_bytes=general.body.get("mem", 0),
            cpu_percent=general.body.get("cpu", 0),
        )
        # Only now: a look that is cut short has told nothing, and the next one tells it all.
        self.seen_ns, self._counts = general.from_ns, counts
        self._known.update(one["cid"] for one in closed)

    async def _find_closed(self, line: MonitorLine, from_ns: int) -> list[dict[str, Any]]:
        """Return the client connections that were closed since the last look, oldest first."""
        limit = NEWEST
        while True:
            answer = await line.ask(f"/connz?state=closed&sort=stop&limit={limit}")
            listed = answer.body.get("connections") or []
            fresh = [one for one in listed if one["cid"] not in self._known]
            missing = int(answer.body.get("total", 0)) - len(self._known)
            if len(fresh) >= missing or limit >= MOST:
                break
            limit = min(MOST, missing + NEWEST)
        since_ns = from_ns if self.seen_ns is None else self.seen_ns
        return [_describe_closed(one, answer, since_ns) for one in reversed(fresh)]

    def _read_routes(self, body: Mapping[str, Any]) -> dict[str, list[int]]:
        """Return the ids of the routes to each peer: a route made anew has a new one."""
        found: dict[str, list[int]] = {}
        for route in body.get("routes") or ():
            remote = str(route.get("remote_id"))
            peer = self.names.get(remote) or str(route.get("remote_name") or remote)
            found.setdefault(peer, []).append(int(route["rid"]))
        return {peer: sorted(found[peer]) for peer in sorted(found)}


def _describe_closed(one: Mapping[str, Any], answer: Answer, since_ns: int) -> dict[str, Any]:
    """Return who was closed, why, and between which monotonic times.

    The server says when by its own wall clock, and in the same answer what that clock says
    now. A clock that was set meanwhile gives times outside what is possible: then all that
    is known is that it was since the last look.
    """
    between = (since_ns, answer.to_ns)
    ago_ns = _difference_ns(answer.body.get("now"), one.get("stop"))
    if ago_ns is not None:
        told = (answer.from_ns - ago_ns, answer.to_ns - ago_ns)
        if told[1] >= since_ns and told[0] <= answer.to_ns:
            between = (max(told[0], since_ns), min(told[1], answer.to_ns))
    return {
        "cid": one["cid"],
        "client": str(one.get("name") or ""),
        "reason": str(one.get("reason") or "unknown"),
        "from_ns": between[0],
        "to_ns": between[1],
    }


def _difference_ns(later: object, earlier: object) -> int | None:
    """Return the time between two RFC 3339 times; None when one is none."""
    try:
        return _wall_ns(str(later)) - _wall_ns(str(earlier))
    except ValueError:
        return None


def _wall_ns(text: str) -> int:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    at = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return round(at.timestamp()) * to_ns(1) + int(f"{fraction or '0':0<9}"[:9])
