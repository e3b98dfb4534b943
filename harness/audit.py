"""Audit every replica of every stream, once the cluster is healed and quiet.

One read through one consumer misses damage: some replica answers it. So each server is asked
for its own state, and then each replica is made the leader and read message by message.
What cannot be audited is told as `audit.failed`, and never passes for whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anyio

from harness.clock import now_ns, seconds
from harness.cluster.jetstream import Views, refusal
from harness.cluster.protocols import Cluster
from harness.cluster.releases import PREFERRED_SINCE, release_of
from harness.errors import ServerError
from harness.load.observing import Observer
from harness.quiet import LOOK_S, POLL_S, Calm, Quiet
from harness.scenario.model import Scenario
from harness.scenario.stream_rules import bucket_streams
from harness.scenario.streams import StreamSpec

REQUEST_S = 5.0
LEAD_LIMIT_S = 40.0  # without a preferred leader, chance has to be tried again and again
ELECTION_S = 6.0  # within which a step-down has to show; else it is asked again
BEHIND_LIMIT_S = 12.0  # to lead for one that stayed behind: nobody should elect it
READ_LIMIT_S = 60.0
READ_TRIES = 3
LEAST_RATE = 5_000  # messages a second; a replica that is read more slowly is given up


@dataclass(frozen=True)
class Audit:
    """The audit of one iteration; `folder` is that of its messages, `run` marks its payloads."""

    scenario: Scenario
    cluster: Cluster
    observer: Observer
    folder: Path
    run: int

    @property
    def _specs(self) -> tuple[StreamSpec, ...]:
        """Return what is audited: the scenario's streams, and those of its buckets."""
        return (*self.scenario.streams, *bucket_streams(self.scenario))

    async def conduct(self) -> None:
        """Read all replicas and record what was found; never raises for what a server does."""
        (self.folder / "audit").mkdir(exist_ok=True)
        calm = await Quiet(self.cluster, self.observer, self._specs).wait()
        for spec in self._specs:
            if calm.restless:
                self._fail(spec.name, calm.restless)
            for node, view in calm.views.nodes.items():
                if (own := view.streams.get(spec.name)) is not None:
                    self.cluster.record(
                        "audit.state",
                        stream=spec.name,
                        node=node,
                        messages=own.messages,
                        bytes=own.bytes,
                        first_seq=own.first_seq,
                        last_seq=own.last_seq,
                        num_deleted=own.num_deleted,
                        leader=own.leader,
                        healthz=calm.health.get(node),
                    )
            self._tell_absent(spec, calm)
            if (spec.name, None) not in calm.gone:
                await self._audit_stream(spec, calm)

    def _tell_absent(self, spec: StreamSpec, calm: Calm) -> None:
        """Record which replicas cannot be read, and that this is known for sure."""
        for node, why in calm.refused.items():
            if not self.cluster.nodes[node].running:
                self.cluster.record("audit.down", stream=spec.name, node=node, why=why)
        for stream, gone in sorted(calm.gone, key=str):
            if stream == spec.name:
                health = calm.health if gone is None else {gone: calm.health.get(gone)}
                self.cluster.record("audit.gone", stream=stream, node=gone, healthz=dict(health))

    async def tell_consumers(self) -> None:
        """Record how far every consumer has come, as its leader says."""
        views = await self.observer.look(LOOK_S)
        for workload in self.scenario.workloads:
            for stream, consumers in workload.durables().items():
                for name in consumers:
                    found = views.consumer(stream, name)
                    if found is None:
                        self._fail(stream, f"consumer {name} has no leader that answers")
                        continue
                    self.cluster.record(
                        "consumer.state",
                        stream=stream,
                        consumer=name,
                        num_pending=found.pending,
                        num_ack_pending=found.ack_pending,
                        delivered=found.delivered,
                        ack_floor=found.ack_floor,
                        num_redelivered=found.redelivered,
                    )

    async def _audit_stream(self, spec: StreamSpec, calm: Calm) -> None:
        views = calm.views
        held = [node for node, view in views.nodes.items() if spec.name in view.streams]
        replicas = dict.fromkeys([*views.replicas(spec.name), *held])
        if len(replicas) < spec.replicas:
            self._fail(spec.name, f"{len(replicas)} of {spec.replicas} replicas are to be found")
        states = [
            view.streams[spec.name] for view in views.nodes.values() if spec.name in view.streams
        ]
        leading = views.leading(spec.name)
        behind = {
            peer.node
            for peer in (leading.peers if leading is not None else ())
            if calm.restless and (peer.lag or not peer.current)
        }
        last = max((one.last_seq for one in states), default=0)
        first = min((one.first_seq for one in states if one.messages), default=last + 1)
        for node in replicas:
            down = node in calm.refused and not self.cluster.nodes[node].running
            if down or (spec.name, node) in calm.gone:
                continue
            why = await self._try(
                spec, node, first, last, len(replicas), patient=node not in behind
            )
            if why:
                self._fail(spec.name, why, node)

    async def _try(
        self, spec: StreamSpec, node: str, first: int, last: int, replicas: int, *, patient: bool
    ) -> str:
        """Read a replica; return why that failed, again and again where a server was busy."""
        why = ""
        for turn in range(READ_TRIES if patient else 1):
            if node not in self.cluster.nodes or not self.cluster.nodes[node].running:
                return f"{node} is not running"
            try:
                await self._lead(spec.name, node, LEAD_LIMIT_S if patient else BEHIND_LIMIT_S)
                await self._read(spec, node, first, last, replicas, turn)
            except ServerError as error:
                why = str(error)
            else:
                return ""
        return why

    async def _read(  # noqa: PLR0917 - one replica, and what to read of it
        self, spec: StreamSpec, node: str, first: int, last: int, replicas: int, turn: int
    ) -> None:
        """Read a replica and record it; ServerError if it cannot be relied on what was read."""
        before = await self.observer.look(LOOK_S)
        if node in before.nodes and (there := before.nodes[node].streams.get(spec.name)):
            last = max(last, there.last_seq)  # while it was not quiet, more may have come
        again = f".{turn}" if turn else ""  # what was given up may still be written to
        name = f"audit/{spec.name}@{node}{again}.columns"
        began_ns = now_ns()
        door = self.observer.door(node)
        found = await self.observer.read(
            {
                "node": node,
                "server": self.observer.servers[node],
                "host": door.host,
                "port": door.port,
                "stream": spec.name,
                "run": self.run,
                "columns": str(self.folder / name),
                "first": max(1, first),
                "last": last,
                "clustered": replicas > 1 or len(self.cluster.nodes) > 1,
                "singly": spec.retention != "limits",
                "by_content": spec in bucket_streams(self.scenario),
            },
            READ_LIMIT_S + (last - first + 1) / LEAST_RATE,
        )
        after = await self.observer.look(LOOK_S)
        if not all(_led_by(spec.name, node, views) for views in (before, after)):
            raise ServerError(f"{node} did not lead {spec.name} while it was read")
        if found["refused"]:
            raise ServerError(f"{node} would not give messages of {spec.name}: {found['refused']}")
        own = after.nodes[node].streams.get(spec.name) if node in after.nodes else None
        self.cluster.record(
            "audit.read",
            stream=spec.name,
            node=node,
            file=name,
            rows=found["rows"],
            led=True,
            first_seq=own.first_seq if own is not None else found["first_seq"],
            last_seq=own.last_seq if own is not None else found["last_seq"],
            sought=[max(1, first), last],
            absent=found["absent"],
            absent_count=found["absent_count"],
            refused=None,
            halts=found["halts"],
            took_s=round(seconds(now_ns() - began_ns), 6),
        )

    async def _lead(self, stream: str, node: str, limit_s: float) -> None:
        """Make a node the leader of a stream; ServerError when it does not come to that."""
        body = None
        if all(release_of(one.version) >= PREFERRED_SINCE for one in self.cluster.nodes.values()):
            body = {"placement": {"preferred": self.observer.servers[node]}}
        leader: str | None = None
        said = ""
        with anyio.move_on_after(limit_s):
            while True:
                with anyio.move_on_after(ELECTION_S):
                    while True:
                        views = await self.observer.look(LOOK_S)
                        leader = views.leader(f"stream:{stream}")
                        if _led_by(stream, node, views):
                            return
                        if leader is not None and leader not in (node, said):
                            break
                        await anyio.sleep(POLL_S / 5)
                said = leader or ""
                subject = f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}"
                answer = await self.observer.request(subject, body, limit_s=REQUEST_S)
                if (refused := refusal(answer)) is not None:
                    said = ""
                    await anyio.sleep(POLL_S)
                    if answer["error"].get("code") != 503:  # noqa: PLR2004 - no leader now
                        raise ServerError(f"{stream}: the leader does not step down: {refused}")
        raise ServerError(
            f"{node} did not come to lead {stream} within {limit_s:g} s; {leader} did"
        )

    def _fail(self, stream: str, why: str, node: str | None = None) -> None:
        self.cluster.record("audit.failed", stream=stream, node=node, why=why)


def _led_by(stream: str, node: str, views: Views) -> bool:
    """Tell whether a node says that it leads a stream, and the others agree."""
    own = views.nodes.get(node)
    says = own is not None and stream in own.streams and own.streams[stream].leader == node
    return says and views.leader(f"stream:{stream}") == node
