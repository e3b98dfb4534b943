"""From a run folder to a report: what `run` does at its end and `check` does again."""

from __future__ import annotations

from pathlib import Path

from harness.checks import judge
from harness.history.model import History
from harness.report.build import build
from harness.report.model import Report


def judge_folder(folder: Path) -> Report:
    """Return the report on the history in a run folder; ReportError when there is none."""
    history = History.load(folder)
    return build(history, judge(history))
