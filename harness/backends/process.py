"""A child process whose end is seen, and timed, the moment the kernel tells of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

import anyio

from harness.backends import leash
from harness.clock import now_ns
from harness.cluster.protocols import Exit
from harness.errors import HarnessError


class ChildProcess:
    """A started child; implements `harness.cluster.protocols.Process`.

    A pidfd becomes readable when the process ends (pidfd_open(2)); the event loop that
    was running at the start watches it, whether or not anybody waits, so that the time
    of the end is right. The child leads a session of its own: Ctrl-C on the terminal
    never reaches it.
    """

    def __init__(
        self, popen: subprocess.Popen[bytes], on_exit: Callable[[], None] | None = None
    ) -> None:
        self._popen = popen
        self._on_exit = on_exit
        self._ended = anyio.Event()
        self._exit: Exit | None = None
        self._pidfd = os.pidfd_open(popen.pid)
        # anyio.wait_readable would need a task for each child, and stamp the end only then.
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        """Return the process id, as seen from the harness."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Return how it ended, -N for signal N; None while it exists."""
        return self._popen.poll() if self._exit is None else self._exit.returncode

    @property
    def exit(self) -> Exit | None:
        """Return how and when it ended; None until the event loop was told."""
        return self._exit

    def send_signal(self, number: int) -> None:
        """Send a signal; do nothing when the process has ended."""
        self._popen.send_signal(number)

    async def wait(self) -> Exit:
        """Return how and when it ended, once it has."""
        await self._ended.wait()
        assert self._exit is not None  # set just before the event
        return self._exit

    def stopped(self) -> bool:
        """Tell whether every thread of it is frozen by SIGSTOP.

        The kernel reports a stop to the parent only when the last thread has stopped,
        and takes the report back at once on SIGCONT (waitid(2), WNOWAIT leaves it).
        """
        if self.returncode is not None:
            return False
        flags = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, flags) is not None
        except ChildProcessError:
            return False  # it ended meanwhile

    def _reap(self) -> None:
        at_ns = now_ns()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._exit = Exit(at_ns, self._popen.wait())
        self._ended.set()
        if self._on_exit is not None:
            self._on_exit()


def spawn(
    argv: Sequence[str],
    *,
    stdin: int | IO[bytes],
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    env: Mapping[str, str] | None = None,
    on_exit: Callable[[], None] | None = None,
) -> ChildProcess:
    """Start a child in a session of its own.

    Raises:
        HarnessError: the program could not be started.
    """
    # A child's parent-death signal and namespaces follow the thread that spawned it.
    assert threading.current_thread() is threading.main_thread()
    try:
        popen = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(env) if env is not None else None,
            start_new_session=True,
        )
    except OSError as error:
        raise HarnessError(f"{argv[0]} cannot be started: {error.strerror or error}") from error
    return ChildProcess(popen, on_exit)


def tied(argv: Sequence[str]) -> list[str]:
    """Return how a program is started that dies with this process, even on SIGKILL."""
    return [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), "--", *argv]
