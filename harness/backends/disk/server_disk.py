"""The disk of one server that is a child process of the harness."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread

from harness.backends.disk import trees
from harness.backends.disk.device import Device
from harness.backends.disk.holder import Holder, interposed, serve_argv
from harness.backends.server_process import ServerProcess
from harness.clock import now_ns, seconds
from harness.cluster.disks import Copy, DiskLook, Kind, Loss
from harness.errors import FaultError, ServerError
from harness.scopes import bounded_cleanup

if TYPE_CHECKING:  # the nodes that this is a part of
    from harness.backends.process_node import Launch

T = TypeVar("T")


class ServerDisk:
    """The disk of one server; implements `harness.cluster.disks.Disk`.

    Beside the store lie the shadow of what is synced of it and, once one was asked for, a
    copy; they go with the stores.
    """

    def __init__(
        self,
        server: ServerProcess,
        store: Path,
        *,
        watched: bool,
        launch: Launch,
        log: Path,
        on_exit: Callable[[], None],
        device: Device | None = None,
    ) -> None:
        """Make the disk of a server that was not started yet.

        Args:
            server: whose disk it is.
            store: where its data is.
            watched: whether its calls wait for an answer, which costs each some 0.1 ms.
            launch: how programs are started where it runs.
            log: what is said when answering breaks.
            on_exit: called when what answers has ended.
            device: what the store is on, where that is a device of its own.
        """
        self._server = server
        self._store = store
        self._watched = watched
        self._launch = launch
        self._log = log
        self._on_exit = on_exit
        self._device = device
        self._holder: Holder | None = None

    @property
    def watched(self) -> bool:
        """Tell whether its calls wait for an answer."""
        return self._watched

    @property
    def on_device(self) -> bool:
        """Tell whether the store is on a device of its own."""
        return self._device is not None

    @property
    def why_broken(self) -> ServerError | None:
        """Return why the server's calls fail without an answer; None when they do not."""
        holder = self._holder
        return holder.why_broken() if holder is not None and holder.broken else None

    def prepare(self, argv: Sequence[str]) -> tuple[list[str], int | None]:
        """Return how to start the server, and what its stdin must be, if that matters."""
        if not self._watched:
            return [*argv], None
        if self._holder is None:
            program = serve_argv(self._store, self._beside("shadow"))
            self._holder = Holder(
                self._server.name, program, self._launch, self._log, self._on_exit
            )
        return interposed(argv, self._holder.pid), self._holder.intake

    async def close(self) -> None:
        """End what answers; call it once the server has ended."""
        if self._holder is not None:
            await self._holder.end()

    async def look(self, limit_s: float) -> DiskLook:
        """Return what was seen of the disk so far."""
        return _read_look(await self._order("look", limit_s))

    async def lose_unsynced(self, limit_s: float) -> Loss:
        """Set the store back to what was synced; see the protocol."""
        self._require_gone()
        told = await self._order("lose", limit_s)
        await self._settle()
        return Loss(told["files"], told["dropped_bytes"])

    async def cut_power(self, limit_s: float) -> Loss:
        """Cut the power of its device; see the protocol."""
        self._require_gone()
        name, store, device = self._server.name, self._store, self._device
        if device is None:
            raise FaultError(f"{name} was not started with its store on a device of its own")
        if self._holder is not None:
            await self._order("release", limit_s)
        cut = f"cutting the power of the device of {name}"
        loss = await _in_thread(lambda: device.cut_power(store, limit_s), cut)
        if self._holder is not None:
            await self._order("rebase", limit_s)
        return loss

    async def fill(self, limit_s: float) -> DiskLook:
        """Let nothing succeed that takes room; see the protocol."""
        return _read_look(await self._order("fill", limit_s, on=True))

    async def free(self, limit_s: float) -> DiskLook:
        """Let there be room again; see the protocol."""
        return _read_look(await self._order("fill", limit_s, on=False))

    async def slow(self, delay_s: float, kinds: Collection[Kind], limit_s: float) -> DiskLook:
        """Delay calls of these kinds; see the protocol."""
        calls = sorted(kinds)
        return _read_look(await self._order("slow", limit_s, delay_s=delay_s, calls=calls))

    async def quicken(self, limit_s: float) -> DiskLook:
        """Delay nothing any more; see the protocol."""
        return _read_look(await self._order("slow", limit_s, delay_s=0.0, calls=[]))

    async def copy(self, limit_s: float) -> Copy:
        """Copy the store while the server stands still; see the protocol."""
        store, target = self._store, self._beside("copy")
        what = f"copying the store of {self._server.name}"
        await _in_thread(lambda: trees.remove(target), what)
        began_ns = now_ns()
        try:
            await self._server.pause(limit_s)
            await _in_thread(lambda: trees.copy(store, target), what)
        finally:
            with bounded_cleanup(limit_s, f"thawing {self._server.name}", FaultError):
                await self._server.resume(limit_s)
        stopped_s = seconds(now_ns() - began_ns)
        sizes = [one.stat().st_size for one in trees.files_below(target).values()]
        return Copy(len(sizes), sum(sizes), stopped_s)

    async def put_back(self, limit_s: float) -> Loss:
        """Let the store be what was copied; see the protocol."""
        self._require_gone()
        store, copied = self._store, self._beside("copy")
        if not copied.exists():
            raise FaultError(f"nothing was copied of the store of {self._server.name}")
        what = f"putting the store of {self._server.name} back"
        loss = await _in_thread(lambda: trees.exchange(store, copied), what)
        await self._settle()
        if self._holder is not None:
            await self._order("rebase", limit_s)
        return loss

    async def _settle(self) -> None:
        """Have what was put in place of the store last: a disk had it before this began."""
        if self._device is not None:
            await _in_thread(self._device.sync, f"syncing the device of {self._server.name}")

    def _beside(self, what: str) -> Path:
        return self._store.with_name(f"{self._store.name}.{what}")

    def _require_gone(self) -> None:
        if self._server.process is not None:
            raise FaultError(f"{self._server.name} runs, and its store is its own")

    async def _order(self, do: str, limit_s: float, **facts: Any) -> dict[str, Any]:
        if self._holder is None:
            raise FaultError(
                f"{self._server.name} was not started so that something can be done to its disk"
            )
        return await self._holder.order(do, limit_s, **facts)


def _read_look(told: dict[str, Any]) -> DiskLook:
    return DiskLook(
        syncs=told["syncs"],
        writes=told["writes"],
        refused=told["refused"],
        delayed=told["delayed"],
        median_delay_s=told["median_delay_s"],
    )


async def _in_thread(act: Callable[[], T], what: str) -> T:
    """Return what `act` does beside the event loop; FaultError when files are in the way."""
    try:
        return await anyio.to_thread.run_sync(act)
    except OSError as error:
        raise FaultError(f"{what} failed: {error.strerror or error}") from error
