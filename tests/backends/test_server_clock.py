from __future__ import annotations

import pytest
from server_handles import IDLE, FakeMonitor, server_handle

from harness.backends import vdso
from harness.backends.server_clock import ServerClock, read_time
from harness.errors import FaultError

pytestmark = pytest.mark.anyio


class FakeVdso:
    """Notes what is changed, after a thread was in the way for `busy` times."""

    def __init__(self, busy: int = 0) -> None:
        self.busy = busy
        self.diary: list[str] = []

    def skew(self, pid: int, skew_s: float) -> vdso.Skew:
        self._wait()
        self.diary.append(f"skew {skew_s:g}")
        return vdso.Skew()

    def restore(self, pid: int, given: vdso.Skew) -> None:
        self._wait()
        self.diary.append("restore")

    def _wait(self) -> None:
        if self.busy:
            self.busy -= 1
            raise vdso.BusyError("a thread is at the clock")


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> FakeVdso:
    fake = FakeVdso()
    monkeypatch.setattr(vdso, "skew", fake.skew)
    monkeypatch.setattr(vdso, "restore", fake.restore)
    return fake


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T00:00:01.5Z", 15 * 10**8),
        ("2026-11-23T08:00:00.123456789Z", 1795420800123456789),
    ],
)
def test_a_servers_time_is_read_to_the_ns(text: str, ns: int) -> None:
    assert read_time(text) == ns


@pytest.mark.parametrize("text", [None, 5, "", "now", "2026-11-23T08:00:00+01:00", "1Z.5"])
def test_what_is_no_time_is_told(text: object) -> None:
    with pytest.raises(FaultError, match="expected a server's time in UTC, found"):
        read_time(text)


@pytest.mark.parametrize("ahead_s", [0.0, 3600.0, -0.5])
async def test_a_reading_holds_the_truth(ahead_s: float) -> None:
    async with server_handle() as handle:
        handle.ahead_s = ahead_s
        seen = await ServerClock(handle).read(1)
        assert seen.agrees(ahead_s)
        assert not seen.agrees(ahead_s + 0.25)
        assert not seen.agrees(ahead_s - 0.25)


async def test_a_server_that_tells_no_time_is_an_error() -> None:
    async with server_handle() as handle:
        handle.monitor = FakeMonitor(lambda: None)
        with pytest.raises(FaultError, match="expected a server's time"):
            await ServerClock(handle).read(1)


async def test_the_process_is_stopped_only_while_it_is_changed(
    patched: FakeVdso, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server_handle() as handle:
        clock = ServerClock(handle)
        patched.busy = 3
        assert await clock.skew(60, 5) > 0
        assert not handle.child.stopped()
        assert clock.asked_s == 60
        with pytest.raises(FaultError, match="skewed already"):
            await clock.skew(1, 5)
        assert await clock.restore(5) is not None
        assert not handle.child.stopped()
        assert clock.asked_s == 0
        assert await clock.restore(5) is None
        assert patched.diary == ["skew 60", "restore"]


async def test_a_thread_that_is_at_the_clock_for_ever_is_an_error_and_it_goes_on(
    patched: FakeVdso,
) -> None:
    async with server_handle() as handle:
        patched.busy = 1000
        with pytest.raises(FaultError, match="at the clock all the time"):
            await ServerClock(handle).skew(60, 5)
        assert not handle.child.stopped()
        assert patched.diary == []


async def test_a_process_that_was_started_again_has_nothing_to_undo(patched: FakeVdso) -> None:
    async with server_handle() as handle:
        clock = ServerClock(handle)
        await clock.skew(60, 5)
        await handle.replace(IDLE)
        assert clock.asked_s == 0
        assert await clock.restore(5) is None
        assert patched.diary == ["skew 60"]


async def test_a_server_that_does_not_run_has_no_clock(patched: FakeVdso) -> None:
    async with server_handle() as handle:
        await handle.end()
        with pytest.raises(FaultError, match="n1 does not run"):
            await ServerClock(handle).skew(60, 5)
