"""Rolling restart: one server after the other, each healthy before the next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import ClassVar, Literal

import anyio
from pydantic import field_validator

from harness.cluster.protocols import Capability, Cluster
from harness.faults.base import EFFECT_LIMIT_S, Fault, Strike, down, require_running
from harness.scenario.quantities import Duration


class RollingRestart(Fault):
    """Restart the targets one after the other, as an upgrade without downtime does.

    Each is stopped (SIGTERM), started again, and healthy and routed to every peer
    before `interval` passes and the next one's turn comes. Targets go in the order
    they are named; `all` is the cluster's order, so the seed goes first.
    """

    action: Literal["rolling-restart"]
    target: str | tuple[str, ...] = "all"
    interval: Duration = 0.0
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.STOP})
    self_timed: ClassVar[bool] = True
    timeless: ClassVar[bool] = True

    @field_validator("duration")
    @classmethod
    def _refuse_duration(cls, duration: float | None) -> float | None:
        if duration is not None:
            raise ValueError("takes no duration; `interval` is the pause between two nodes")
        return duration

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Restart every node on entry; there is nothing left to hold or to heal."""
        del cluster
        require_running(strike.nodes)
        for turn, node in enumerate(strike.nodes):
            if turn:
                await anyio.sleep(self.interval)
            alone = replace(strike, nodes=(node,), looks=[])  # it is not held down
            async with down(alone, None, lambda node: node.stop(EFFECT_LIMIT_S)):
                pass
        yield
