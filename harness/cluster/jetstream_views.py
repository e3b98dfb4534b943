"""What each server says of JetStream, sampled on a fixed period: nobody's client takes part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from harness.clock import now_ns, sleep_to_next, sleep_until, to_ns
from harness.cluster.jetstream import VIEW, NodeView, StreamView, read_view
from harness.cluster.line import MonitorLine, open_line
from harness.cluster.protocols import Cluster, EventSink, Node
from harness.errors import ServerError

PERIOD_S = 0.25
LIMIT_S = 2.0  # of one look; `server.unanswered` is told by the other sampling
AUDITORS = "nh-audit-"  # how the audit's own consumers begin


async def sample_jetstream(cluster: Cluster, names: Mapping[str, str]) -> None:
    """Look at JetStream on every running node each `PERIOD_S`, until cancelled.

    Of what changed since the last look at a node, `jetstream.leader` and `jetstream.health`
    tell; of the groups that it says it leads itself, `jetstream.sampled` tells each time.

    Args:
        cluster: whose nodes.
        names: the nodes by their servers' own names.
    """
    async with anyio.create_task_group() as samplers:
        for turn, node in enumerate(cluster.nodes.values()):
            first_ns = now_ns() + to_ns(PERIOD_S * turn / len(cluster.nodes))
            alone = len(cluster.nodes) == 1
            samplers.start_soon(_Sampler(node, cluster.record, names, alone).run, first_ns)


@dataclass
class _Sampler:
    """The sampling of one node; what it last said of leaders and of its health."""

    node: Node
    record: EventSink
    names: Mapping[str, str]
    alone: bool
    _leaders: dict[str, str | None] = field(default_factory=dict)
    _health: str | None = None
    _late: dict[str, list[str]] = field(default_factory=dict)

    async def run(self, due_ns: int) -> None:
        await sleep_until(due_ns)
        while True:
            if self.node.running:
                try:
                    with anyio.move_on_after(LIMIT_S) as bound:
                        async with open_line(self.node.endpoints.monitor) as line:
                            while True:
                                await self._look(line)
                                bound.deadline = anyio.current_time() + LIMIT_S + PERIOD_S
                                due_ns = await sleep_to_next(due_ns, to_ns(PERIOD_S))
                except (ServerError, KeyError, TypeError, ValueError, AttributeError):
                    pass  # `server.unanswered` tells of it
                self._leaders = {}  # whatever it says next is said again
            due_ns = await sleep_to_next(due_ns, to_ns(PERIOD_S))

    async def _look(self, line: MonitorLine) -> None:
        answer = await line.ask(VIEW)
        view = read_view(self.node.name, answer.body, self.names, alone=self.alone)
        health = await line.ask("/healthz")
        self._tell_leaders(view, answer.from_ns, answer.to_ns)
        self._tell_health(health.body, health.from_ns, health.to_ns)
        led = [one for one in view.streams.values() if one.leader == self.node.name]
        consumers = {
            f"{stream.name}/{one.name}": {
                "pending": one.pending,
                "ack_pending": one.ack_pending,
                "redelivered": one.redelivered,
                "delivered": one.delivered,
                "consumer_seq": one.consumer_seq,
                "ack_floor": one.ack_floor,
            }
            for stream in view.streams.values()
            for one in stream.consumers.values()
            if one.leader == self.node.name and not one.name.startswith(AUDITORS)
        }
        self._tell_late(led, answer.from_ns, answer.to_ns)
        if led or consumers:
            self.record(
                "jetstream.sampled",
                at_ns=answer.to_ns,
                node=self.node.name,
                from_ns=answer.from_ns,
                streams={one.name: _sum_up(one) for one in led},
                consumers=consumers,
            )

    def _tell_leaders(self, view: NodeView, from_ns: int, at_ns: int) -> None:
        now = {group: one for group, one in view.leaders.items() if f"/{AUDITORS}" not in group}
        gone = dict.fromkeys(group for group in self._leaders if group not in now)
        for group, leader in (now | gone).items():
            if group not in self._leaders or self._leaders[group] != leader or group not in now:
                self.record(
                    "jetstream.leader",
                    at_ns=at_ns,
                    group=group,
                    leader=leader,
                    node=self.node.name,
                    from_ns=from_ns,
                    **({"gone": True} if group not in now else {}),
                )
        self._leaders = now

    def _tell_late(self, led: Sequence[StreamView], from_ns: int, at_ns: int) -> None:
        """Tell which replicas a leader does not call current, where that has changed."""
        now = {
            one.name: [peer.node for peer in one.peers if peer.offline or not peer.current]
            for one in led
        }
        for stream, late in now.items():
            if late != self._late.get(stream, []):
                self.record(
                    "jetstream.replicas",
                    at_ns=at_ns,
                    stream=stream,
                    node=self.node.name,
                    from_ns=from_ns,
                    late=late,
                )
        self._late = now

    def _tell_health(self, body: Mapping[str, Any], from_ns: int, at_ns: int) -> None:
        said = str(body.get("error") or body.get("status"))
        if said != self._health:
            self._health = said
            self.record(
                "jetstream.health",
                at_ns=at_ns,
                node=self.node.name,
                from_ns=from_ns,
                ok=body.get("status") == "ok",
                said=said,
            )


def _sum_up(stream: StreamView) -> dict[str, Any]:
    """Return what a leader knows of its stream; a replica that is not current has no lag."""
    return {
        "messages": stream.messages,
        "first_seq": stream.first_seq,
        "last_seq": stream.last_seq,
        "lag": {
            peer.node: peer.lag if peer.current and not peer.offline else None
            for peer in stream.peers
        },
    }
