"""The events of a run: one JSON object a line, written as they happen."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.clock import now_ns
from harness.errors import ReportError

BEFORE_ALL = -1


class EventLog:
    """Append events to a file; is an `EventSink` and a context manager.

    Each event reaches the file before the call returns, in one write, so that a crash
    costs at most the end of the last line.
    """

    def __init__(self, path: Path, iteration: int = BEFORE_ALL) -> None:
        self._path = path
        self._iteration = iteration
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise ReportError(f"cannot write {path}: {error.strerror}") from error

    def __call__(
        self, kind: str, *, at_ns: int | None = None, iteration: int | None = None, **facts: Any
    ) -> None:
        """Record one event; its time is now and its iteration the log's, unless given.

        Raises:
            ReportError: the file cannot be written.
        """
        event = {
            "at_ns": now_ns() if at_ns is None else at_ns,
            "kind": kind,
            "iteration": self._iteration if iteration is None else iteration,
            **facts,
        }
        line = json.dumps(event, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        try:
            written = self._file.write(line)
        except OSError as error:
            raise ReportError(f"cannot write {self._path}: {error.strerror}") from error
        if written != len(line):
            raise ReportError(f"cannot write {self._path}: the disk took part of a line only")

    def close(self) -> None:
        """Close the file; nothing can be recorded any more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_events(path: Path) -> tuple[list[dict[str, Any]], str | None]:
    """Read the events of a file and say what is wrong with it, if anything.

    A line that is cut short or is no event is left out, wherever it stands, and named
    in the problem.

    Raises:
        ReportError: the file cannot be read at all.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror}") from error
    lines = content.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    events: list[dict[str, Any]] = []
    broken: list[int] = []
    for number, line in enumerate(lines, start=1):
        event = _parse(line)
        if event is None:
            broken.append(number)
        else:
            events.append(event)
    if broken:
        first = "the last line is cut short" if broken == [len(lines)] else f"line {broken[0]}"
        return events, f"{path.name}: {len(broken)} broken line(s): {first}"
    return events, None


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    whole = (event.get("at_ns"), event.get("iteration"))
    if not all(type(number) is int for number in whole) or not isinstance(event.get("kind"), str):
        return None
    return event
