from __future__ import annotations

import signal
import sys

import anyio
import pytest
from server_handles import BUSY, IDLE, server_handle

from harness.backends import cgroup
from harness.backends.server_cpu import ServerCpu
from harness.errors import FaultError

pytestmark = pytest.mark.anyio
WINDOW_S = 0.6


@pytest.fixture
def no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, cpus: float) -> cgroup.Group:
        raise FaultError("no control group")

    monkeypatch.setattr(cgroup, "limit", refuse)


@pytest.mark.usefixtures("no_groups")
@pytest.mark.parametrize("code", [BUSY, IDLE], ids=["busy", "idle"])
async def test_stop_and_go_stops_a_process_for_its_share_of_the_time_busy_or_not(
    code: str,
) -> None:
    async with server_handle() as handle:
        await handle.replace(code)
        cpu = ServerCpu(handle)
        assert await cpu.limit(0.2, 5) == "stop-and-go"
        seen = await cpu.look(WINDOW_S)
        assert (seen.mechanism, seen.quota) == ("stop-and-go", None)
        assert 0.65 < seen.stopped_share < 0.95
        assert seen.used < 0.4
        with pytest.raises(FaultError, match="limited already"):
            await cpu.limit(0.2, 5)
        await cpu.lift(5)
        (helper,) = handle.beside
        assert helper.returncode == -signal.SIGKILL
        seen = await cpu.look(0.1)
        assert (seen.mechanism, seen.stopped) == (None, 0)


@pytest.mark.usefixtures("no_groups")
async def test_a_process_is_not_left_stopped_when_what_stops_it_dies() -> None:
    async with server_handle() as handle:
        cpu = ServerCpu(handle)
        await cpu.limit(0.05, 5)
        handle.beside[0].send_signal(signal.SIGKILL)
        await handle.beside[0].wait()
        with pytest.raises(FaultError, match="has ended"):
            await cpu.look(0.01)
        await cpu.lift(5)
        assert not handle.child.stopped()


@pytest.mark.usefixtures("no_groups")
async def test_what_stops_nothing_is_no_limit() -> None:
    async with server_handle() as handle:
        handle.program = [sys.executable, "-I", "-S", "-c", IDLE]
        cpu = ServerCpu(handle)
        with pytest.raises(FaultError, match=r"n1 was not stopped within 0\.1 s"):
            await cpu.limit(0.2, 0.1)
        assert (await cpu.look(0.05)).stopped_share == 0
        await cpu.lift(5)
        assert handle.beside[0].returncode is not None


@pytest.mark.usefixtures("no_groups")
async def test_the_helper_ends_with_the_process_and_another_process_is_not_limited() -> None:
    async with server_handle() as handle:
        cpu = ServerCpu(handle)
        await cpu.limit(0.2, 5)
        await handle.replace(IDLE)
        with anyio.fail_after(5):
            await handle.beside[0].wait()
        assert (await cpu.look(0.05)).mechanism is None
        await cpu.lift(5)
        assert not handle.child.stopped()


async def test_a_server_that_does_not_run_has_no_cpu_time() -> None:
    async with server_handle() as handle:
        await handle.end()
        cpu = ServerCpu(handle)
        for act in (cpu.limit(0.2, 5), cpu.look(0.1)):
            with pytest.raises(FaultError, match="n1 does not run"):
                await act
        await cpu.lift(5)
