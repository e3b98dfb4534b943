"""The CPU time that the process of one server is given."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from random import Random

import anyio

from harness.backends import cgroup, stop_and_go
from harness.backends.process import ChildProcess
from harness.backends.server_process import Life, ServerProcess
from harness.clock import now_ns, seconds
from harness.cluster.cpus import STOP_AND_GO, CpuLook
from harness.errors import FaultError
from harness.scopes import bounded_cleanup

LOOK_GAP_S = 0.003  # uneven, or looks would keep step with the stops


@dataclass(frozen=True)
class _Limit:
    """What limits a process: a control group, or else a program that stops and lets go."""

    process: Life
    group: cgroup.Group | None
    helper: ChildProcess | None

    @property
    def mechanism(self) -> str:
        return STOP_AND_GO if self.group is None else self.group.hierarchy.name


class ServerCpu:
    """The CPU time of one server; implements `harness.cluster.cpus.Cpu`."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._limit: _Limit | None = None
        self._random = Random(server.name)

    async def limit(self, cpus: float, limit_s: float) -> str:
        """Let the server use at most `cpus` CPUs from now on; see the protocol."""
        process = self._alive()
        if self._limit is not None:
            raise FaultError(f"the CPU time of {self._server.name} is limited already")
        try:
            self._limit = _Limit(process, cgroup.limit(process.pid, cpus), None)
        except FaultError:  # as for everybody who is not root
            helper = self._server.launch_beside(stop_and_go_argv(process.pid, cpus))
            self._limit = _Limit(process, None, helper)
            await self._await_stop(process, limit_s)
        return self._limit.mechanism

    async def look(self, window_s: float) -> CpuLook:
        """Look at the process for a while; see the protocol."""
        process, limit = self._alive(), self._limit
        if limit is not None and limit.process is not process:
            limit = None  # it was started again, without the limit
        if limit is not None and limit.helper is not None and limit.helper.returncode is not None:
            raise FaultError(f"what stopped {self._server.name} and let it go on has ended")
        group = None if limit is None else limit.group
        began_ns, used_s = now_ns(), _cpu_time_s(process)
        looks = stopped = 0
        while seconds(now_ns() - began_ns) < window_s:
            looks += 1
            stopped += process.stopped()
            await anyio.sleep(LOOK_GAP_S * self._random.uniform(0.5, 1.5))
        periods, throttled = (0, 0) if group is None else group.counts()
        holds = group is not None and group.holds(process.pid)
        return CpuLook(
            mechanism=None if limit is None else limit.mechanism,
            window_s=seconds(now_ns() - began_ns),
            used_s=_cpu_time_s(process) - used_s,
            looks=looks,
            stopped=stopped,
            quota=group.quota() if group is not None and holds else None,
            periods=periods,
            throttled=throttled,
        )

    async def lift(self, limit_s: float) -> None:
        """Take the limit off; see the protocol."""
        if self._limit is None:
            return
        limit, self._limit = self._limit, None
        alive = limit.process is self._server.process
        if limit.group is not None:
            limit.group.lift(limit.process.pid if alive else None)
            return
        assert limit.helper is not None
        limit.helper.send_signal(signal.SIGKILL)
        try:
            with bounded_cleanup(limit_s, f"ending what stopped {self._server.name}", FaultError):
                await limit.helper.wait()
        finally:  # nobody else lets it go on
            if alive:
                await self._server.resume(limit_s)

    async def _await_stop(self, process: Life, limit_s: float) -> None:
        with anyio.move_on_after(limit_s):
            while not process.stopped():
                await anyio.sleep(LOOK_GAP_S / 3)
            return
        raise FaultError(f"{self._server.name} was not stopped within {limit_s:g} s")

    def _alive(self) -> Life:
        process = self._server.process
        if process is None:
            raise FaultError(f"{self._server.name} does not run")
        return process


def stop_and_go_argv(pid: int, cpus: float) -> list[str]:
    """Return how the program is started that gives a process only a share of the time."""
    return [sys.executable, "-I", "-S", stop_and_go.__file__, str(pid), repr(cpus)]


def _cpu_time_s(process: Life) -> float:
    try:
        return stop_and_go.cpu_time_s(process.pid)
    except OSError as error:
        raise FaultError(f"the CPU time of {process.pid} is not told: {error.strerror}") from error
