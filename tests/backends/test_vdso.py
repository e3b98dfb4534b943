from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.backends import vdso
from harness.errors import FaultError

pytestmark = pytest.mark.skipif(
    platform.machine() != vdso.MACHINE, reason=f"clocks are skewed on {vdso.MACHINE} only"
)
NEAR_S = 0.25
TOLD = """
import ctypes, sys, time
libc = ctypes.CDLL(None)
pair = (ctypes.c_long * 2)()
for line in sys.stdin:
    libc.gettimeofday(pair, None)
    print(time.time(), pair[0] + pair[1] / 1e6, time.clock_gettime(5), time.monotonic(), flush=True)
"""
# Threads that read the clock at all times, outside Python's lock.
BUSY = """
import ctypes, threading
libc = ctypes.CDLL(None)
def read():
    pair = (ctypes.c_long * 2)()
    while True:
        for clock in (0, 1):
            assert libc.clock_gettime(clock, pair) == 0
            assert 0 <= pair[1] < 10**9
for _ in range(3):
    threading.Thread(target=read).start()
print(flush=True)
"""


class Child:
    """A process of ours that tells its clocks, and can be stopped."""

    def __init__(self, code: str = TOLD) -> None:
        pipe = subprocess.PIPE
        argv = [sys.executable, "-I", "-S", "-c", code]
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)

    @property
    def pid(self) -> int:
        return self.process.pid

    def ahead(self) -> list[float]:
        """Return how far each of its clocks is ahead, the monotonic one last."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told = [float(number) for number in self.process.stdout.readline().split()]
        wall = time.time()
        return [*(one - wall for one in told[:-1]), told[-1] - time.monotonic()]

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)
        yield
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def child() -> Iterator[Child]:
    one = Child()
    yield one
    one.end()


def near(*seconds: float) -> object:
    return pytest.approx(list(seconds), abs=NEAR_S)


@pytest.mark.parametrize("skew_s", [3600.25, -7200.75, 0.9, -0.9, 8760 * 3600.0])
def test_wall_clocks_of_one_process_jump_and_come_back(child: Child, skew_s: float) -> None:
    other = Child()
    try:
        with child.stopped():
            given = vdso.skew(child.pid, skew_s)
        assert child.ahead() == near(skew_s, skew_s, skew_s, 0)
        assert other.ahead() == near(0, 0, 0, 0)
        with child.stopped():
            vdso.restore(child.pid, given)
        assert child.ahead() == near(0, 0, 0, 0)
    finally:
        other.end()


def test_the_same_skew_again_and_again_takes_no_more_room(child: Child) -> None:
    for _ in range(100):
        with child.stopped():
            given = vdso.skew(child.pid, 60.0)
        with child.stopped():
            vdso.restore(child.pid, given)
    assert child.ahead() == near(0, 0, 0, 0)


def skew_often(pid: int, times: int) -> None:
    for turn in range(1, times + 1):
        vdso.restore(pid, vdso.skew(pid, float(turn)))


def test_without_room_it_is_refused_and_nothing_changes(child: Child) -> None:
    with child.stopped():
        room = (len(vdso.read_image(child.pid).content) - vdso.read_image(child.pid).room()) // 16
        with pytest.raises(FaultError, match="no room left"):
            skew_often(child.pid, room)
    assert child.ahead() == near(0, 0, 0, 0)


def test_threads_that_read_the_clock_all_the_time_survive_it() -> None:
    child = Child(BUSY)
    try:
        assert child.process.stdout is not None
        child.process.stdout.readline()
        changes: list[int] = []
        for turn in range(60):
            try:
                with child.stopped():
                    given = vdso.skew(child.pid, 1.5 if turn % 2 else -1.5)
            except vdso.BusyError:
                child.process.send_signal(signal.SIGCONT)
                continue
            changes.append(turn)
            while True:
                try:
                    with child.stopped():
                        vdso.restore(child.pid, given)
                    break
                except vdso.BusyError:
                    child.process.send_signal(signal.SIGCONT)
        assert child.process.poll() is None
        assert changes
    finally:
        child.end()


def test_a_thread_in_what_is_to_be_replaced_keeps_it_from_being_replaced(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    with child.stopped():
        image = vdso.read_image(child.pid)
        entry = image.start + image.entries()[vdso.ENTRIES[0]]
        for inside in (1, 4):
            monkeypatch.setattr(vdso, "_instruction", lambda *_, at=entry + inside: at)
            with pytest.raises(vdso.BusyError):
                vdso.skew(child.pid, 60.0)
            assert vdso.read_image(child.pid) == image
        for outside in (0, 5):
            monkeypatch.setattr(vdso, "_instruction", lambda *_, at=entry + outside: at)
            vdso.restore(child.pid, vdso.skew(child.pid, 60.0))


def test_a_process_that_runs_is_not_changed() -> None:
    child = Child(BUSY)
    try:
        assert child.process.stdout is not None
        child.process.stdout.readline()
        with pytest.raises(vdso.BusyError, match="still runs"):
            vdso._require_idle(child.pid, {})
    finally:
        child.end()


def test_another_machine_and_what_is_no_vdso_are_refused(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (b"", b"\x7fELF\x01", b"\x7fELF\x02\x01" + bytes(90), b"\x7fELF\x02\x01\xff"):
        with pytest.raises(FaultError, match="vDSO"):
            vdso.Image(0, content).entries()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(FaultError, match="only known for x86_64, and this is aarch64"):
        vdso.skew(child.pid, 60.0)


def test_a_process_that_has_ended_is_told(child: Child) -> None:
    child.end()
    with pytest.raises(FaultError, match="cannot be read"):
        vdso.skew(child.pid, 60.0)
