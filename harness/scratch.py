"""Temporary folders that end with the process that made them, and soon after it if it was killed.

Each is locked for as long as its owner lives, or a child that its owner forked: the kernel lets
go of the lock (flock(2)) however they end. A folder that nobody locks was left behind and is
swept away by whoever comes next.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "nats-harness-held-"


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder for the body; sweep away what dead processes left."""
    sweep()
    folder, lock = hold(_place(), PREFIX)
    try:
        yield folder
    finally:
        _remove(folder, lock)


def lasting_scratch() -> Path:
    """Return a folder that lasts as long as this process; sweep away what dead ones left."""
    sweep()
    folder, lock = hold(_place(), PREFIX)
    atexit.register(_remove, folder, lock)
    return folder


def lies_in_scratch(path: Path) -> bool:
    """Tell whether a path leads into such a folder, which will not last."""
    return any(part.startswith(PREFIX) for part in path.parts)


def sweep() -> None:
    """Remove the folders that this user's dead processes left; what resists is passed over."""
    for folder in abandoned(_place(), PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def abandoned(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield the folders that this user's dead processes left; each is ours until the next."""
    for folder in sorted(parent.glob(f"{prefix}*")):
        try:
            lock = _open(folder)
        except OSError:
            continue  # another sweep was faster, or it is not ours
        try:
            if os.fstat(lock).st_uid == os.geteuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield folder
        except BlockingIOError:
            continue  # its owner lives
        finally:
            os.close(lock)


def hold(parent: Path, prefix: str) -> tuple[Path, int]:
    """Return a new folder in `parent` and the descriptor whose lock it is held by."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            lock = _open(folder)
        except FileNotFoundError:
            continue  # a sweep came before the lock
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink and folder.exists():
            return folder, lock
        os.close(lock)


def _place() -> Path:
    return Path(tempfile.gettempdir())


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
