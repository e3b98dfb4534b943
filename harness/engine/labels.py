"""The labels that say what on an Engine is ours, of which run, and who must be alive for it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PREFIX = "io.nats-harness."
RUN = f"{PREFIX}run"
OWNER = f"{PREFIX}owner"
ROLE = f"{PREFIX}role"
_OWNER = re.compile(r"([^/]+)/(\d+)/(\d+)/(\d+)")
_START_FIELD = 19  # of /proc/PID/stat, counted after the closing bracket of the name


@dataclass(frozen=True)
class Owner:
    """The process that made something, so that it can be told whether it lives.

    Attributes:
        boot: the id of its machine's boot.
        space: the pid namespace that `pid` is a number of.
        pid: its id, which is given out again one day.
        started: when it started, in clock ticks since the boot; with it, `pid` is its own.
    """

    boot: str
    space: str
    pid: int
    started: int

    def __str__(self) -> str:
        return f"{self.boot}/{self.space}/{self.pid}/{self.started}"

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Return the owner that `text` names; None when it names none."""
        match = _OWNER.fullmatch(text)
        if match is None:
            return None
        return cls(match[1], match[2], int(match[3]), int(match[4]))

    @property
    def here(self) -> bool:
        """Tell whether its pid means something here: this machine, boot and pid namespace."""
        return (self.boot, self.space) == (boot_id(), pid_space())

    @property
    def alive(self) -> bool:
        """Tell whether the process still runs; of one that is not `here` nobody can tell."""
        return self.here and started_at(self.pid) == self.started


def this_owner() -> Owner:
    """Return this process as an owner."""
    started = started_at(os.getpid())
    assert started is not None, "this process is not in /proc"
    return Owner(boot_id(), pid_space(), os.getpid(), started)


def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def pid_space() -> str:
    """Return the name of this process's pid namespace, such as ``4026531836``."""
    return "".join(filter(str.isdigit, str(Path("/proc/self/ns/pid").readlink())))


def started_at(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the boot; None when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[_START_FIELD])


def labels(run: str, role: str) -> Mapping[str, str]:
    """Return the labels of what a run makes; `role` says what it is for."""
    return {RUN: run, OWNER: str(this_owner()), ROLE: role}
