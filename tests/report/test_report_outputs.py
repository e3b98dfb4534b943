from __future__ import annotations

import os
from pathlib import Path

import pytest
from told_reports import NOT_RUN, failing_over, good

from harness.errors import ReportError
from harness.report import outputs
from harness.report.model import Report
from harness.report.outputs import (
    OUTPUTS,
    STEP_LIMIT_BYTES,
    renew_report,
    tell_github,
    write_junit,
    write_outputs,
)
from harness.report.write import write_report


@pytest.fixture
def warned() -> list[str]:
    return []


def test_every_output_is_written_beside_the_report(tmp_path: Path, warned: list[str]) -> None:
    write_outputs(good(), tmp_path, warned.append)
    assert sorted(os.listdir(tmp_path)) == sorted(OUTPUTS)  # noqa: PTH208 - hidden ones too
    assert warned == []


def test_writing_again_replaces_them(tmp_path: Path, warned: list[str]) -> None:
    write_outputs(good(), tmp_path, warned.append)
    write_outputs(failing_over(), tmp_path, warned.append)
    assert (tmp_path / "summary.md").read_text().startswith("### FAIL")


def test_a_folder_that_cannot_be_written_is_a_warning_for_each(
    tmp_path: Path, warned: list[str]
) -> None:
    write_outputs(good(), tmp_path / "no", warned.append)
    assert len(warned) == len(OUTPUTS)
    assert all(one.startswith("cannot write ") and "\n" not in one for one in warned)


def test_one_that_crashes_is_a_warning_and_the_others_are_written(
    tmp_path: Path, warned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(report: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(outputs, "OUTPUTS", {**OUTPUTS, "summary.md": crash})
    write_outputs(good(), tmp_path, warned.append)
    assert warned == [f"cannot write {tmp_path / 'summary.md'}: ZeroDivisionError: "]
    assert {path.name for path in tmp_path.iterdir()} == OUTPUTS.keys() - {"summary.md"}


def test_the_file_of_a_session_makes_its_folder(tmp_path: Path, warned: list[str]) -> None:
    path = tmp_path / "results" / "all.xml"
    write_junit([good(), NOT_RUN], path, warned.append)
    assert path.read_text().count("<testsuite ") == 2
    assert warned == []


def test_github_is_told_after_what_was_there(tmp_path: Path, warned: list[str]) -> None:
    path = tmp_path / "step.md"
    path.write_text("before")
    tell_github([good()], path, warned.append)
    tell_github([failing_over()], path, warned.append)
    text = path.read_text()
    assert text.startswith("before\n### PASS")
    assert text.index("### PASS") < text.index("\n### FAIL")
    assert warned == []


@pytest.mark.parametrize("taken", [STEP_LIMIT_BYTES, STEP_LIMIT_BYTES - 300, STEP_LIMIT_BYTES * 2])
def test_what_github_would_not_take_is_not_written(
    tmp_path: Path, warned: list[str], taken: int
) -> None:
    path = tmp_path / "step.md"
    path.write_bytes(b"x" * taken)
    tell_github([good()], path, warned.append)
    assert path.stat().st_size <= max(taken, STEP_LIMIT_BYTES)
    if taken >= STEP_LIMIT_BYTES:
        assert "has no room" in warned[0]


def test_a_summary_that_cannot_be_appended_is_a_warning(tmp_path: Path, warned: list[str]) -> None:
    tell_github([good()], tmp_path, warned.append)
    assert warned == [f"cannot write {tmp_path}: Is a directory"]


def test_a_report_that_differs_is_renewed_and_the_one_before_is_kept(
    tmp_path: Path, warned: list[str]
) -> None:
    path = tmp_path / "report.json"
    assert renew_report(good(), tmp_path, warned.append) is None  # there was none
    first = path.read_bytes()
    assert renew_report(good(), tmp_path, warned.append) is None
    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]
    kept = renew_report(failing_over(), tmp_path, warned.append)
    assert kept == tmp_path / "report.json.before"
    assert kept.read_bytes() == first
    assert Report.model_validate_json(path.read_bytes()) == failing_over()
    assert warned == []


def test_a_report_that_cannot_be_kept_stays(
    tmp_path: Path, warned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(good(), tmp_path / "report.json")
    before = (tmp_path / "report.json").read_bytes()

    def refuse(path: Path, content: bytes) -> None:
        raise ReportError(f"cannot write {path}: no space")

    monkeypatch.setattr(outputs, "write_whole", refuse)
    assert renew_report(failing_over(), tmp_path, warned.append) is None
    assert (tmp_path / "report.json").read_bytes() == before
    assert warned == [f"cannot write {tmp_path / 'report.json.before'}: no space"]
