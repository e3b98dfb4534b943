"""A disk of its own for the store of one server, whose power can be cut: ext4 on a loop device.

Cutting the power is the file system's own shutdown without a flush of its journal
(FS_IOC_SHUTDOWN, "the power is gone now"), then unmounting and mounting again, which
recovers the journal as after a real loss. What is left is what the kernel had written, so
beside all that was synced there may be what it wrote back by itself. Of that is kept from
it what a mount can say:

- commits of the journal by time (`commit`), which would make names and sizes last every 5 s;
- writing a file out early because it replaces another (`noauto_da_alloc`), and the
  initialisation of tables in the background (`noinit_itable`).

Left is: pages that have been dirty for `vm.dirty_expire_centisecs` (30 s as a rule), or all
when more memory is dirty than `vm.dirty_background_ratio` says, are written; these settings
are the machine's and are left alone. That alone makes nothing last: a file's size and its
blocks are in the journal, and without a commit they are as before. But *any* sync of the
store commits the journal, and with it what was written back until then of other files.

Nothing outlives the processes that use it: the image never has a name, the mount is in a
mount namespace of the harness's own, and the loop device frees itself when it is unmounted
(LO_FLAGS_AUTOCLEAR). It needs root of the machine, which root of a user namespace is not.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio.to_thread

from harness.backends.disk import trees
from harness.backends.lab import namespaces as ns
from harness.backends.lab.enter import inside_lab
from harness.cluster.disks import Loss
from harness.errors import CapabilityError, FaultError, ServerError
from harness.scopes import bounded_cleanup

# linux/loop.h and linux/fs.h
LOOP_CONFIGURE, LOOP_CTL_GET_FREE, LO_FLAGS_AUTOCLEAR = 0x4C0A, 0x4C82, 4
LOOP_CONFIG = struct.Struct("=2I 5Q4I64s64s32s2Q 8Q")
FS_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
ROOT_INODE = 2  # of ext4
OPTIONS = "commit=86400,noauto_da_alloc,noinit_itable"
TRIES = 50  # others may take a free device first, and its name may come a moment later
TRY_S = 0.02
FORMAT_LIMIT_S = 30.0
UNMOUNT_LIMIT_S = 5.0
CLEANUP_LIMIT_S = 15.0
SIZE_BYTES = 8 << 30  # with a journal so large that it need not be committed for want of room
PROGRAM_PATHS = "/usr/local/sbin:/usr/sbin:/sbin"  # which the PATH of a user may lack
FIX = "run as root of the machine, with e2fsprogs installed and the kernel's loop loaded"

_apart = False


def keep_mounts_apart() -> None:
    """Put this process, and what it starts, into a mount namespace of its own, once.

    Mounts of others still come in, none goes out. Threads that there are stay outside.

    Raises:
        OSError: it is not allowed.
    """
    global _apart  # noqa: PLW0603 - a fact about this process
    if not _apart:
        ns.unshare(ns.CLONE_NEWNS)
        ns.mount("none", "/", None, ns.MS_REC | ns.MS_SLAVE)
        _apart = True


class Device:
    """One mounted disk. Its calls block; all but `close` raise OSError when they fail."""

    def __init__(self, place: Path) -> None:
        """Make one of `SIZE_BYTES`, which takes the room that is used of it, and mount it.

        Args:
            place: where it is mounted.

        Raises:
            CapabilityError: others would see the mount.
            FaultError: no file system can be made.
        """
        if not (_apart or inside_lab()):
            raise CapabilityError("mounts are not kept apart: run this through the backend's host")
        self._place = place
        self._number: int | None = None  # of the device that is mounted
        place.mkdir(parents=True, exist_ok=True)
        self._image = tempfile.TemporaryFile(dir=place.parent)  # noqa: SIM115 - see `close`
        try:
            self._image.truncate(SIZE_BYTES)
            _format(self._image.fileno())
            self._mount()
        except BaseException:
            self._image.close()
            raise

    def cut_power(self, store: Path, limit_s: float) -> Loss:
        """Cut the power of a disk that nobody uses, and turn it on; return what `store` lost.

        What had been written, synced or not, is copied right before, from the page cache.
        """
        seen = self._place.with_name(f"{self._place.name}.seen")
        trees.remove(seen)
        try:
            trees.copy(store, seen)
            self._shut_down()
            self._unmount(limit_s)
            self._mount()
            return trees.compare(seen, store)
        finally:
            trees.remove(seen)

    def sync(self) -> None:
        """Have all that was written last."""
        folder = self._open()
        try:
            ns.syncfs(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Unmount it, which frees the loop device, and with it the image."""
        try:
            if self._number is not None:
                with suppress(OSError):  # it may be broken, or shut down already
                    self._shut_down()  # else all that is going to be thrown away is written first
                self._unmount(UNMOUNT_LIMIT_S)
        except OSError as error:
            raise ServerError(f"{self._place} stays mounted: {error.strerror}") from error
        finally:
            self._image.close()

    def _mount(self) -> None:
        path, device = _attach(self._image.fileno())
        try:  # from here on it lasts as long as it is mounted
            ns.mount(path, str(self._place), "ext4", ns.MS_NOSUID | ns.MS_NODEV, OPTIONS)
            self._number = os.fstat(device).st_rdev
        finally:
            os.close(device)

    def _shut_down(self) -> None:
        folder = self._open()
        try:
            fcntl.ioctl(folder, FS_IOC_SHUTDOWN, struct.pack("=I", NO_LOG_FLUSH))
        finally:
            os.close(folder)

    def _unmount(self, limit_s: float) -> None:
        until_s = time.monotonic() + limit_s
        while True:
            try:
                ns.unmount(str(self._place))
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > until_s:
                    raise
                time.sleep(TRY_S)
            else:
                self._number = None
                return

    def _open(self) -> int:
        """Return a descriptor of its root; of no other file system, whatever happened."""
        folder = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        found = os.fstat(folder)
        if (found.st_dev, found.st_ino) != (self._number, ROOT_INODE):
            os.close(folder)
            raise OSError(errno.ENODEV, "the disk is not mounted there", str(self._place))
        return folder


