"""Upgrade: one server after the other goes on as another release, on the data that it has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

import anyio
import anyio.to_thread
from pydantic import field_validator

from harness.cluster.binaries import resolve
from harness.cluster.monitor import Monitor
from harness.cluster.protocols import Capability, Cluster, Exit, Node
from harness.errors import BinaryError, FaultError, ServerError
from harness.faults.base import (
    EFFECT_LIMIT_S,
    UNDO_LIMIT_S,
    Fault,
    Strike,
    describe_exit,
    on_each,
    require_running,
    undone,
)
from harness.scenario.quantities import Duration
from harness.scenario.releases import misread_version
from harness.scenario.sites import NOWHERE, Sites

ASK_LIMIT_S = 2.0
LAME_DUCK_LIMIT_S = 150.0
START_LIMIT_S = 30.0  # another release may have to rewrite what it finds
_BY = {
    "stop": Capability.STOP,
    "kill": Capability.KILL,
    "lame-duck": Capability.LAME_DUCK,
}


class Upgrade(Fault):
    """Bring the targets to another release, one after the other; an older one is a downgrade.

    Each is brought down `by` SIGTERM, lame duck mode or SIGKILL, and started as release `to`
    with the same configuration and the same data. With `wait` it is healthy and routed to
    every peer before `interval` passes and the next one's turn comes; without, `interval`
    counts from its start, and all are looked at in the end. Targets go in the order they are
    named. Nothing is undone: the servers stay what they have become.
    """

    action: Literal["upgrade"]
    to: str
    target: str | tuple[str, ...] = "all"
    interval: Duration = 0.0
    wait: Literal["healthy", "none"] = "healthy"
    by: Literal["stop", "lame-duck", "kill"] = "stop"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.RELEASE})
    self_timed: ClassVar[bool] = True
    timeless: ClassVar[bool] = True

    @property
    def needed(self) -> frozenset[Capability]:
        """Return what a backend must be able to do for it with the keys that it has."""
        return self.needs | {_BY[self.by]}

    @field_validator("duration")
    @classmethod
    def _refuse_duration(cls, duration: float | None) -> float | None:
        if duration is not None:
            raise ValueError("takes no duration; `interval` is the pause between two nodes")
        return duration

    def impossibilities(
        self, nodes: Sequence[str], groups: Mapping[str, Sequence[str]], sites: Sites = NOWHERE
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what is wrong with the name of the release."""
        yield from super().impossibilities(nodes, groups, sites)
        if (problem := misread_version(self.to)) is not None:
            yield ("to",), problem

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Change every node on entry, proven by what it says it is; nothing is left to heal."""
        require_running(strike.nodes)
        before = {node.name: node.version for node in strike.nodes}
        await self._require_another(strike)
        down: list[Node] = []

        async def start_those_left_down() -> None:
            for node in down:
                if not node.running:  # one that would not end is still there
                    await node.start()

        async def change(node: Node) -> None:
            down.append(node)
            strike.effect(node, describe_exit(await self._end(node, strike)))
            await node.change_release(self.to)
            down.remove(node)  # whatever becomes of it, it was started
            await node.start()

        undo = undone(start_those_left_down, f"{self.name}: starting what is down", UNDO_LIMIT_S)
        async with undo:
            for turn, node in enumerate(strike.nodes):
                if turn:
                    await anyio.sleep(self.interval)
                await change(node)
                if self.wait == "healthy":
                    await self._see(node, before[node.name], cluster, strike)
            if self.wait == "none":
                await on_each(
                    strike.nodes,
                    lambda node: self._see(node, before[node.name], cluster, strike),
                )
            yield

    async def _require_another(self, strike: Strike) -> None:
        """Raise FaultError when a target is that release already: nothing would change."""
        try:
            wanted = (await anyio.to_thread.run_sync(resolve, self.to)).version
        except BinaryError as error:
            raise FaultError(str(error)) from error
        same = [node.name for node in strike.nodes if node.version == wanted]
        if same:
            raise FaultError(f"{', '.join(same)}: {wanted} already, so that nothing would change")

    async def _end(self, node: Node, strike: Strike) -> Exit:
        if self.by == "kill":
            strike.hit(node, "SIGKILL")
            return await node.kill(EFFECT_LIMIT_S)
        if self.by == "stop":
            strike.hit(node, node.stop_signal)
            return await node.stop(EFFECT_LIMIT_S)
        node.expect_exit()
        strike.hit(node, "SIGUSR2")
        await node.lame_duck()
        return await node.wait_exit(LAME_DUCK_LIMIT_S)

    async def _see(self, node: Node, before: str, cluster: Cluster, strike: Strike) -> None:
        """Return once the node is healthy and says that it is the release it was started as."""
        try:
            await node.wait_healthy(START_LIMIT_S)
        except ServerError as error:
            raise FaultError(str(error)) from error
        said = await _version_of(node)
        if said != node.version or said == before:
            raise FaultError(
                f"{node.name} says that it is {said}; it was {before} and was started as "
                f"{node.version}"
            )
        for fact in cluster.describe():
            if fact["name"] == node.name:
                strike.record("server.described", **fact)
        strike.effect(node, f"says that it is nats-server {said}, was {before}")
        strike.undo(node, "healthy and routed to every running peer; stays what it became")


async def _version_of(node: Node) -> str:
    """Return what the server says it is; FaultError when it says nothing."""
    try:
        said = (await Monitor(node.endpoints.monitor).get("/varz", ASK_LIMIT_S)).body
    except ServerError as error:
        raise FaultError(str(error)) from error
    return str(said.get("version"))
