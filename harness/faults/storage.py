"""What faults of a server's store have in common: that there is one, and how it comes back."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from harness.cluster.disks import Loss
from harness.cluster.protocols import Capability, Node
from harness.errors import FaultError
from harness.faults.base import EFFECT_LIMIT_S, Fault, Strike, describe_exit, on_each, start_again
from harness.scenario.model import ClusterSpec, JetStream
from harness.units import format_size

# Without a majority of servers that know each other there is no meta leader, and none is
# healthy: an election takes up to 9 s, and the first one may fail.
HEALTHY_LIMIT_S = 28.0
ALWAYS = "always"
KILLED = -9


class StorageFault(Fault, ABC):
    """Be the base of faults of the store, which only servers with JetStream have."""

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.DISK})
    watches_disk: ClassVar[bool] = True

    def unmet(self, cluster: ClusterSpec) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield that there is no store to strike, where there is none."""
        if cluster.compose is None and cluster.attach is None and settings_of(cluster) is None:
            message = "needs JetStream, for without it a server stores nothing: cluster.jetstream"
            yield ("action",), message


class QuietStorageFault(StorageFault, ABC):
    """Be the base of those under which servers run on and connections live on."""

    @property
    def strikes_clients(self) -> bool:
        """Tell that connections live on: nobody has to fail over."""
        return False


def settings_of(cluster: ClusterSpec) -> Mapping[str, Any] | None:
    """Return JetStream's settings, as far as the scenario gives any; None where it is off."""
    free = next((one for key, one in cluster.config.items() if key.lower() == "jetstream"), None)
    said = {str(key).lower(): one for key, one in free.items()} if isinstance(free, Mapping) else {}
    if isinstance(cluster.jetstream, JetStream):
        own = {"sync_interval": cluster.jetstream.sync_interval}
        return {key: one for key, one in own.items() if one is not None} | said
    off = (None, False, "false", "disabled", "disable", "no", "off")
    is_off = free in off if isinstance(free, str | bool | None) else False
    return None if cluster.jetstream is False and is_off else said


def syncs_always(cluster: ClusterSpec) -> bool:
    """Tell whether each write is synced before it is acknowledged."""
    return str((settings_of(cluster) or {}).get("sync_interval")).lower() == ALWAYS


def describe_loss(loss: Loss) -> str:
    """Return what is gone, for proof."""
    files = f"{loss.files} file{'' if loss.files == 1 else 's'}"
    return f"{format_size(loss.dropped_bytes)} in {files}"


async def kill_together(strike: Strike, how: str) -> Mapping[str, str]:
    """Kill all struck nodes at one instant; return how each ended.

    Raises:
        FaultError: one does not end, or ended otherwise.
    """
    ended: dict[str, str] = {}

    async def kill(node: Node) -> None:
        left = await node.kill(EFFECT_LIMIT_S)
        ended[node.name] = describe_exit(left)
        if left.returncode != KILLED:
            raise FaultError(f"{node.name} {ended[node.name]}, expected signal 9")

    for node in strike.nodes:
        strike.hit(node, how)
    await on_each(strike.nodes, kill)  # each signal is sent before anything is waited for
    return ended


def hold_down(strike: Strike) -> None:
    """Have it looked at, right before the heal, whether the struck nodes are still down."""

    async def look() -> None:
        for node in strike.nodes:
            if node.running:
                raise FaultError(f"{node.name} runs again, though nobody started it")
            strike.held(node, "still down")

    strike.still(look)


async def bring_back(strike: Strike) -> None:
    """Start the struck nodes that are down; return once each is healthy in the cluster."""
    await start_again(strike, HEALTHY_LIMIT_S)
