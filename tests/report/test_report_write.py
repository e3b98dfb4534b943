from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from story import Story

from harness.checks import judge
from harness.errors import ReportError
from harness.report.build import build
from harness.report.model import Report
from harness.report.write import write_report


@pytest.fixture
def report() -> Report:
    history = Story().core().history()
    return build(history, judge(history))


def test_a_report_is_written_whole_and_alone(tmp_path: Path, report: Report) -> None:
    path = tmp_path / "report.json"
    write_report(report, path)
    assert json.loads(path.read_text())["verdict"] == "pass"
    assert os.listdir(tmp_path) == ["report.json"]  # noqa: PTH208 - names, hidden ones too
    assert path.stat().st_mode & 0o777 == 0o644


def test_writing_again_replaces_the_report(tmp_path: Path, report: Report) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    write_report(report, path)
    write_report(report, path)
    assert path.read_text().startswith("{")


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path, report: Report) -> None:
    with pytest.raises(ReportError, match=r"^cannot write [^\n]*: No such file or directory$"):
        write_report(report, tmp_path / "no" / "report.json")


def test_a_folder_in_the_way_is_one_clear_line(tmp_path: Path, report: Report) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(ReportError, match=r"^cannot write [^\n]*: Is a directory$"):
        write_report(report, tmp_path / "report.json")
    assert os.listdir(tmp_path) == ["report.json"]  # noqa: PTH208 - names, hidden ones too


def fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def stop(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["fchmod", "fsync"])
@pytest.mark.parametrize("act", [fail, stop])
def test_whatever_breaks_the_writing_off_the_old_report_stays_and_nothing_else(
    tmp_path: Path,
    report: Report,
    monkeypatch: pytest.MonkeyPatch,
    *,
    step: str,
    act: Callable[..., None],
) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    monkeypatch.setattr(os, step, act)
    with pytest.raises(ReportError if act is fail else KeyboardInterrupt):
        write_report(report, path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.json"]  # noqa: PTH208 - names, hidden ones too
