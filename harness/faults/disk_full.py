"""Full disk: nothing more can be stored, until there is room again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from harness.cluster.protocols import Cluster, Node
from harness.errors import FaultError, ServerError
from harness.faults.base import EFFECT_LIMIT_S, Strike, on_each, require_running, undone
from harness.faults.storage import QuietStorageFault

HEALTH_LOOK_S = 2.0  # a server may come to itself again


class DiskFull(QuietStorageFault):
    """Let the targets' stores be full (ENOSPC) for `duration`.

    Refused is what takes room: to write past the end of a file at an offset, as all messages
    are, to make a file or a folder, to copy into a file. What is read, removed, renamed or
    written over is not, nor what is appended to a file that is open already (write(2)).

    A server whose write was refused switches JetStream off and leaves it off when there is
    room again, until it is started again (seen of 2.15.1): the undo is of the disk alone, and
    tells whether the server is healthy. A `restart` step afterwards does what an operator would.
    """

    action: Literal["disk-full"]

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the disks full, proven by the calls that are refused."""
        del cluster
        require_running(strike.nodes)
        before: dict[str, int] = {}

        async def fill(node: Node) -> None:
            seen = await node.disk.look(EFFECT_LIMIT_S)
            before[node.name] = seen.refused
            strike.hit(node, "full disk", groups=(), burdens=True)
            await node.disk.fill(EFFECT_LIMIT_S)
            strike.effect(node, "no call that takes room in its store succeeds from now on")

        async def look() -> None:
            counts = {}
            for node in strike.nodes:
                seen = await node.disk.look(EFFECT_LIMIT_S)
                counts[node.name] = seen.refused - before[node.name]
            if not any(counts.values()):
                raise FaultError("nobody asked for room while the disk was full: no call refused")
            for node in strike.nodes:
                strike.held(node, f"{_calls(counts[node.name])} refused with ENOSPC so far")

        async def free(node: Node) -> None:
            if node.name not in before:
                return
            freed = await node.disk.free(EFFECT_LIMIT_S)
            if not node.running:
                raise FaultError(f"{node.name} ended while its disk was full")
            health = await _tell_health(node)
            seen = await node.disk.look(EFFECT_LIMIT_S)
            if seen.refused != freed.refused:
                raise FaultError(f"calls of {node.name} are still refused")
            refused = _calls(freed.refused - before[node.name])
            strike.undo(node, f"room again: {refused} refused in all, and none since; {health}")

        async with undone(lambda: on_each(strike.nodes, free), f"{self.name}: making room"):
            await on_each(strike.nodes, fill)
            strike.still(look)
            yield


async def _tell_health(node: Node) -> str:
    try:
        await node.wait_healthy(HEALTH_LOOK_S)
    except ServerError:
        return f"not healthy within {HEALTH_LOOK_S:g} s, as long as it is not started again"
    return "healthy"


def _calls(number: int) -> str:
    return f"{number} call{'' if number == 1 else 's'}"
