"""Run a user's command: bounded, heard in full, and repeated without its secrets."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import anyio

from harness.backends.process import ChildProcess, spawn, tied
from harness.clock import now_ns, seconds, wall_time
from harness.cluster.command import Completed
from harness.cluster.protocols import EventSink
from harness.cluster.user_commands import UserCommand
from harness.errors import FaultError, HarnessError
from harness.scenario.argv import find_secrets, hide_in, secrets_among

KILL_LIMIT_S = 5.0
MOST_BYTES = 64 * 1024  # of output that is kept, from its end
EVENT_CHARACTERS = 2000


@dataclass(frozen=True)
class CommandRunner:
    """Where the user's commands run, and where what they say is kept.

    Attributes:
        folder: what each command says is appended to ``<fault>-<node>.log`` in it.
        record: where `command.ended` goes, for each end that differs from the last one.
        secrets: what is to be hidden from everything that is kept.
    """

    folder: Path
    record: EventSink
    secrets: frozenset[str] = frozenset()
    _last: dict[tuple[str, str, str], tuple[int, str]] = field(default_factory=dict)

    async def run(self, command: UserCommand, node: str, variables: Mapping[str, str]) -> Completed:
        """Run a command to its end; it and all that it started is killed at its limit.

        What it left running when it ended by itself is left alone. `inject` and `observe`
        die with the harness; `heal` does not: once begun, it goes on.

        Raises:
            FaultError: it cannot be started, or did not end within its limit.
        """
        environment = {
            **os.environ,
            **variables,
            "NATS_HARNESS_FAULT": command.fault,
            "NATS_HARNESS_STEP": command.step,
            "NATS_HARNESS_NODE": node,
        }
        began_ns = now_ns()
        with tempfile.TemporaryFile() as output:
            process = self._start(command, environment, output)
            try:
                with anyio.move_on_after(command.limit_s):
                    await process.wait()
            finally:
                timed_out = process.returncode is None
                if timed_out:
                    await _kill(process)
                returncode = process.returncode
                said = self._read(command, output)
                self._keep(command, node, returncode, said, seconds(now_ns() - began_ns))
        if timed_out or returncode is None:
            tail = f" It had said: {said.strip()[-EVENT_CHARACTERS:]}" if said.strip() else ""
            raise FaultError(
                f"{node}: {command.step} did not end within {command.limit_s:g} s.{tail}"
            )
        return Completed(returncode, said)

    def _start(
        self, command: UserCommand, environment: Mapping[str, str], output: IO[bytes]
    ) -> ChildProcess:
        program = shutil.which(command.argv[0])
        if program is None:
            raise FaultError(f"{command.step}: {missing(command.argv[0])}")
        argv = [str(Path(program).absolute()), *command.argv[1:]]
        if command.step != "heal":
            argv = tied(argv)
        try:
            return spawn(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
            )
        except HarnessError as error:
            raise FaultError(f"{command.step}: {error}") from error

    def _read(self, command: UserCommand, output: IO[bytes]) -> str:
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - MOST_BYTES))
        said = output.read(MOST_BYTES).decode(errors="replace")
        hidden = self.secrets | find_secrets(command.argv) | secrets_among(os.environ)
        return hide_in(said, hidden)

    def _keep(
        self, command: UserCommand, node: str, returncode: int | None, said: str, took_s: float
    ) -> None:
        """Keep how a command ended; a look that ended like the one before adds nothing."""
        end = (-1 if returncode is None else returncode, said)
        key = (command.fault, node, command.step)
        if self._last.get(key) == end and command.step == "observe":
            return
        self._last[key] = end
        self.record(
            "command.ended",
            fault=command.fault,
            node=node,
            step=command.step,
            command=command.shown,
            returncode=returncode,
            took_s=round(took_s, 6),
            output=said[-EVENT_CHARACTERS:],
        )
        head = f"{wall_time()} {command.step}: {command.shown}\ncode {returncode}, {took_s:.3f} s\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / f"{command.fault}-{node}.log").open("a", encoding="utf-8") as log:
                log.write(f"{head}{said}{'' if said.endswith(chr(10)) or not said else chr(10)}\n")
        except OSError as error:
            raise FaultError(f"{self.folder} cannot be written: {error.strerror}") from error


def missing(program: str) -> str:
    """Return the sentence that a program is not there."""
    return f"{program!r} is neither a program on the PATH nor the path of one"


async def _kill(process: ChildProcess) -> None:
    with anyio.move_on_after(KILL_LIMIT_S, shield=True):
        with suppress(ProcessLookupError):  # it ended just now
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
