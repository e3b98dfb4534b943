"""Peer-remove: a replica of a stream is taken away, and another server takes its place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from pydantic import field_validator

from harness.cluster.jetstream import Views
from harness.cluster.protocols import Capability, Cluster
from harness.errors import FaultError
from harness.faults.base import EFFECT_LIMIT_S, Fault, Strike, require_running, undone
from harness.faults.jetstream import LOOK_LIMIT_S, order, require_jetstream, until
from harness.scenario.streams import StreamName

UNDO_LIMIT_S = 60.0  # the new replica is given the whole stream


class PeerRemove(Fault):
    """Remove the target from the peers of `stream`, as an operator does with a lost server.

    The meta leader gives its place to another server, so there must be one. It is over once
    the stream has as many replicas as before and all are current.
    """

    action: Literal["peer-remove"]
    stream: StreamName
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.JETSTREAM})
    self_timed: ClassVar[bool] = True
    timeless: ClassVar[bool] = True
    claims_nodes: ClassVar[bool] = False

    @field_validator("duration")
    @classmethod
    def _refuse_duration(cls, duration: float | None) -> float | None:
        if duration is not None:
            raise ValueError("takes no duration; it is over once the stream is whole again")
        return duration

    @property
    def strikes_clients(self) -> bool:
        """Return False: clients' connections live on."""
        return False

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Remove one target after the other; return once the leader counts none of them."""
        jetstream = require_jetstream(cluster)
        require_running(strike.nodes)
        replicas = (await jetstream.look(LOOK_LIMIT_S)).replicas(self.stream)
        if not replicas:
            raise FaultError(f"stream {self.stream} has no leader now")
        for node in strike.nodes:
            if node.name not in replicas:
                held = ", ".join(replicas)
                raise FaultError(f"{node.name} has no replica of {self.stream}; {held} have")

        async def see_it_whole() -> None:
            views = await until(
                jetstream, lambda v: v.behind(self.stream, len(replicas)), UNDO_LIMIT_S
            )
            held = ", ".join(views.replicas(self.stream))
            for node in strike.nodes:
                strike.undo(node, f"{self.stream} has its replicas on {held}, all current")

        async with undone(see_it_whole, f"{self.name}: seeing it whole", UNDO_LIMIT_S + 5.0):
            for node in strike.nodes:
                strike.hit(node, f"peer-remove from {self.stream}", groups=())
                body = {"peer": jetstream.servers[node.name]}
                await order(jetstream, f"$JS.API.STREAM.PEER.REMOVE.{self.stream}", body)
                views = await until(jetstream, lambda v: self._kept(v, node.name), EFFECT_LIMIT_S)  # noqa: B023 - awaited in this turn
                strike.effect(node, f"{', '.join(views.replicas(self.stream))} have replicas now")
            yield

    def _kept(self, views: Views, node: str) -> str:
        held = views.replicas(self.stream)
        if not held:
            return f"{self.stream} has no leader"
        return f"{node} still has a replica of {self.stream}" if node in held else ""
