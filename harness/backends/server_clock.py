"""The wall clock that the process of one server goes by."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import anyio

from harness.backends import vdso
from harness.backends.server_process import Life, ServerProcess
from harness.clock import NS_PER_S, now_ns, seconds
from harness.cluster.clocks import Reading
from harness.errors import FaultError, ServerError
from harness.scopes import bounded_cleanup

TRIES = 10
GO_ON_S = 0.002  # for a thread that is at the clock just then


class ServerClock:
    """The clock of one server; implements `harness.cluster.clocks.WallClock`."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._skewed: tuple[Life, vdso.Skew, float] | None = None

    @property
    def asked_s(self) -> float:
        """Return how far ahead the process that runs now was made to be."""
        if self._skewed is None or self._skewed[0] is not self._server.process:
            return 0.0
        return self._skewed[2]

    async def read(self, limit_s: float) -> Reading:
        """Ask the server for its time and compare it; FaultError when it does not tell."""
        before_ns = time.time_ns()
        try:
            body = (await self._server.monitor.get("/varz", limit_s)).body
        except ServerError as error:
            raise FaultError(f"{self._server.name} does not tell its time: {error}") from error
        after_ns = time.time_ns()
        told_ns = read_time(body.get("now"))
        return Reading(seconds(told_ns - after_ns), seconds(told_ns - before_ns))

    async def skew(self, skew_s: float, limit_s: float) -> float:
        """Make the clock jump; see the protocol."""
        process = self._server.process
        if process is None:
            raise FaultError(f"{self._server.name} does not run")
        if self.asked_s:
            raise FaultError(f"the clock of {self._server.name} is skewed already")

        def change() -> None:
            self._skewed = (process, vdso.skew(process.pid, skew_s), skew_s)

        return await self._while_stopped(process, change, limit_s)

    async def restore(self, limit_s: float) -> float | None:
        """Take the skew off the process that was given it; see the protocol."""
        if self._skewed is None:
            return None
        process, given, _ = self._skewed
        if process is not self._server.process:
            self._skewed = None
            return None

        def change() -> None:
            vdso.restore(process.pid, given)
            self._skewed = None

        return await self._while_stopped(process, change, limit_s)

    async def _while_stopped(
        self, process: Life, change: Callable[[], None], limit_s: float
    ) -> float:
        """Change the process while all its threads are stopped; return for how many seconds.

        Nothing is awaited between a change and its end, and a process is never left stopped.
        """
        stopped_ns = 0
        with bounded_cleanup(limit_s, f"changing the clock of {self._server.name}", FaultError):
            for _ in range(TRIES):
                began_ns = now_ns()
                try:
                    await self._server.pause(limit_s)
                    if self._server.process is not process:
                        raise FaultError(f"{self._server.name} was started again meanwhile")
                    change()
                    done = True
                except vdso.BusyError:
                    done = False
                finally:
                    await self._server.resume(limit_s)
                stopped_ns += now_ns() - began_ns
                if done:
                    return seconds(stopped_ns)
                await anyio.sleep(GO_ON_S)
            raise FaultError(f"a thread of {self._server.name} is at the clock all the time")
        raise AssertionError("unreachable: the scope raises when it is left early")


def read_time(text: object) -> int:
    """Return ns since 1970 for a server's time, RFC 3339 in UTC; FaultError when it is none."""
    try:
        whole, _, fraction = str(text).removesuffix("Z").partition(".")
        moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        return round(moment.timestamp()) * NS_PER_S + int(f"{fraction:0<9}"[:9])
    except ValueError as error:
        raise FaultError(f"expected a server's time in UTC, found {text!r}") from error
