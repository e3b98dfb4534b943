"""Write a run's page into its folder.

What makes the page is imported only then: a defect there must not keep anything from running.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.files import write_whole
from harness.report.model import Report

PAGE = "report.html"


def write_page(report: Report, folder: Path, path: Path | None = None) -> Path:
    """Write the page of the run in a folder, by default as its report.html; return where.

    Raises:
        ReportError: the history cannot be read, or the page cannot be written.
    """
    from harness.history.model import History
    from harness.pages.run import render_run

    path = folder / PAGE if path is None else path
    write_whole(path, render_run(report, History.load(folder)).encode())
    return path


def write_page_or_warn(report: Report, folder: Path, warn: Callable[[str], None]) -> Path | None:
    """Write the page, or warn and return None: no page is worth a verdict."""
    try:
        return write_page(report, folder)
    except Exception as error:  # noqa: BLE001 - whatever it is, the verdict stands
        warn(f"{folder / PAGE} was not written: {error or type(error).__name__}")
        return None
