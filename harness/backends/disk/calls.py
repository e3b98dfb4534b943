"""The system calls by which a process changes files, and the filter that reports them.

The filter (seccomp(2), user notification) lets everything pass but these; each of these
waits until the holder of its listener has answered. Numbers are those of the kernel's
tables of system calls for each machine.
"""

from __future__ import annotations

import os
import platform
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import FaultError

RETURN_NOTIFY, RETURN_ALLOW = 0x7FC00000, 0x7FFF0000
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06  # of the classic BPF (linux/filter.h)
NUMBER_AT, MACHINE_AT, ARGUMENTS_AT = 0, 4, 16  # of struct seccomp_data
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
REMEDY = "needs Linux 5.5 or later on x86-64 or aarch64, with /proc of one's own processes"


class Call(StrEnum):
    """What a call does, whatever the machine calls it."""

    SYNC = "sync"  # of one file or folder
    SYNC_ALL = "sync-all"
    WRITE = "write"  # at an offset
    CHANGE = "change"  # of a file's content in another way
    CUT = "cut"  # to a length
    OPEN = "open"  # to write or create
    NAME = "name"  # folders made, and names removed or added
    RENAME = "rename"


@dataclass(frozen=True)
class Shape:
    """What a call does, and which of its arguments say on what.

    Attributes:
        call: what it does.
        file: the argument that is a descriptor; -1 where there is none.
        path: the argument that is a path, relative to `folder`; -1 where there is none.
        folder: the argument that is a folder's descriptor; -1 for the working folder.
        value: the argument with a size and then an offset, a length, or the flags.
        creates: whether it needs room for a new name.
    """

    call: Call
    file: int = -1
    path: int = -1
    folder: int = -1
    value: int = -1
    creates: bool = False


_SHAPES: Mapping[str, Shape] = {
    "fsync": Shape(Call.SYNC, file=0),
    "fdatasync": Shape(Call.SYNC, file=0),
    "sync": Shape(Call.SYNC_ALL),
    "syncfs": Shape(Call.SYNC_ALL),
    "pwrite64": Shape(Call.WRITE, file=0, value=2),
    "pwritev": Shape(Call.CHANGE, file=0),
    "pwritev2": Shape(Call.CHANGE, file=0),
    "fallocate": Shape(Call.CHANGE, file=0),
    "copy_file_range": Shape(Call.CHANGE, file=2),
    "ftruncate": Shape(Call.CUT, file=0, value=1),
    "truncate": Shape(Call.CUT, path=0, value=1),
    "open": Shape(Call.OPEN, path=0, value=1),
    "openat": Shape(Call.OPEN, path=1, folder=0, value=2),
    "mkdir": Shape(Call.NAME, path=0, creates=True),
    "mkdirat": Shape(Call.NAME, path=1, folder=0, creates=True),
    "unlink": Shape(Call.NAME, path=0),
    "unlinkat": Shape(Call.NAME, path=1, folder=0),
    "rmdir": Shape(Call.NAME, path=0),
    "link": Shape(Call.NAME, path=1, creates=True),
    "linkat": Shape(Call.NAME, path=3, folder=2, creates=True),
    "rename": Shape(Call.RENAME, path=0),
    "renameat": Shape(Call.RENAME, path=1, folder=0),
    "renameat2": Shape(Call.RENAME, path=1, folder=0),
}


@dataclass(frozen=True)
class Machine:
    """A kind of machine: how seccomp names it, and its numbers of calls."""

    audit: int
    seccomp: int
    numbers: Mapping[str, int]

    @property
    def shapes(self) -> Mapping[int, Shape]:
        """Return what each reported call does, by its number."""
        return {number: _SHAPES[name] for name, number in self.numbers.items()}

    def program(self) -> bytes:
        """Return the filter: struct sock_filter after struct sock_filter."""
        opens = [(name, self.numbers[name]) for name in ("open", "openat") if name in self.numbers]
        opened = {number for _, number in opens}
        plain = [number for number in self.numbers.values() if number not in opened]
        steps: list[tuple[int, int, int, int]] = []
        tail = 3 * len(opens)  # steps that look at what a file is opened for
        for place, number in enumerate(plain):
            steps.append((EQUAL, len(plain) - place + tail, 0, number))
        for place, (name, number) in enumerate(opens):
            flags = ARGUMENTS_AT + 8 * _SHAPES[name].value
            left = 3 * (len(opens) - place - 1)
            steps.append((EQUAL, 0, 2, number))
            steps.append((LOAD, 0, 0, flags))
            steps.append((ANY_BIT, left + 1, left, WRITES))
        steps += [(RETURN, 0, 0, RETURN_ALLOW), (RETURN, 0, 0, RETURN_NOTIFY)]
        head = [
            (LOAD, 0, 0, MACHINE_AT),
            (EQUAL, 0, len(steps) - 1, self.audit),  # else to the step that allows
            (LOAD, 0, 0, NUMBER_AT),
        ]
        return b"".join(struct.pack("=HBBI", *step) for step in (*head, *steps))


_MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine(
        0xC000003E,
        317,
        {
            "open": 2,
            "pwrite64": 18,
            "fsync": 74,
            "fdatasync": 75,
            "truncate": 76,
            "ftruncate": 77,
            "rename": 82,
            "mkdir": 83,
            "rmdir": 84,
            "link": 86,
            "unlink": 87,
            "sync": 162,
            "openat": 257,
            "mkdirat": 258,
            "unlinkat": 263,
            "renameat": 264,
            "linkat": 265,
            "fallocate": 285,
            "pwritev": 296,
            "syncfs": 306,
            "renameat2": 316,
            "copy_file_range": 326,
            "pwritev2": 328,
        },
    ),
    "aarch64": Machine(
        0xC00000B7,
        277,
        {
            "mkdirat": 34,
            "unlinkat": 35,
            "linkat": 37,
            "renameat": 38,
            "truncate": 45,
            "ftruncate": 46,
            "fallocate": 47,
            "openat": 56,
            "pwrite64": 68,
            "pwritev": 70,
            "sync": 81,
            "fsync": 82,
            "fdatasync": 83,
            "syncfs": 267,
            "renameat2": 276,
            "copy_file_range": 285,
            "pwritev2": 287,
        },
    ),
}


def this_machine() -> Machine:
    """Return the machine this runs on; FaultError where its calls are not known."""
    name = platform.machine()
    if sys.platform != "linux" or name not in _MACHINES:
        known = " and ".join(_MACHINES)
        raise FaultError(f"system calls are known for Linux on {known}, and this is {name}")
    return _MACHINES[name]
