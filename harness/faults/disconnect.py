"""Disconnect: the container is taken off its network, and put back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from harness.cluster.protocols import Capability, Cluster, Node
from harness.errors import FaultError
from harness.faults.base import (
    EFFECT_LIMIT_S,
    Fault,
    Strike,
    on_each,
    require_healthy,
    require_running,
    undone,
)

SILENCE_S = 0.25


class Disconnect(Fault):
    """Take the container off its network; connect it again after `duration`.

    What `docker network disconnect` does: its network card is gone, with all links to
    everybody. Nothing is reset, so servers and clients notice only by their own pings. It
    comes back with the address and the aliases it had.
    """

    action: Literal["disconnect"]
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.DISCONNECT})
    silent: ClassVar[bool] = True

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the nodes off the network, by the Engine's word and an unanswered request."""
        del cluster
        require_running(strike.nodes)

        async def disconnect(node: Node) -> None:
            strike.hit(node, "network disconnect")
            said = await node.disconnect(EFFECT_LIMIT_S)
            if await node.responds(SILENCE_S):
                raise FaultError(f"{node.name} still answers without a network")
            strike.effect(node, f"{said}, silent for {SILENCE_S:g} s")

        async def look(node: Node) -> None:
            if not node.running:
                raise FaultError(f"{node.name} ended while it was off the network")
            if await node.connected(EFFECT_LIMIT_S):
                raise FaultError(f"{node.name} is on its network again, though nobody put it there")
            if await node.responds(SILENCE_S):
                raise FaultError(f"{node.name} answers again without a network")
            strike.held(node, f"still off the network, silent for {SILENCE_S:g} s")

        async def connect(node: Node) -> None:
            said = await node.connect(EFFECT_LIMIT_S)
            if not node.running:
                raise FaultError(f"{node.name} ended while it was off the network")
            await require_healthy(node)
            strike.undo(node, f"{said}, healthy and routed to every running peer")

        async with undone(lambda: on_each(strike.nodes, connect), f"{self.name}: connecting"):
            await on_each(strike.nodes, disconnect)
            strike.still(lambda: on_each(strike.nodes, look), SILENCE_S)
            yield
