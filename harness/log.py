"""The log for people: JSON lines in the run folder. Nothing is ever judged from it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO, cast

import structlog

from harness.errors import ReportError


@contextmanager
def open_log(path: Path) -> Iterator[structlog.typing.FilteringBoundLogger]:
    """Yield a logger that appends JSON lines to `path`; ReportError when it cannot be opened.

    What cannot be written to it is left out: a full disk ends no run by its log.
    """
    try:
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror}") from error
    with file:
        yield structlog.wrap_logger(
            structlog.WriteLogger(cast("TextIO", _Unfailing(file))),
            wrapper_class=structlog.make_filtering_bound_logger(0),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )


class _Unfailing(io.TextIOBase):
    """Write text into a file, as far as the file takes it."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._file.write(text.encode(errors="replace"))
        return len(text)
