"""CPU limit: a server is given only a part of one CPU."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from pydantic import field_validator

from harness.cluster.cpus import STOP_AND_GO, CpuLook
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
from harness.scenario.quantities import Cpus
from harness.units import format_share

LEAST, MOST = 0.05, 0.8  # beyond these, a stop-and-go cannot be told from none, or from a pause
LOOK_S = 0.6
FREE_LOOK_S = 0.2
TRIES = 3  # a machine that is busy for a moment is not a limit that does not hold
SHARE_SLACK = 0.1
QUOTA_SLACK = 0.01
USED_FACTOR = 1.15
PERIOD_S = 0.1  # what one period lets through counts for the whole of it

_Judge = Callable[[CpuLook], str | None]


class CpuLimit(Fault):
    """Give the server's process at most `cpus` of one CPU's time, as `docker run --cpus` does.

    By a control group where the harness may make one; else the process is stopped and let
    go on, many times a second, so that it runs only for that share of the time. A group
    touches only a process that wants more than its share: it has to be held back at least
    once by the time of the heal, while one that is stopped is held back in any case.
    """

    action: Literal["cpu-limit"]
    cpus: Cpus
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.CPU_LIMIT})

    @field_validator("cpus")
    @classmethod
    def _require_provable(cls, cpus: float) -> float:
        if not LEAST <= cpus <= MOST:
            raise ValueError(
                f"expected {LEAST:.0%} to {MOST:.0%} of one CPU, so that it can be proven, "
                f"found {format_share(cpus)}"
            )
        return cpus

    @property
    def strikes_clients(self) -> bool:
        """Tell that connections live on: nobody has to fail over."""
        return False

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the limit, proven by what the kernel tells of the process."""
        del cluster
        require_running(strike.nodes)
        struck: set[str] = set()

        async def limit(node: Node) -> None:
            await _look(node, _free_problem, FREE_LOOK_S, "before")
            struck.add(node.name)
            strike.hit(node, f"{format_share(self.cpus)} of a CPU", groups=(), burdens=True)
            await node.cpu.limit(self.cpus, EFFECT_LIMIT_S)
            strike.effect(node, self._tell(await _look(node, self._problem, LOOK_S, "effect")))

        async def lift(node: Node) -> None:
            if node.name not in struck:
                return
            await node.cpu.lift(EFFECT_LIMIT_S)
            await require_healthy(node)
            seen = await _look(node, _free_problem, FREE_LOOK_S, "undo")
            strike.undo(node, f"no limit, stopped in none of {seen.looks} looks")

        async def look(node: Node) -> None:
            seen = await _look(node, self._problem, LOOK_S, "held")
            if seen.quota is not None and not seen.throttled:
                share = format_share(self.cpus)
                raise FaultError(
                    f"{node.name} was held back in none of {seen.periods} periods: it wanted less "
                    f"than {share} of a CPU; give it a smaller share, or more load"
                )
            strike.held(node, f"still {self._tell(seen)}")

        async with undone(lambda: on_each(strike.nodes, lift), f"{self.name}: lifting the limit"):
            await on_each(strike.nodes, limit)
            strike.still(lambda: on_each(strike.nodes, look), LOOK_S)
            yield

    def _problem(self, seen: CpuLook) -> str | None:
        """Say how a look differs from what one at a limited process shows; None: not."""
        if seen.mechanism is None:
            return "nothing limits it"
        most = USED_FACTOR * self.cpus * (1 + 2 * PERIOD_S / seen.window_s)
        if seen.used > most:
            return f"it used {seen.used:.1%} of a CPU by {seen.mechanism}"
        if seen.mechanism == STOP_AND_GO:
            ran = 1 - seen.stopped_share
            off = not self.cpus - SHARE_SLACK <= ran <= self.cpus + min(SHARE_SLACK, self.cpus)
            off = off or seen.stopped == seen.looks
            found = f"it was stopped in {seen.stopped_share:.0%} of {seen.looks} looks"
            return f"{found}, expected {1 - self.cpus:.0%}" if off else None
        if seen.quota is None:
            return f"it is not in a group of {seen.mechanism} that limits it"
        off = abs(seen.quota - self.cpus) > QUOTA_SLACK * self.cpus
        return f"its group lets it use {seen.quota:.1%} of a CPU" if off else None

    def _tell(self, seen: CpuLook) -> str:
        if seen.quota is None:
            how = f"stopped in {seen.stopped_share:.0%} of {seen.looks} looks"
        else:
            how = (
                f"quota {format_share(round(seen.quota, 4))} of a CPU, "
                f"held back in {seen.throttled} of {seen.periods} periods"
            )
        return f"limited by {seen.mechanism}: {how}, used {seen.used:.1%} of a CPU"


def _free_problem(seen: CpuLook) -> str | None:
    if seen.mechanism is not None:
        return f"{seen.mechanism} limits it"
    if seen.stopped:
        return f"it was stopped in {seen.stopped} of {seen.looks} looks"
    return None


async def _look(node: Node, judge: _Judge, window_s: float, edge: str) -> CpuLook:
    """Return the first look that `judge` accepts; FaultError when none of `TRIES` is."""
    for _ in range(TRIES):
        seen = await node.cpu.look(window_s)
        problem = judge(seen)
        if problem is None:
            return seen
    raise FaultError(f"{edge}: the limit of {node.name} is not as asked for: {problem}")
