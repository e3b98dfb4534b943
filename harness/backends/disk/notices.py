"""Notices of system calls that wait for an answer (seccomp_unotify(2))."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

RECEIVE, SEND, VALID = 0xC0502100, 0xC0182101, 0x40082102
NOTICE_BYTES = 80
CONTINUE = 1
PATH_BYTES = 4096
WORKING_FOLDER = -100  # AT_FDCWD


@dataclass(frozen=True)
class Notice:
    """A call that waits: its number, its arguments, and the thread that made it."""

    listener: int
    id: int
    thread: int
    number: int
    arguments: tuple[int, ...]

    def let(self) -> None:
        """Let the call be done."""
        self._answer(0, CONTINUE)

    def refuse(self, error: int) -> None:
        """Have the call fail with `error`."""
        self._answer(-error, 0)

    @property
    def valid(self) -> bool:
        """Tell whether it still waits: its thread may have been killed."""
        try:
            fcntl.ioctl(self.listener, VALID, struct.pack("=Q", self.id))
        except OSError:
            return False
        return True

    def _answer(self, error: int, flags: int) -> None:
        with contextlib.suppress(OSError):  # nobody waits for it any more
            fcntl.ioctl(self.listener, SEND, struct.pack("=QqiI", self.id, 0, error, flags))

    def file(self, argument: int) -> str:
        """Return a path by which the file of a descriptor can be reached."""
        return f"/proc/{self.thread}/fd/{signed(self.arguments[argument])}"

    def path(self, argument: int, folder: int) -> str:
        """Return the absolute path that an argument says; OSError when it cannot be read."""
        memory = os.open(f"/proc/{self.thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = _read_text(memory, self.arguments[argument])
        finally:
            os.close(memory)
        if text.startswith("/"):
            return os.path.normpath(text)
        base = WORKING_FOLDER if folder < 0 else signed(self.arguments[folder])
        where = "cwd" if base == WORKING_FOLDER else f"fd/{base}"
        return os.path.normpath(Path(f"/proc/{self.thread}/{where}").readlink() / text)


def receive(listener: int) -> Notice | None:
    """Return the next notice; None when there is none after all. Call it when one is announced."""
    buffer = bytearray(NOTICE_BYTES)
    try:
        fcntl.ioctl(listener, RECEIVE, buffer, True)
    except OSError:
        return None
    id_, thread, _, number, _, _ = struct.unpack_from("=QIIiIQ", buffer)
    return Notice(listener, id_, thread, number, struct.unpack_from("=6Q", buffer, 32))


def signed(argument: int) -> int:
    """Return an argument that is an int, of whose register only the low half counts."""
    low = argument & 0xFFFFFFFF
    return low - (1 << 32) if low & 0x80000000 else low


def _read_text(memory: int, address: int) -> str:
    """Read text that ends with a zero byte, page after page: the next one may not exist."""
    text = b""
    while b"\0" not in text and len(text) < PATH_BYTES:
        here = address + len(text)
        piece = os.pread(memory, PATH_BYTES - here % PATH_BYTES, here)
        if not piece:
            break
        text += piece
    return os.fsdecode(text.partition(b"\0")[0])
