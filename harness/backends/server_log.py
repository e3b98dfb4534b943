"""Read the end of a server's log, to say why the server ended."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from harness.cluster.protocols import Endpoints

LINES = 10
TAIL_BYTES = 16_384

_TAKEN = re.compile(r"(\S+:\d+): bind: address already in use")


def tail(path: Path, lines: int = LINES) -> list[str]:
    """Return the last lines of a log; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def explain_exit(node: str, returncode: int | None, log: Path, endpoints: Endpoints) -> str:
    """Return how a server ended, the port that was taken if that is why, and its last words."""
    said = tail(log)
    head = f"{node} {_how(returncode)}"
    if (taken := _TAKEN.search("\n".join(said))) is not None:
        head = f"{node} could not listen on {_port(taken[1], endpoints)}: it is taken; {head}"
    if not said:
        return f"{head}; its log is empty"
    return "\n  ".join([f"{head}; the end of {log}:", *said])


def _how(returncode: int | None) -> str:
    if returncode is None:
        return "was never started"
    if returncode >= 0:
        return f"exited with status {returncode}"
    try:
        return f"was ended by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was ended by signal {-returncode}"


def _port(address: str, endpoints: Endpoints) -> str:
    named = {
        str(endpoints.client): "client port",
        str(endpoints.route): "route port",
        str(endpoints.monitor): "monitoring port",
    }
    return f"{address} ({named[address]})" if address in named else address
