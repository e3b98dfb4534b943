"""A process of ours in the place of a server."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio

from harness.backends.process import ChildProcess, spawn
from harness.cluster.monitor import Reply
from harness.errors import FaultError

BUSY = "while True: pass"
IDLE = "import time\nwhile True: time.sleep(60)"


class FakeMonitor:
    def __init__(self, now: Callable[[], object]) -> None:
        self._now = now

    async def get(self, path: str, limit_s: float) -> Reply:
        assert path == "/varz"
        return Reply(200, {"now": self._now()})


class Handle:
    """Implements `harness.backends.server_process.ServerProcess`."""

    name = "n1"

    def __init__(self) -> None:
        self.child = self._start(IDLE)
        self.beside: list[ChildProcess] = []
        self.program: list[str] | None = None
        self.ahead_s = 0.0
        self.monitor: Any = FakeMonitor(self._tell)

    @property
    def process(self) -> ChildProcess | None:
        return self.child if self.child.returncode is None else None

    async def replace(self, code: str) -> None:
        self.child.send_signal(signal.SIGKILL)
        await self.child.wait()
        self.child = self._start(code)

    async def pause(self, limit_s: float) -> None:
        await self._signal(signal.SIGSTOP, limit_s)

    async def resume(self, limit_s: float) -> None:
        await self._signal(signal.SIGCONT, limit_s)

    def launch_beside(self, argv: Sequence[str]) -> ChildProcess:
        self.beside.append(self._spawn(self.program or argv))
        return self.beside[-1]

    async def end(self) -> None:
        for one in (*self.beside, self.child):
            one.send_signal(signal.SIGKILL)
            await one.wait()

    async def _signal(self, number: int, limit_s: float) -> None:
        if self.process is None:
            raise FaultError("n1 does not run")
        self.child.send_signal(number)
        with anyio.fail_after(limit_s):
            while self.child.stopped() is not (number == signal.SIGSTOP):
                await anyio.sleep(0.001)

    def _start(self, code: str) -> ChildProcess:
        return self._spawn([sys.executable, "-I", "-S", "-c", code])

    def _spawn(self, argv: Sequence[str]) -> ChildProcess:
        nothing = subprocess.DEVNULL
        return spawn(argv, stdin=nothing, stdout=nothing, stderr=nothing)

    def _tell(self) -> str:
        now = datetime.fromtimestamp(time.time() + self.ahead_s, UTC)
        return now.isoformat().replace("+00:00", "Z")


@asynccontextmanager
async def server_handle() -> AsyncIterator[Handle]:
    handle = Handle()
    try:
        yield handle
    finally:
        await handle.end()
