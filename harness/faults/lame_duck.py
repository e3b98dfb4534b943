"""Lame duck: the server sends its clients away and ends by itself (SIGUSR2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

import anyio

from harness.cluster.protocols import Capability, Cluster, Node
from harness.errors import FaultError
from harness.faults.base import (
    EFFECT_LIMIT_S,
    Fault,
    Strike,
    describe_exit,
    on_each,
    require_running,
    start_again,
    undone,
)

CONNECT_LIMIT_S = 0.25
EXIT_LIMIT_S = 150.0


class LameDuck(Fault):
    """Put the server into lame duck mode (SIGUSR2; NATS docs, Lame Duck Mode).

    It refuses new clients, tells the connected ones, closes them one by one after
    `lame_duck_grace_period` and then ends. Without a `duration` the fault holds until
    the process has ended by itself; with one, a process still there then is stopped.
    Either way it is started again.
    """

    action: Literal["lame-duck"]
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.LAME_DUCK, Capability.STOP})
    self_timed: ClassVar[bool] = True

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold lame duck mode, proven by a client port that takes no new connection."""
        del cluster
        require_running(strike.nodes)

        async def signal(node: Node) -> None:
            node.expect_exit()
            strike.hit(node, "SIGUSR2")
            await node.lame_duck()
            with anyio.move_on_after(EFFECT_LIMIT_S):
                while await node.accepts_clients(CONNECT_LIMIT_S):
                    await anyio.sleep(0.01)
                strike.effect(node, "takes no new client connections")
                return
            raise FaultError(f"{node.name} still takes clients {EFFECT_LIMIT_S:g} s after SIGUSR2")

        async def look(node: Node) -> None:
            if not node.running:  # by itself, or it would be an error
                strike.held(node, describe_exit(await node.wait_exit(EFFECT_LIMIT_S)))
                return
            if await node.accepts_clients(CONNECT_LIMIT_S):
                raise FaultError(f"{node.name} takes clients again")
            strike.held(node, "still takes no new client connections")

        async def revive() -> None:
            for node in strike.nodes:
                if node.running:
                    await node.stop(EFFECT_LIMIT_S)
            await start_again(strike)

        async with undone(revive, f"{self.name}: starting again"):
            await on_each(strike.nodes, signal)
            strike.still(lambda: on_each(strike.nodes, look), CONNECT_LIMIT_S)
            yield

    async def hold(self, strike: Strike, hold_s: float) -> None:
        """Wait for `duration`, or without one until each process has ended by itself."""
        if self.duration is not None:
            await anyio.sleep(hold_s)
            return

        async def end(node: Node) -> None:
            strike.effect(node, describe_exit(await node.wait_exit(EXIT_LIMIT_S)))

        await on_each(strike.nodes, end)
