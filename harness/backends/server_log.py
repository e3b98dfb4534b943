"""Read the end of a server's log, to say why the server ended."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from harness.cluster.protocols import Endpoints
from harness.scenario.compose.redaction import redact_text

LINES = 10
TAIL_BYTES = 16_384

LOOKED_AT = 100
_ERROR = re.compile(r"\[(?:ERR|FTL)\] (.+)")
_FATAL = re.compile(r"\[FTL\] (.+)")
_TAKEN = re.compile(r"(\S+:\d+): bind: address already in use")


def tail(path: Path, lines: int = LINES) -> list[str]:
    """Return the last lines of a log, without logins in URLs; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            said = file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
    return [redact_text(line) for line in said]


def explain_exit(node: str, returncode: int | None, log: Path, endpoints: Endpoints) -> str:
    """Return how a server ended, the port that was taken if that is why, and its last words."""
    said = tail(log)
    head = f"{node} {how_ended(returncode)}"
    if (taken := _TAKEN.search("\n".join(said))) is not None:
        head = f"{node} could not listen on {_port(taken[1], endpoints)}: it is taken; {head}"
    if not said:
        return f"{head}; its log is empty"
    return "\n  ".join([f"{head}; the end of {log}:", *said])


def last_error(log: Path) -> str:
    """Return the last error in a log without its time; empty when there is none."""
    errors = (match for line in reversed(tail(log, LOOKED_AT)) if (match := _ERROR.search(line)))
    return next((match[1] for match in errors), "")


def last_fatal(log: Path, start: int) -> str:
    """Return the last fatal error that a log holds from the byte `start` on; empty when none."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    fatal = (match for line in reversed(lines) if (match := _FATAL.search(line)))
    return next((redact_text(match[1]) for match in fatal), "")


def size(log: Path) -> int:
    """Return how many bytes a log has; none when there is no log."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def how_ended(returncode: int | None) -> str:
    """Return how a process ended, after the name of whose it was."""
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
        str(endpoints.server or endpoints.client): "client port",
        str(endpoints.route): "route port",
        str(endpoints.monitor): "monitoring port",
    }
    return f"{address} ({named[address]})" if address in named else address
