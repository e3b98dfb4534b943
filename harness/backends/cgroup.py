"""Limit the CPU time of one process by a control group of its own (cgroups(7)).

Version 1 and version 2 are known. A group is made below the process's own or, with version
2, beside it, wherever the kernel lets us. The maker keeps a lock on its folder: what is left
of a harness that was killed is empty and not locked, and the next one removes it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import FaultError

PREFIX = "nats-harness-"
PERIOD_US = 100_000  # as with Docker and Kubernetes
UNLIMITED = {"-1", "max"}
REMOVE_TRIES, REMOVE_GAP_S = 50, 0.01
MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Hierarchy:
    """A mounted hierarchy with the CPU controller: its version, and the group of a process."""

    version: int
    mount: Path
    home: Path

    @property
    def name(self) -> str:
        """Return how it is named in proof."""
        return f"cgroup v{self.version}"

    @property
    def parents(self) -> tuple[Path, ...]:
        """Return where a group for the process may be made, the best place first."""
        # Version 2 gives no CPU controller to the children of a group that has processes.
        beside = self.version != 1 and self.home != self.mount
        return (self.home, self.home.parent) if beside else (self.home,)


@dataclass(frozen=True)
class Group:
    """A control group of our own with one process in it; `lift` ends it."""

    hierarchy: Hierarchy
    folder: Path
    lock: int

    def holds(self, pid: int) -> bool:
        """Tell whether the process is in it, as the kernel says."""
        return str(pid) in _read(self.folder / "cgroup.procs").split()

    def quota(self) -> float | None:
        """Return the CPUs that it lets its processes use, as the kernel says; None: any."""
        if self.hierarchy.version == 1:
            quota = _read(self.folder / "cpu.cfs_quota_us").strip()
            period = _read(self.folder / "cpu.cfs_period_us").strip()
        else:
            quota, period = _read(self.folder / "cpu.max").split()
        return None if quota in UNLIMITED else int(quota) / int(period)

    def counts(self) -> tuple[int, int]:
        """Return how many periods had something to run, and in how many it was held back."""
        rows = (line.split() for line in _read(self.folder / "cpu.stat").splitlines())
        told = {row[0]: int(row[1]) for row in rows}
        return told.get("nr_periods", 0), told.get("nr_throttled", 0)

    def lift(self, pid: int | None) -> None:
        """Move the process back, unless it has ended, and remove the group."""
        try:
            if pid is not None:
                (self.hierarchy.home / "cgroup.procs").write_text(str(pid), encoding="ascii")
            _remove(self.folder)
        except OSError as error:
            raise FaultError(f"{self.folder} cannot be given up: {error.strerror}") from error
        os.close(self.lock)


def limit(pid: int, cpus: float) -> Group:
    """Put a process into a new group that lets it use at most `cpus` CPUs.

    Raises:
        FaultError: no control group of this machine lets us; says why of each.
    """
    reasons = []
    for hierarchy in hierarchies(pid):
        for parent in hierarchy.parents:
            try:
                sweep(parent)
                return _make(hierarchy, parent, pid, cpus)
            except OSError as error:
                reasons.append(f"{hierarchy.name}: {parent}: {error.strerror}")
    raise FaultError("; ".join(reasons) or "no control group with a CPU controller is mounted")


def hierarchies(pid: int | str = "self") -> Iterator[Hierarchy]:
    """Yield the hierarchies that may limit the CPU time of a process, version 1 first."""
    own = {}
    for line in _read(Path(f"/proc/{pid}/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        own[1 if controllers else 2, controllers] = path
    for version, root, mount, options in _mounts():
        for (kind, controllers), path in own.items():
            if kind != version or (kind == 1 and "cpu" not in controllers.split(",")):
                continue
            if kind == 1 and "cpu" not in options:
                continue
            with suppress(ValueError):  # the process is not below what is mounted
                yield Hierarchy(version, mount, mount / PurePosixPath(path).relative_to(root))


def sweep(parent: Path) -> None:
    """Remove the groups that killed harnesses left in `parent`."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is somebody else's, in use, or gone
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                folder.rmdir()
            finally:
                os.close(lock)


def sweep_all() -> None:
    """Remove the groups that killed harnesses left wherever this one would make some."""
    for hierarchy in hierarchies():
        for parent in hierarchy.parents:
            sweep(parent)


def _make(hierarchy: Hierarchy, parent: Path, pid: int, cpus: float) -> Group:
    """Make the group, in which nothing is left when that fails half-way."""
    folder = parent / f"{PREFIX}{secrets.token_hex(6)}"
    folder.mkdir()
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        folder.rmdir()
        raise
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        quota = str(round(cpus * PERIOD_US))
        if hierarchy.version == 1:
            (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US), encoding="ascii")
            (folder / "cpu.cfs_quota_us").write_text(quota, encoding="ascii")
        else:
            with (folder / "cpu.max").open("r+", encoding="ascii") as limits:
                limits.write(f"{quota} {PERIOD_US}")
        (folder / "cgroup.procs").write_text(str(pid), encoding="ascii")
    except OSError:
        os.close(lock)
        folder.rmdir()
        raise
    return Group(hierarchy, folder, lock)


def _remove(folder: Path) -> None:
    """Remove a group as soon as the kernel has let go of what was in it."""
    for turn in range(REMOVE_TRIES):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if turn == REMOVE_TRIES - 1:
                raise
            time.sleep(REMOVE_GAP_S)
        else:
            return


def _mounts() -> Iterator[tuple[int, PurePosixPath, Path, list[str]]]:
    """Yield version, root, mount point and options of each mounted hierarchy (proc(5))."""
    for line in _read(MOUNTS).splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        version = {"cgroup": 1, "cgroup2": 2}.get(kind)
        if version is not None:
            _, _, _, root, mount, *_ = before.split(" ")
            yield version, PurePosixPath(root), Path(mount), options.split(",")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FaultError(f"{path} cannot be read: {error.strerror}") from error
