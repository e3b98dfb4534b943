"""Slow disk: what a server writes or syncs takes longer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import field_validator

from harness.cluster.disks import DiskLook, Kind
from harness.cluster.protocols import Cluster, Node
from harness.errors import FaultError
from harness.faults.base import (
    EFFECT_LIMIT_S,
    Strike,
    on_each,
    require_healthy,
    require_running,
    undone,
)
from harness.faults.storage import QuietStorageFault
from harness.scenario.quantities import Duration
from harness.units import format_duration, human_duration

LEAST_S, MOST_S = 0.001, 5.0
_KINDS: dict[str, tuple[Kind, ...]] = {
    "syncs": ("syncs",),
    "writes": ("writes",),
    "all": ("syncs", "writes"),
}


class SlowDisk(QuietStorageFault):
    """Let each sync and each write of the targets' stores take `delay` longer for `duration`.

    Syncs are fsync and fdatasync, and the opening of a file of which each write is synced;
    writes are those at an offset, as all messages are. `calls` says which. Calls of several
    threads wait side by side, as they do at a disk with a deep queue.
    """

    action: Literal["slow-disk"]
    delay: Duration
    calls: Literal["syncs", "writes", "all"] = "all"

    @field_validator("delay")
    @classmethod
    def _require_provable(cls, delay: float) -> float:
        if not LEAST_S <= delay <= MOST_S:
            raise ValueError(
                f"expected {format_duration(LEAST_S)} to {format_duration(MOST_S)}, "
                f"found {format_duration(delay)}"
            )
        return delay

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the disks slow, proven by the calls that had to wait."""
        del cluster
        require_running(strike.nodes)
        before: dict[str, int] = {}
        what = "syncs and writes" if self.calls == "all" else self.calls

        async def slow(node: Node) -> None:
            before[node.name] = (await node.disk.look(EFFECT_LIMIT_S)).delayed
            how = f"{what} of its store take {format_duration(self.delay)} longer"
            strike.hit(node, how, groups=(), burdens=True)
            await node.disk.slow(self.delay, _KINDS[self.calls], EFFECT_LIMIT_S)
            strike.effect(node, f"{how} from now on")

        async def look(node: Node) -> None:
            seen = await node.disk.look(EFFECT_LIMIT_S)
            strike.held(node, f"{self._tell(node, seen, before[node.name])} so far")

        async def quicken(node: Node) -> None:
            if node.name not in before:
                return
            quick = await node.disk.quicken(EFFECT_LIMIT_S)
            await require_healthy(node)
            seen = await node.disk.look(EFFECT_LIMIT_S)
            if seen.delayed != quick.delayed:
                raise FaultError(f"calls of {node.name} are still delayed")
            total = quick.delayed - before[node.name]
            strike.undo(node, f"{total} calls delayed in all, and none since")

        async with undone(lambda: on_each(strike.nodes, quicken), f"{self.name}: quickening"):
            await on_each(strike.nodes, slow)
            strike.still(lambda: on_each(strike.nodes, look))
            yield

    def _tell(self, node: Node, seen: DiskLook, before: int) -> str:
        """Return how many calls were delayed and for how long; FaultError if none was."""
        delayed = seen.delayed - before
        if not delayed or seen.median_delay_s is None:
            raise FaultError(f"{node.name} has ended no {self.calls} call while its disk was slow")
        if seen.median_delay_s < self.delay:
            took = human_duration(seen.median_delay_s)
            raise FaultError(f"calls of {node.name} took {took} longer, not {self.delay:g} s")
        took = human_duration(seen.median_delay_s)
        return f"{delayed} calls delayed, by {took} in the middle"
