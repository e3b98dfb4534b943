"""From a run folder to a report: what `run` does at its end and `check` does again."""

from __future__ import annotations

from pathlib import Path

from harness.checks import judge
from harness.history.damage import told_in_a_line
from harness.history.model import History
from harness.report.build import build
from harness.report.model import Report


def judge_folder(folder: Path) -> Report:
    """Return the report on the history in a run folder.

    Raises:
        ReportError: there is none, or it is damaged beyond judging.
    """
    history = History.load(folder)
    with told_in_a_line(folder, history.problems):
        return build(history, judge(history))
