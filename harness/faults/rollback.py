"""Rollback: a server comes back with its store as it was some time ago."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from pydantic import field_validator

from harness.clock import now_ns, seconds, sleep_until
from harness.cluster.disks import Copy
from harness.cluster.protocols import Capability, Cluster, Node
from harness.errors import FaultError
from harness.faults.base import EFFECT_LIMIT_S, Strike, on_each, require_running, undone
from harness.faults.storage import (
    HEALTHY_LIMIT_S,
    StorageFault,
    bring_back,
    describe_loss,
    hold_down,
    kill_together,
    syncs_always,
)
from harness.scenario.model import ClusterSpec
from harness.scenario.quantities import Duration
from harness.units import format_duration, human_duration

LEAST_S = 0.1
COPY_S = 0.1  # how long before its time a copy is begun
LATE_S = 0.5  # by which a copy may miss its time, and by a tenth


class Rollback(StorageFault):
    """Set the targets' stores back to what they were `back` before `at`.

    That is a disk or a virtual machine that is restored from a snapshot, or a disk that had
    told of writes that were only in its cache. For the snapshot the server stands still
    (SIGSTOP) while its store is copied; all that it had written by then is in it, whether
    synced or not. At `at` the server is killed and its store replaced; after `duration` it
    is started again.
    """

    action: Literal["rollback"]
    back: Duration
    needs: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.KILL, Capability.PAUSE, Capability.ROLLBACK}
    )
    settle_s: ClassVar[float] = 15.0
    watches_disk: ClassVar[bool] = False

    @property
    def lead_s(self) -> float:  # type: ignore[override]  # of most faults it is the same always
        """Return how long before its time it begins."""
        return self.back + COPY_S

    @field_validator("back")
    @classmethod
    def _require_a_past(cls, back: float) -> float:
        if back < LEAST_S:
            raise ValueError(
                f"expected at least {format_duration(LEAST_S)}, found {format_duration(back)}"
            )
        return back

    def unmet(self, cluster: ClusterSpec) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield why it would be no fault that a disk can have."""
        yield from super().unmet(cluster)
        if syncs_always(cluster):
            message = (
                "an honest disk does not forget what was synced, and with sync_interval: always "
                "everything is; say power-loss, or another sync_interval"
            )
            yield ("action",), message

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the nodes down, proven by their ends and by what they have forgotten."""
        del cluster
        require_running(strike.nodes)
        copies = await self._copy_all(strike)
        await sleep_until(strike.due_ns)
        require_running(strike.nodes)
        undo = undone(lambda: bring_back(strike), f"{self.name}: starting again", HEALTHY_LIMIT_S)
        async with undo:
            struck_ns = now_ns()
            ended = await kill_together(strike, f"rollback by {format_duration(self.back)}")
            forgotten: list[int] = []

            async def put_back(node: Node) -> None:
                loss = await node.disk.put_back(EFFECT_LIMIT_S)
                forgotten.append(loss.files)
                at_ns, copy = copies[node.name]
                past_s = seconds(struck_ns - at_ns)
                forgot = f"{describe_loss(loss)} forgotten" if loss.files else "nothing to forget"
                strike.effect(
                    node,
                    f"{ended[node.name]}; {copy.files} files set back by {human_duration(past_s)}: "
                    f"{forgot}; stood still for {human_duration(copy.stopped_s)} to be copied",
                )

            await on_each(strike.nodes, put_back)
            if not any(forgotten):
                raise FaultError(
                    "nothing had been written since the copy, so nothing was set back: use a "
                    "node that has a replica, more load, or a longer `back`"
                )
            hold_down(strike)
            yield

    async def _copy_all(self, strike: Strike) -> dict[str, tuple[int, Copy]]:
        """Copy the stores; return when each was copied, in ns, and what was."""
        copies: dict[str, tuple[int, Copy]] = {}
        due_ns = strike.due_ns - round(self.back * 1e9)
        await sleep_until(due_ns)

        async def copy(node: Node) -> None:
            done = await node.disk.copy(EFFECT_LIMIT_S)
            copies[node.name] = (now_ns(), done)

        await on_each(strike.nodes, copy)
        for name, (at_ns, _) in copies.items():
            late_s = seconds(at_ns - due_ns)
            if late_s > LATE_S + 0.1 * self.back:
                raise FaultError(
                    f"the store of {name} was copied {human_duration(late_s)} late, so that it "
                    f"would not be set back by {format_duration(self.back)}: let more time pass "
                    "before the fault"
                )
        return copies
