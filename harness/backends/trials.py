"""Try on a small process of our own what can be done to the processes of servers here."""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from harness.backends import cgroup, stop_and_go, vdso
from harness.backends.disk import device
from harness.backends.disk.calls import this_machine
from harness.backends.disk.holder import interposed, serve_argv
from harness.backends.lab.available import available
from harness.backends.lab.enter import inside_lab, run_in_lab
from harness.backends.process import tied
from harness.backends.server_cpu import stop_and_go_argv
from harness.cluster.clocks import GRAIN_S
from harness.cluster.cpus import STOP_AND_GO
from harness.cluster.protocols import Capability
from harness.errors import CapabilityError, FaultError
from harness.scratch import scratch

SKEW_S = 3600.5
CPUS = 0.2
MOST_USED = 0.4  # of what a process that nobody limits would use, on an idle machine
WINDOW_S = 0.4
TRIES = 3  # a machine that is busy for a moment is not one that cannot limit
LIMIT_S = 5.0
DEVICE_LIMIT_S = 20.0  # its first use may load a part of the kernel
CLOCK_TOLD = """
import sys, time
for line in sys.stdin:
    print(time.time(), time.monotonic(), flush=True)
"""
WRITES = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600)
os.pwrite(file, b"synced", 0)
os.fsync(file)
os.pwrite(file, b"not", 6)
"""
BUSY = "print(flush=True)\nwhile True: pass"


@dataclass(frozen=True)
class Attempt:
    """Whether something works here: what does it, or why it does not work."""

    means: str | None = None
    lack: str | None = None


def attempt(backend: str, capability: Capability) -> Attempt:
    """Try one of `TRIALS` where the servers of a backend would run; remembered for the process.

    Call it before threads exist.
    """
    return _attempt(backend, Capability(capability))


@functools.cache
def _attempt(backend: str, capability: Capability) -> Attempt:
    if backend != "lab":
        return _try(capability)
    if inside_lab():
        raise RuntimeError("what works in the lab must be tried before it is entered")
    if (why := available()) is not None:
        return Attempt(lack=why)
    report, told = os.pipe()
    with os.fdopen(report, "rb") as reader, os.fdopen(told, "wb") as writer:

        def main() -> int:
            os.write(writer.fileno(), json.dumps(asdict(_try(capability))).encode())
            return 0

        try:
            run_in_lab(main, heed_signals=False)
        except CapabilityError as error:
            return Attempt(lack=str(error))
        writer.close()
        said = reader.read()
    return Attempt(**json.loads(said)) if said else Attempt(lack="the attempt broke off")


def _try(capability: Capability) -> Attempt:
    try:
        return Attempt(means=TRIALS[capability]())
    except (FaultError, OSError, subprocess.TimeoutExpired) as error:
        return Attempt(lack=str(error))


def _try_clock() -> str:
    """Skew the clock of a child and take the skew off again; return what does it."""
    vdso.require_machine()
    with _child(CLOCK_TOLD) as child:
        _require_clock(child, 0.0)
        with _stopped(child):
            given = vdso.skew(child.pid, SKEW_S)
        _require_clock(child, SKEW_S)
        with _stopped(child):
            vdso.restore(child.pid, given)
        _require_clock(child, 0.0)
    return "the process's own vDSO"


def _require_clock(child: subprocess.Popen[bytes], ahead_s: float) -> None:
    assert child.stdin is not None
    before = (time.time(), time.monotonic())
    child.stdin.write(b"\n")
    child.stdin.flush()
    wall, monotonic = (float(number) for number in _read_line(child.stdout).split())
    after = (time.time(), time.monotonic())
    if not before[0] - GRAIN_S <= wall - ahead_s <= after[0] + GRAIN_S:
        raise FaultError(f"a clock is {wall - after[0]:g} s ahead, expected {ahead_s:g} s")
    if not before[1] - GRAIN_S <= monotonic <= after[1] + GRAIN_S:
        raise FaultError("the monotonic clock was skewed as well")


def _try_cpu() -> str:
    """Limit a child that wants all it can get; return what does it."""
    cgroup.sweep_all()
    with _child(BUSY) as child:
        _read_line(child.stdout)
        try:
            group = cgroup.limit(child.pid, CPUS)
        except FaultError:
            with _helper(stop_and_go_argv(child.pid, CPUS)):
                _await_stop(child)
                _require_moderate(child)
            return STOP_AND_GO
        try:
            _require_moderate(child)
        finally:
            child.kill()
            child.wait()
            group.lift(None)
        return group.hierarchy.name


def _require_moderate(child: subprocess.Popen[bytes]) -> None:
    for _ in range(TRIES):
        began_s, used_s = time.monotonic(), stop_and_go.cpu_time_s(child.pid)
        time.sleep(WINDOW_S)
        used = (stop_and_go.cpu_time_s(child.pid) - used_s) / (time.monotonic() - began_s)
        if used <= MOST_USED:
            return
    raise FaultError(f"a process limited to {CPUS:.0%} of a CPU used {used:.0%}")


def _try_disk() -> str:
    """Have a child write under the filter; return what tells what it synced from the rest."""
    this_machine()
    with scratch() as folder:
        store = folder / "store"
        store.mkdir()
        ours, orders = socket.socketpair()
        intake, theirs = socket.socketpair()
        with ours, orders, intake, theirs:
            ours.settimeout(LIMIT_S)
            argv = tied(serve_argv(store, folder / "shadow"))
            with subprocess.Popen(argv, stdin=orders.fileno(), stdout=theirs.fileno()) as holder:
                try:
                    orders.close()  # else nothing would tell that it has ended
                    theirs.close()
                    _write_under(holder.pid, intake, store / "file")
                    ours.sendall(b'{"do": "lose"}\n')
                    told = json.loads(ours.makefile("rb").readline() or "{}")
                finally:
                    holder.kill()
        if told.get("errors") or "error" in told:
            raise FaultError(f"calls are not followed: {told.get('errors') or told['error']}")
        if not told:
            raise FaultError("what answers calls has ended")
        left = "".join(one.read_text(encoding="ascii") for one in store.iterdir())
        if left != "synced":
            raise FaultError(f"of 'synced' and 'not' was left {left!r}, expected 'synced'")
    return "calls seen before they are done (seccomp)"


def _try_device() -> str:
    """Have a process cut the power of a device and look at what is left; return what it is."""
    with scratch() as folder:
        argv = tied([sys.executable, "-P", "-m", device.__name__, str(folder)])
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEVICE_LIMIT_S,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise FaultError(said[-1])
    return "ext4 on a loop device"


def _write_under(holder: int, intake: socket.socket, path: Path) -> None:
    """Have a child of ours write a file whose calls `holder` answers."""
    argv = tied(interposed([sys.executable, "-I", "-S", "-c", WRITES, str(path)], holder))
    done = subprocess.run(
        argv, stdin=intake.fileno(), stderr=subprocess.PIPE, timeout=LIMIT_S, text=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise FaultError(said[-1])


@contextmanager
def _child(code: str) -> Iterator[subprocess.Popen[bytes]]:
    argv = tied([sys.executable, "-I", "-S", "-c", code])
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.kill()


@contextmanager
def _helper(argv: list[str]) -> Iterator[None]:
    nothing = subprocess.DEVNULL
    with subprocess.Popen(tied(argv), stdin=nothing, stdout=nothing) as helper:
        try:
            yield
        finally:
            helper.kill()


@contextmanager
def _stopped(child: subprocess.Popen[bytes]) -> Iterator[None]:
    child.send_signal(signal.SIGSTOP)
    try:
        _await_stop(child)
        yield
    finally:
        child.send_signal(signal.SIGCONT)


def _await_stop(child: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline_s:
            raise FaultError(f"a process did not stop within {LIMIT_S:g} s")
        time.sleep(0.001)


def _read_line(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    if not select.select([stream], [], [], LIMIT_S)[0]:
        raise FaultError(f"a process said nothing for {LIMIT_S:g} s")
    return stream.readline()


TRIALS: Mapping[Capability, Callable[[], str]] = MappingProxyType(
    {
        Capability.CLOCK_SKEW: _try_clock,
        Capability.CPU_LIMIT: _try_cpu,
        Capability.DISK: _try_disk,
        Capability.DEVICE: _try_device,
    }
)
