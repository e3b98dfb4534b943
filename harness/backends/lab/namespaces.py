"""The Linux calls that Python 3.11 lacks: unshare, setns, mount, umount, syncfs, prctl."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000
MS_SLAVE = 0x8_0000

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags: int) -> None:
    """Put the calling thread into new namespaces (unshare(2)); OSError when refused."""
    _check(_libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Put the calling thread into an existing namespace (setns(2)); OSError when refused."""
    _check(_libc.setns(descriptor, kind), "setns")


def mount(
    source: str, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    """Mount a file system or change how one is shared (mount(2)); OSError when refused."""
    encoded, said = (None if text is None else text.encode() for text in (kind, options))
    result = _libc.mount(source.encode(), target.encode(), encoded, ctypes.c_ulong(flags), said)
    _check(result, f"mount {target}")


def unmount(target: str) -> None:
    """Unmount what is mounted there last (umount(2)); OSError when it is in use."""
    _check(_libc.umount2(target.encode(), 0), f"umount {target}")


def syncfs(descriptor: int) -> None:
    """Write all of a file system that is not written yet (syncfs(2)); OSError when it fails."""
    _check(_libc.syncfs(descriptor), "syncfs")


def set_parent_death_signal(number: int) -> None:
    """Have the kernel signal this process when the thread that forked it ends (prctl(2))."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0), "prctl")


def open_network() -> int:
    """Return a descriptor of the calling thread's network namespace; the caller closes it."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def inside(network: int, home: int) -> Iterator[None]:
    """Run the body in another network namespace; it must not await.

    Sockets and processes made in the body live there. Threads other than the calling
    one are not moved.
    """
    setns(network, CLONE_NEWNET)
    try:
        yield
    finally:
        setns(home, CLONE_NEWNET)


def new_network(home: int) -> int:
    """Make a network namespace and return its descriptor; the calling thread stays at home."""
    unshare(CLONE_NEWNET)
    try:
        return open_network()
    finally:
        setns(home, CLONE_NEWNET)
