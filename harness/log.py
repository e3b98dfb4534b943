"""The log for people: JSON lines in the run folder. Nothing is ever judged from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from harness.errors import ReportError


@contextmanager
def open_log(path: Path) -> Iterator[structlog.typing.FilteringBoundLogger]:
    """Yield a logger that appends JSON lines to `path`; ReportError when it cannot be opened."""
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror}") from error
    with file:
        yield structlog.wrap_logger(
            structlog.WriteLogger(file),
            wrapper_class=structlog.make_filtering_bound_logger(0),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
