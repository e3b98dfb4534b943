"""Children of the harness: their ends, their stops, and their leash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from harness.backends import leash
from harness.backends.process import ChildProcess, spawn
from harness.clock import now_ns
from harness.errors import HarnessError

pytestmark = pytest.mark.anyio


def run(*argv: str) -> ChildProcess:
    quiet = subprocess.DEVNULL
    return spawn(argv, stdin=quiet, stdout=quiet, stderr=quiet)


async def test_an_exit_is_told_with_its_code_and_time() -> None:
    before_ns = now_ns()
    ended = await run("sh", "-c", "exit 3").wait()
    assert ended.returncode == 3
    assert before_ns < ended.at_ns <= now_ns()


async def test_the_time_of_an_exit_is_right_though_nobody_waited() -> None:
    told = anyio.Event()
    quiet = subprocess.DEVNULL
    child = spawn(["sleep", "600"], stdin=quiet, stdout=quiet, stderr=quiet, on_exit=told.set)
    before = child.returncode
    assert before is None
    child.send_signal(signal.SIGKILL)
    await told.wait()
    at_ns = now_ns()
    assert child.exit is not None
    assert child.exit.at_ns <= at_ns
    assert (await child.wait()) is child.exit
    assert child.returncode == -9
    child.send_signal(signal.SIGKILL)  # nothing happens: it has ended


async def test_many_may_wait_for_one_child() -> None:
    child = run("sleep", "600")
    ends = []

    async def wait() -> None:
        ends.append(await child.wait())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        child.send_signal(signal.SIGTERM)
    assert [end.returncode for end in ends] == [-15, -15]


async def test_a_stop_shows_when_the_kernel_shows_it() -> None:
    child = run("sleep", "600")
    assert not child.stopped()
    for _ in range(20):
        child.send_signal(signal.SIGSTOP)
        with anyio.fail_after(5):
            while not child.stopped():
                await anyio.lowlevel.checkpoint()
        assert child.stopped()
        assert state(child.pid) == "T"
        child.send_signal(signal.SIGCONT)
        assert not child.stopped()
    child.send_signal(signal.SIGKILL)
    await child.wait()
    assert not child.stopped()


async def test_a_child_leads_its_own_session() -> None:
    child = run("sleep", "600")
    assert os.getsid(child.pid) == child.pid
    child.send_signal(signal.SIGKILL)
    await child.wait()


async def test_a_program_that_does_not_exist_is_one_clear_error() -> None:
    with pytest.raises(HarnessError, match="/no/such/program cannot be started: No such file"):
        run("/no/such/program")


def test_a_leashed_program_dies_with_whoever_spawned_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import os, subprocess, sys;"
        f"argv = [sys.executable, '-I', '-S', {leash.__file__!r}, str(os.getpid()), '--',"
        " '/bin/sleep', '600'];"
        f"child = subprocess.Popen(argv); open({str(note)!r}, 'w').write(str(child.pid));"
        "print('ready', flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    child = int(note.read_text())
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 10
    while state(child) not in ("", "Z"):
        assert time.monotonic() < deadline


def test_a_leash_whose_parent_is_gone_starts_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    argv = [sys.executable, "-I", "-S", leash.__file__, "1", "--", "/bin/touch", str(mark)]
    assert subprocess.run(argv, check=False).returncode == leash.EXIT_CANNOT_START
    assert not mark.exists()


def test_a_leash_says_what_it_cannot_start() -> None:
    argv = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), "--", "/no/such"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == leash.EXIT_CANNOT_START
    assert done.stderr == "/no/such: No such file or directory\n"


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
