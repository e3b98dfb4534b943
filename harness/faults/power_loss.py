"""Power loss: servers die at one instant, and what they had not synced is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from harness.cluster.disks import Loss
from harness.cluster.protocols import Capability, Cluster, Node
from harness.faults.base import EFFECT_LIMIT_S, Strike, on_each, require_running, undone
from harness.faults.storage import (
    HEALTHY_LIMIT_S,
    StorageFault,
    bring_back,
    describe_loss,
    hold_down,
    kill_together,
)


class PowerLoss(StorageFault):
    """Cut the power of the targets (SIGKILL, all at once); what was not synced is gone.

    Each file is left as it was at the last sync of it, and names of files as they were at
    the last sync of anything in the store. After `duration` the servers are started again.

    By which `method` that is so: `shadow`, which `auto` means, follows the servers' own calls
    and needs no root; whatever the kernel might have written back by itself is gone too.
    With `device` each store is on an ext4 of its own on a loop device, whose power is cut: a
    real file system decides what is left, and the servers' calls are not slowed. It needs
    root; what the kernel may write back is told in `harness.backends.disk.device`.
    """

    action: Literal["power-loss"]
    method: Literal["auto", "shadow", "device"] = "auto"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.KILL})
    settle_s: ClassVar[float] = 15.0

    @property
    def needed(self) -> frozenset[Capability]:
        """Return what a backend must be able to do for it by its method."""
        return self.needs | {Capability.DEVICE if self.cuts_devices else Capability.DISK}

    @property
    def cuts_devices(self) -> bool:  # type: ignore[override]  # of other faults it is the same always
        """Tell whether stores have to be on devices of their own."""
        return self.method == "device"

    @property
    def watches_disk(self) -> bool:  # type: ignore[override]  # as above
        """Tell whether servers' calls have to be seen."""
        return not self.cuts_devices

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the nodes down, proven by their ends and by what was dropped."""
        del cluster
        require_running(strike.nodes)
        if self.watches_disk:

            async def look(node: Node) -> None:
                await node.disk.look(EFFECT_LIMIT_S)  # what is not followed cannot be dropped

            await on_each(strike.nodes, look)
        by = "device" if self.cuts_devices else "shadow"
        undo = undone(lambda: bring_back(strike), f"{self.name}: starting again", HEALTHY_LIMIT_S)
        async with undo:
            ended = await kill_together(strike, f"power loss by {by}")

            async def lose(node: Node) -> None:
                loss = await self._lose(node)
                kept = "on its disk" if self.cuts_devices else "synced"
                dropped = f"nothing was dropped, for all was {kept}"
                if loss.files:
                    dropped = f"not synced and dropped: {describe_loss(loss)}"
                strike.effect(node, f"{ended[node.name]}; {dropped} (by {by})")

            await on_each(strike.nodes, lose)
            hold_down(strike)
            yield

    async def _lose(self, node: Node) -> Loss:
        if self.cuts_devices:
            return await node.disk.cut_power(EFFECT_LIMIT_S)
        return await node.disk.lose_unsynced(EFFECT_LIMIT_S)