@asynccontextmanager
async def mounted(folder: Path, nodes: Collection[str]) -> AsyncIterator[Mapping[str, Device]]:
    """Make a disk for each of the nodes, mounted in `folder` by the node's name.

    Raises:
        ServerError: one cannot be made, or stays mounted.
    """
    made: dict[str, Device] = {}
    try:
        for node in nodes:
            try:
                made[node] = await anyio.to_thread.run_sync(Device, folder / node)
            except (OSError, FaultError) as error:
                raise ServerError(f"{node} gets no disk of its own: {_tell(error)}") from error
        yield made
    finally:
        with bounded_cleanup(CLEANUP_LIMIT_S, "unmounting the servers' disks", ServerError):
            await anyio.to_thread.run_sync(_close, made.values())


def _close(devices: Iterable[Device]) -> None:
    """Close all, also when one cannot be."""
    with ExitStack() as closing:
        for device in devices:
            closing.callback(device.close)


def _format(image: int) -> None:
    program = shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', '')}:{PROGRAM_PATHS}")
    if program is None:
        raise FaultError("there is no mkfs.ext4 here (e2fsprogs)")
    lazily = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    try:
        done = subprocess.run(
            [program, "-q", "-F", "-m", "0", "-E", lazily, f"/proc/self/fd/{image}"],
            pass_fds=[image],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FORMAT_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FaultError(f"mkfs.ext4 took longer than {FORMAT_LIMIT_S:g} s") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise FaultError(f"mkfs.ext4: {said[-1]}")


def _attach(image: int) -> tuple[str, int]:
    """Give an image to a loop device that is free; return its path and a descriptor of it.

    The kernel refuses one that somebody else has taken meanwhile (loop(4)).
    """
    name = b"nats-harness"
    info = (0, 0, 0, 0, 0, 0, 0, 0, LO_FLAGS_AUTOCLEAR, name, b"", b"", 0, 0)
    config = LOOP_CONFIG.pack(image, 0, *info, *[0] * 8)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for left in reversed(range(TRIES)):
            path = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
            try:
                return path, _configure(path, config)
            except OSError as error:
                if left == 0 or error.errno not in (errno.EBUSY, errno.ENOENT, errno.ENXIO):
                    raise
            time.sleep(TRY_S)
    finally:
        os.close(control)
    raise AssertionError("the last try returns or raises")


def _configure(path: str, config: bytes) -> int:
    device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, LOOP_CONFIGURE, config)
    except OSError:
        os.close(device)
        raise
    return device


def _tell(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    step = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if isinstance(error, PermissionError):
        return f"only root of the machine may mount ext4, not that of a user namespace ({step})"
    return step


def main(argv: list[str]) -> int:
    """Try in a folder whether a cut keeps what is synced and nothing else; say why not."""
    folder = Path(argv[1])
    store = folder / "disk" / "store"
    try:
        keep_mounts_apart()
        device = Device(store.parent)
        try:
            store.mkdir()
            with (store / "synced").open("wb") as synced, (store / "not").open("wb") as other:
                other.write(b"not")
                synced.write(b"synced")
                synced.flush()
                os.fsync(synced.fileno())
            device.cut_power(store, UNMOUNT_LIMIT_S)
            left = {name: path.read_bytes() for name, path in trees.files_below(store).items()}
        finally:
            device.close()
    except (OSError, FaultError, ServerError) as error:
        sys.stderr.write(f"{_tell(error)}\n")
        return 1
    if left != {"synced": b"synced", "not": b""}:
        sys.stderr.write(f"of 'synced' and 'not' was left {left!r}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
