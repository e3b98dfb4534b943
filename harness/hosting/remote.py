"""The host as its user sees it: requests that are answered, from any thread."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from harness import errors
from harness.backends.server_log import tail
from harness.errors import HarnessError, ServerError, UsageError
from harness.hosting.plan import Plan

ARGV = (sys.executable, "-P", "-m", "harness.hosting")
END_LIMIT_S = 60.0
KILL_LIMIT_S = 10.0
LOG_LINES = 10

Reply = dict[str, Any]


def outcome(answer: Future[Reply]) -> Reply:
    """Return an answer once it is there; its error is raised as if it had come about here."""
    __tracebackhide__ = True
    if (error := answer.exception()) is not None:
        raise error.with_traceback(None)
    return answer.result()


class Remote:
    """A started host. It ends by `end`, or when this process does, however that happens."""

    def __init__(self, plan: Plan) -> None:
        """Start it; `started` is answered once its cluster has formed.

        Raises:
            UsageError: nothing can be written into the folder. ServerError: no process starts.
        """
        self._log = Path(plan.folder) / "host.log"
        self._numbers = count(1)
        self._saying = Lock()
        self._ended = False
        self._process, self._channel = _start(self._log)
        self.started: Future[Reply] = Future()
        self._waiting: dict[int, Future[Reply]] = {0: self.started}
        self._say(vars(plan))
        self._listener = Thread(target=self._listen, name="nats-harness host", daemon=True)
        self._listener.start()

    def ask(self, do: str, **facts: Any) -> tuple[int, Future[Reply]]:
        """Make a request; return its number, and what will be its answer or its error."""
        answer: Future[Reply] = Future()
        with self._saying:
            number = next(self._numbers)
            if self._ended:
                answer.set_exception(self._gone())
                return number, answer
            self._waiting[number] = answer
        self._say({"id": number, "do": do, **facts})
        return number, answer

    def end(self) -> None:
        """End the cluster and the host; HarnessError when that went wrong."""
        _, answer = self.ask("end")
        try:
            try:
                answer.result(END_LIMIT_S)
            finally:
                self.hang_up()
        except TimeoutError as error:
            raise ServerError(f"the cluster has not ended within {END_LIMIT_S:g} s") from error

    def hang_up(self) -> None:
        """Let the host end by itself, which ends the cluster; kill it when it does not."""
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_LIMIT_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._listener.join(KILL_LIMIT_S)
            self._channel.close()

    def _say(self, message: Reply) -> None:
        with self._saying, suppress(OSError):  # whoever listens tells that it has gone
            self._channel.sendall(json.dumps(message).encode() + b"\n")

    def _listen(self) -> None:
        try:
            # ValueError: a host that was killed may leave half a line.
            with suppress(OSError, ValueError), self._channel.makefile("rb") as stream:
                for line in stream:
                    self._take(json.loads(line))
        finally:  # whatever came, nobody waits for a listener that is no more
            with self._saying:
                self._ended = True
                left = list(self._waiting.values())
                self._waiting.clear()
            for answer in left:
                answer.set_exception(self._gone())

    def _take(self, said: Reply) -> None:
        error: HarnessError | None = None
        if "error" in said:
            error = getattr(errors, said["error"], HarnessError)(said["message"])
        result = said["result"] if error is None else {}
        answer = self._waiting.pop(said["id"], None)  # nothing fails from here on
        if answer is None:
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)

    def _gone(self) -> ServerError:
        said = tail(self._log, LOG_LINES)
        why = "; the last lines of its log:\n  " + "\n  ".join(said) if said else ""
        return ServerError(f"the process that ran the cluster has ended{why}")


def _start(log: Path) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a host that logs into a file; return it, and our end of its channel."""
    try:
        file = log.open("ab")
    except OSError as error:
        raise UsageError(f"folder: cannot write into {log.parent}: {error.strerror}") from error
    with file:
        try:
            ours, theirs = socket.socketpair()
            with theirs, ExitStack() as failed:
                failed.callback(ours.close)
                process = subprocess.Popen(
                    [*ARGV, str(os.getpid())],
                    stdin=theirs.fileno(),
                    stdout=file,
                    stderr=file,
                    start_new_session=True,  # a terminal's Ctrl-C is for us to act on
                )
                failed.pop_all()
        except OSError as error:
            raise ServerError(f"no process for the cluster starts: {error.strerror}") from error
    return process, ours
