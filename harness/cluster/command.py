"""Run a short foreign command that can neither hang the harness nor outlive its limit."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Completed:
    """How a command ended and what it wrote to stdout and stderr together."""

    returncode: int
    output: str


def run_bounded(
    argv: Sequence[str | Path],
    limit_s: float,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Completed:
    """Run a command to its end, or kill it and all that it started at the limit.

    The output goes through a file: a pipe would stay open for as long as a grandchild
    holds it, whatever the limit says.

    Raises:
        TimeoutError: it had not ended within `limit_s` seconds.
        OSError: it could not be started.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=env,
            cwd=cwd,
        )
        try:
            returncode = process.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{argv[0]} did not end within {limit_s:g} s") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return Completed(returncode, output.read().decode(errors="replace"))
