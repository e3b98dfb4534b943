"""The ledger of a campaign: what was done, so that nothing is done twice after an interruption."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from harness.campaign.model import Cell, Outcome
from harness.errors import ReportError

FILE = "campaign.jsonl"


class Line(BaseModel):
    """A line of the ledger; `report` lies below its folder."""

    model_config = ConfigDict(frozen=True)

    key: str
    cell: str
    report: Annotated[str, Field(pattern=r"^runs/[^/.][^/]*/[^/.][^/]*/report\.json$")]
    exit_code: int
    took_s: float


@dataclass
class Ledger:
    """What is known of the cells of a campaign in `folder`; held by one process at a time."""

    folder: Path
    _lines: dict[str, Line] = field(default_factory=dict)
    _descriptor: int = -1

    def outcome(self, cell: Cell) -> Outcome | None:
        """Return what became of a cell; None where it is to be run, or its report is no good."""
        line = self._lines.get(cell.key)
        if line is None:
            return None
        found = Outcome(cell, self.folder / line.report, line.exit_code, line.took_s)
        return None if found.load() is None else found

    def enter(self, outcome: Outcome) -> None:
        """Write down what became of a cell, durably; what left no report is not done.

        Raises:
            ReportError: it cannot be written.
        """
        if outcome.report is None or outcome.load() is None or outcome.interrupted:
            return
        line = Line(
            key=outcome.cell.key,
            cell=outcome.cell.name,
            report=outcome.report.relative_to(self.folder).as_posix(),
            exit_code=outcome.exit_code,
            took_s=round(outcome.took_s, 3),
        )
        try:
            os.write(self._descriptor, (line.model_dump_json() + "\n").encode())
            os.fsync(self._descriptor)
        except OSError as error:
            raise ReportError(f"cannot write {self.folder / FILE}: {error.strerror}") from error
        self._lines[outcome.cell.key] = line

    def missing(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return the cells that are still to be run."""
        return [cell for cell in cells if self.outcome(cell) is None]


@contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """Open the ledger in a folder, which is made if need be; a torn last line is passed over.

    Raises:
        ReportError: it cannot be written or read, or another process holds it.
    """
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ReportError(f"cannot write into {folder}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = path.read_bytes()
            if text and not text.endswith(b"\n"):
                os.write(descriptor, b"\n")
        except BlockingIOError as error:
            raise ReportError(f"{folder}: another nats-harness is at work there") from error
        except OSError as error:
            raise ReportError(f"{path}: {error.strerror}") from error
        yield Ledger(folder, {line.key: line for line in _read(text)}, descriptor)
    finally:
        os.close(descriptor)


def _read(text: bytes) -> Iterator[Line]:
    for raw in text.splitlines():
        with suppress(ValueError):  # it was being written when the process was killed
            yield Line.model_validate_json(raw)
