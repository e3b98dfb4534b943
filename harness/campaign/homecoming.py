"""Where runs side by side are kept until each is brought home, to where run folders are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.complaints import warn
from harness.errors import ReportError
from harness.scratch import abandoned, hold

PREFIX = ".side-by-side-"


@contextmanager
def kept_apart(reports: Path) -> Iterator[Path]:
    """Make a folder in `reports` for the body; it goes unless a run is left in it.

    Raises:
        ReportError: it cannot be made.
    """
    try:
        reports.mkdir(parents=True, exist_ok=True)
        folder, lock = hold(reports, PREFIX)
    except OSError as error:
        raise ReportError(f"cannot write into {reports}: {error.strerror}") from error
    try:
        yield folder
    finally:
        _clear(folder)
        os.close(lock)


def bring_home(run_folder: Path, reports: Path) -> Path:
    """Move a run folder to where run folders are, and return it there.

    Raises:
        ReportError: it cannot be moved.
    """
    home = reports / run_folder.name
    try:
        run_folder.rename(home)
    except OSError as error:
        raise ReportError(f"cannot move {run_folder} to {home}: {error.strerror}") from error
    return home


def runs_in(folder: Path) -> list[Path]:
    """Return the run folders that are not home yet."""
    return sorted(events.parent for events in folder.glob("runs/*/*/events.jsonl"))


def bring_home_the_abandoned(reports: Path) -> None:
    """Bring home the runs of sessions that were killed, and say where they are."""
    for folder in abandoned(reports, PREFIX):
        for run in runs_in(folder):
            try:
                home = bring_home(run, reports)
            except ReportError as error:
                warn(str(error))
            else:
                warn(f"{home} is of a session that was killed; `nats-harness check` judges it")
        _clear(folder)


def _clear(folder: Path) -> None:
    if not runs_in(folder):
        shutil.rmtree(folder, ignore_errors=True)
