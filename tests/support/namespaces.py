"""Which kernel namespaces processes are in: so what was made can be told from what others make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

KINDS = ("net", "mnt", "pid", "user")

Process = tuple[str, str]
"""A process by its pid and the tick it started at: a pid alone is given out again."""


@dataclass(frozen=True)
class Seen:
    """Namespaces by name, and the processes that were in one when they were seen.

    The kernel gives a name out again as soon as a namespace has gone: who came later, started
    before or not, is in another one.
    """

    names: frozenset[str]
    users: frozenset[Process]

    def __len__(self) -> int:
        return len(self.names)


def namespaces_of(pids: Iterable[int | str]) -> Seen:
    """Return the namespaces that the processes are in and this one is not."""
    found = {one for pid in pids for one in _of(pid)}
    names = frozenset(found - set(_of("self")))
    return Seen(names, frozenset(one for one in _processes() if names & set(_of(one[0]))))


def still_used(seen: Seen) -> dict[str, list[str]]:
    """Return who is in the namespaces, or has mounted one: pids, or the word mounted."""
    users = {
        process[0]: sorted(seen.names & set(_of(process[0])))
        for process in _processes()
        if process in seen.users
    }
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    users["mounted"] = sorted(one for one in seen.names if one in mounts)
    return {who: which for who, which in users.items() if which}


def _processes() -> list[Process]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        found.append((entry.name, stat.rpartition(")")[2].split()[19]))
    return found


def _of(pid: int | str) -> list[str]:
    found = []
    for kind in KINDS:
        try:
            found.append(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
        except OSError:
            continue  # it has ended meanwhile, or is not ours to look at
    return found
