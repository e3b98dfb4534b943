"""What went wrong, said on stderr; and if nobody can be told, the exit code still says it."""

from __future__ import annotations

import os
import tempfile
import traceback
from contextlib import suppress

from rich.console import Console

from harness.errors import EXIT_INCONCLUSIVE, EXIT_USAGE, HarnessError
from harness.history.damage import describe
from harness.plain import plain


def warn(message: str) -> None:
    """Say on stderr what went wrong beside the run, which stands."""
    _say(f"nats-harness: warning: {message}")


def complain(message: str) -> None:
    """Say on stderr what went wrong."""
    _say(f"nats-harness: {message}")


def explain(error: Exception) -> tuple[str, int]:
    """Return what to say of an error that ends a command, and the exit code.

    That is never the one of a failed run: what is no error of ours and none of the system's is a
    defect, by which nothing was found out.
    """
    if isinstance(error, HarnessError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        what = "cannot print" if error.filename is None else error.filename
        return f"{what}: {error.strerror or error}", EXIT_USAGE
    return _describe_defect(error), EXIT_INCONCLUSIVE


def _describe_defect(error: Exception) -> str:
    """Return it in a line that says where its traceback is: in a file, or else below it."""
    what = f"a defect of the harness, please report it: {describe(error)}"
    trace = "".join(traceback.format_exception(error))
    try:
        descriptor, name = tempfile.mkstemp(prefix="nats-harness-defect-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(trace)
    except OSError:
        return f"{what}\n{trace}"
    return f"{what}. Traceback: {name}"


def _say(line: str) -> None:
    with suppress(OSError):
        Console(stderr=True, highlight=False, markup=False).print(plain(line), soft_wrap=True)
