"""The Linux calls that Python 3.11 lacks: unshare, setns, mount, prctl."""

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


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    """Mount a file system or change how one is shared (mount(2)); OSError when refused."""
    encoded = None if kind is None else kind.encode()
    result = _libc.mount(source.encode(), target.encode(), encoded, ctypes.c_ulong(flags), None)
    _check(result, f"mount {target}")


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
