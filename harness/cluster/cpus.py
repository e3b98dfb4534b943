"""The CPU time of one server: how it is limited, and what was seen of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

STOP_AND_GO = "stop-and-go"


@dataclass(frozen=True)
class CpuLook:
    """What was seen of a server's process for a while.

    Attributes:
        mechanism: what limits it, ``cgroup v1``, ``cgroup v2`` or ``stop-and-go``; None
            when nothing of ours does.
        window_s: for how many seconds it was looked at.
        used_s: the seconds of CPU time that it used meanwhile, of all its threads.
        looks: how often it was looked at whether the process was stopped.
        stopped: how often it was.
        quota: the CPUs that its control group lets it use, as the kernel says; None where
            no group of ours holds it.
        periods: how many periods of the group passed with something to run since the limit began.
        throttled: in how many of these it was held back.
    """

    mechanism: str | None
    window_s: float
    used_s: float
    looks: int
    stopped: int
    quota: float | None = None
    periods: int = 0
    throttled: int = 0

    @property
    def used(self) -> float:
        """Return how many CPUs it used on average."""
        return self.used_s / self.window_s

    @property
    def stopped_share(self) -> float:
        """Return in which share of the looks it was stopped."""
        return self.stopped / self.looks if self.looks else 0.0


class Cpu(Protocol):
    """The CPU time that one server gets."""

    async def limit(self, cpus: float, limit_s: float) -> str:
        """Let it use at most `cpus` CPUs from now on; return the name of what does it.

        Raises:
            FaultError: it is limited already, or nothing can limit it here.
        """

    async def look(self, window_s: float) -> CpuLook:
        """Look at the process for `window_s` seconds; FaultError when it has ended."""

    async def lift(self, limit_s: float) -> None:
        """Take the limit off, if there is one; FaultError when that cannot be done."""
