"""A JetStream without servers: it says what it was told to, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.cluster.jetstream import NodeView, Peer, StreamView, Views

NODES = ("n1", "n2", "n3")


def views(
    leader: str | None = "n1",
    *,
    stream: str = "S",
    replicas: tuple[str, ...] = NODES,
    late: tuple[str, ...] = (),
    meta: str | None = "n1",
) -> Views:
    found = {}
    for node in NODES:
        peers = tuple(
            Peer(other, current=other not in late, lag=0, offline=False)
            for other in replicas
            if other != node
        )
        streams = {stream: StreamView(stream, leader, peers, 0, 0, 0, 0, 0)}
        metas = tuple(Peer(one, current=True, lag=0, offline=False) for one in NODES if one != node)
        held = streams if node in replicas else {}
        found[node] = NodeView(node, enabled=True, meta_leader=meta, meta_peers=metas, streams=held)
    return Views(found)


@dataclass
class FakeJetStream:
    """`react` changes what it says when it is asked for something; `answer` is what it replies."""

    now: Views = field(default_factory=views)
    react: Callable[[FakeJetStream, str], None] = lambda _, __: None
    answer: dict[str, Any] = field(default_factory=lambda: {"success": True})
    system: bool = True
    servers: dict[str, str] = field(default_factory=lambda: {node: f"{node}!" for node in NODES})
    asked: list[tuple[str, Any, bool]] = field(default_factory=list)

    async def look(self, limit_s: float) -> Views:
        return self.now

    async def request(
        self,
        subject: str,
        body: Mapping[str, Any] | None = None,
        *,
        limit_s: float,
        node: str | None = None,
        system: bool = False,
    ) -> dict[str, Any]:
        self.asked.append((subject, body, system))
        self.react(self, subject)
        return self.answer
