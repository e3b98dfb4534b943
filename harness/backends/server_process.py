"""What may be done to the process of one server by those who change it while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.backends.process import ChildProcess
from harness.cluster.monitor import Monitor
from harness.cluster.protocols import Exit


class Life(Protocol):
    """One life of a server's process, from its start to its end."""

    @property
    def pid(self) -> int:
        """Return its process id."""

    @property
    def returncode(self) -> int | None:
        """Return how it ended, -N for signal N; None while it exists."""

    @property
    def exit(self) -> Exit | None:
        """Return how and when it ended; None until the event loop was told."""

    async def wait(self) -> Exit:
        """Return how and when it ended, once it has."""

    def stopped(self) -> bool:
        """Tell whether it is frozen."""


class ServerProcess(Protocol):
    """A server, seen as the process that it is at the moment."""

    @property
    def name(self) -> str:
        """Return the node's name."""

    @property
    def monitor(self) -> Monitor:
        """Return its monitoring port."""

    @property
    def process(self) -> Life | None:
        """Return its process; None when it does not run."""

    async def pause(self, limit_s: float) -> None:
        """Freeze the process (SIGSTOP) and return once the kernel shows it stopped."""

    async def resume(self, limit_s: float) -> None:
        """Thaw the process (SIGCONT) and return once the kernel shows it running."""

    def launch_beside(self, argv: Sequence[str]) -> ChildProcess:
        """Start a program that dies with the harness, where the server runs."""
