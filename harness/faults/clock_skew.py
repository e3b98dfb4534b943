"""Clock skew: the wall clock of a server jumps, ahead or back, and later returns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from pydantic import field_validator

from harness.cluster.clocks import Reading
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
from harness.scenario.quantities import SignedDuration
from harness.units import format_signed_duration, human_duration

LEAST_S = 0.1
READ_LIMIT_S = 2.0
TRIES = 10  # a machine that is busy for a moment makes a reading vague
VAGUE, VAGUE_S = 0.25, 1.0  # of the skew, and in all: a vaguer reading tells nothing
LOOK_S = 0.05


class ClockSkew(Fault):
    """Let the server's wall clock jump by `skew`, ahead or (if negative) back, for `duration`.

    Only what the server's process reads as the time of day jumps; its monotonic clock, its
    timers and the times of its files do not, and no other process sees a change.
    """

    action: Literal["clock-skew"]
    skew: SignedDuration
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.CLOCK_SKEW})

    @field_validator("skew")
    @classmethod
    def _require_provable(cls, skew: float) -> float:
        if abs(skew) < LEAST_S:
            raise ValueError(
                "expected at least 100ms ahead or behind, so that it can be proven, "
                f"found {format_signed_duration(skew)}"
            )
        return skew

    @property
    def strikes_clients(self) -> bool:
        """Tell that connections live on: nobody has to fail over."""
        return False

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the clocks skewed, proven by the time that the servers themselves tell."""
        require_running(strike.nodes)
        struck: set[str] = set()

        async def jump(node: Node) -> None:
            await self._require(node, 0.0, "before")
            struck.add(node.name)
            strike.hit(node, f"wall clock {_ahead(self.skew)}", groups=(), burdens=True)
            stopped_s = await node.clock.skew(self.skew, EFFECT_LIMIT_S)
            seen = await self._require(node, self.skew, "effect")
            others = await _require_others(cluster, strike)
            strike.effect(
                node,
                f"by its own account {_tell(seen)}; stopped for {human_duration(stopped_s)} "
                f"to make it so; {others}",
            )

        async def set_right(node: Node) -> None:
            if node.name not in struck:
                return
            stopped_s = await node.clock.restore(EFFECT_LIMIT_S)
            await require_healthy(node)
            if stopped_s is None:
                raise FaultError(
                    f"the process of {node.name} that was given the skew has ended, "
                    "so there is nothing to undo"
                )
            seen = await self._require(node, 0.0, "undo")
            strike.undo(node, f"right again ({_tell(seen)})")

        async def look(node: Node) -> None:
            strike.held(node, f"still {_tell(await self._require(node, self.skew, 'held'))}")

        undo = undone(lambda: on_each(strike.nodes, set_right), f"{self.name}: setting clocks")
        async with undo:
            await on_each(strike.nodes, jump)
            strike.still(lambda: on_each(strike.nodes, look), LOOK_S)
            yield

    async def _require(self, node: Node, ahead_s: float, edge: str) -> Reading:
        """Return a reading that tells the skew from none and agrees with what is asked for."""
        for _ in range(TRIES):
            seen = await node.clock.read(READ_LIMIT_S)
            if seen.width_s < min(VAGUE * abs(self.skew), VAGUE_S):
                break
        else:
            raise FaultError(f"{edge}: {node.name} takes too long to tell its time exactly enough")
        if not seen.agrees(ahead_s):
            raise FaultError(
                f"{edge}: the clock of {node.name} is {_tell(seen)}, expected {_ahead(ahead_s)}"
            )
        return seen


async def _require_others(cluster: Cluster, strike: Strike) -> str:
    """Say how many other servers have the time they should; FaultError when one has not.

    One that does not answer, such as a frozen one, is not counted.
    """
    told: list[str] = []

    async def look(node: Node) -> None:
        asked_s = node.clock.asked_s
        try:
            seen = await node.clock.read(READ_LIMIT_S / 2)
        except FaultError:
            return
        if node.clock.asked_s != asked_s:  # another fault set it meanwhile, and proves it
            return
        if not seen.agrees(asked_s):
            raise FaultError(f"the clock of {node.name} is {_tell(seen)} as well")
        told.append(node.name)

    await on_each([one for one in cluster.nodes.values() if one not in strike.nodes], look)
    return f"{len(told)} other server{'' if len(told) == 1 else 's'} not touched"


def _ahead(skew_s: float) -> str:
    if skew_s == 0:
        return "right"
    return f"{format_signed_duration(abs(skew_s))} {'ahead' if skew_s > 0 else 'behind'}"


def _tell(seen: Reading) -> str:
    middle_s = round(seen.middle_s, 6)
    exact = f"{abs(middle_s):.6g} s" if abs(middle_s) >= 1 else human_duration(abs(middle_s))
    way = "ahead" if middle_s >= 0 else "behind"
    return f"{exact} {way}, give or take {human_duration(seen.width_s / 2)}"
