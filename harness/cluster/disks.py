"""The disk that one server keeps its store on, and what was seen of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["syncs", "writes"]


@dataclass(frozen=True)
class DiskLook:
    """What a server's process has asked of its store since it was first started.

    Attributes:
        syncs: how many calls asked for something to be synced.
        writes: how many wrote at an offset.
        refused: how many were refused, since the disk was said to be full.
        delayed: how many were made to wait.
        median_delay_s: how long these took, in the middle, since the disk was slowed; None
            where none has ended.
    """

    syncs: int
    writes: int
    refused: int
    delayed: int
    median_delay_s: float | None = None


@dataclass(frozen=True)
class Loss:
    """What a store no longer has: files that are not as they were, and bytes of them.

    Bytes are counted by blocks of 4 KiB where they changed, and exactly where files end.
    """

    files: int
    dropped_bytes: int


@dataclass(frozen=True)
class Copy:
    """A copy of a store: what it holds, and for how many seconds the server stood still."""

    files: int
    size_bytes: int
    stopped_s: float


class Disk(Protocol):
    """The disk of one server.

    Every call raises FaultError when it cannot be done. All but those about copies need a
    server that was started under a filter of its system calls, and `cut_power` one whose
    store is on a device of its own; the backend is told of either beforehand, see
    `harness.cluster.protocols.Backend`.
    """

    async def look(self, limit_s: float) -> DiskLook:
        """Return what was seen of the disk so far."""

    async def lose_unsynced(self, limit_s: float) -> Loss:
        """Set the store of a server that does not run back to what was synced."""

    async def cut_power(self, limit_s: float) -> Loss:
        """Cut the power of the device that the store of a server that does not run is on."""

    async def fill(self, limit_s: float) -> DiskLook:
        """Let no call that would take room in the store succeed from now on (ENOSPC)."""

    async def free(self, limit_s: float) -> DiskLook:
        """Let there be room again; return what was refused."""

    async def slow(self, delay_s: float, kinds: Collection[Kind], limit_s: float) -> DiskLook:
        """Let each call of these kinds take `delay_s` seconds longer from now on."""

    async def quicken(self, limit_s: float) -> DiskLook:
        """Let calls take no longer than they do; return what was delayed."""

    async def copy(self, limit_s: float) -> Copy:
        """Copy the store, while the server's process stands still, in place of an older copy."""

    async def put_back(self, limit_s: float) -> Loss:
        """Let the store of a server that does not run be what was copied."""
