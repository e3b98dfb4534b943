"""Pause: the server process is frozen (SIGSTOP) and thawed (SIGCONT)."""

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


class Pause(Fault):
    """Freeze the server process (SIGSTOP); thaw it (SIGCONT) after `duration`.

    Connections stay open and nothing answers, so clients notice only by their own
    pings: the bound is in the client options, not in the network.
    """

    action: Literal["pause"]
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.PAUSE})
    silent: ClassVar[bool] = True

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the nodes frozen, proven by the kernel and by a request that stays unanswered."""
        del cluster
        require_running(strike.nodes)

        async def pause(node: Node) -> None:
            strike.hit(node, "SIGSTOP")
            await node.pause(EFFECT_LIMIT_S)
            if await node.responds(SILENCE_S):
                raise FaultError(f"{node.name} still answers after SIGSTOP")
            strike.effect(node, f"stopped in the kernel's eyes, silent for {SILENCE_S:g} s")

        async def look(node: Node) -> None:
            if not node.running:
                raise FaultError(f"{node.name} ended while it was frozen")
            if not node.frozen:
                raise FaultError(f"{node.name} goes on, though nobody sent it SIGCONT")
            if await node.responds(SILENCE_S):
                raise FaultError(f"{node.name} answers again after SIGSTOP")
            strike.held(node, f"still stopped, silent for {SILENCE_S:g} s")

        async def thaw(node: Node) -> None:
            if not node.running:
                raise FaultError(f"{node.name} ended while it was frozen")
            await node.resume(EFFECT_LIMIT_S)
            await require_healthy(node)
            strike.undo(node, "running again, healthy and routed to every running peer")

        async with undone(lambda: on_each(strike.nodes, thaw), f"{self.name}: thawing"):
            await on_each(strike.nodes, pause)
            strike.still(lambda: on_each(strike.nodes, look), SILENCE_S)
            yield
