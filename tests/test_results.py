from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from told_reports import failing_over, good

from harness.errors import UsageError
from harness.report.model import Report
from harness.report.words import Unreported
from harness.report.write import write_report
from harness.results import NO_WORD, NOT_RUN, Results, announce, collected


@pytest.fixture(autouse=True)
def no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def left(report: Report, folder: Path) -> Path:
    folder.mkdir()
    write_report(report, folder / "report.json")
    return folder


def errors(path: Path) -> list[str | None]:
    return [one.attrib["type"] for one in ET.parse(path).iter("error")]


def test_the_file_is_there_from_the_start_and_says_what_was_not_run(tmp_path: Path) -> None:
    path = tmp_path / "all.xml"
    with collected(["one", "two"], path) as results:
        assert errors(path) == ["not-run", "not-run"]
        with results.of(0) as tell:
            tell(folder=left(good(), tmp_path / "run"))
        assert errors(path) == ["not-run"]
    assert isinstance(results.outcomes[1], Unreported)
    assert results.outcomes[1].why == NOT_RUN


def test_what_another_process_told_before_it_was_killed_counts(tmp_path: Path) -> None:
    folder = left(failing_over(), tmp_path / "run")
    with collected(["one"], tmp_path / "all.xml") as results, results.of(0) as tell:
        child = os.fork()
        if child == 0:
            tell(folder=folder)
            os._exit(9)
        os.waitpid(child, 0)
    assert results.outcomes == [failing_over()]


def test_a_run_without_a_word_is_no_pass(tmp_path: Path) -> None:
    with collected(["one"], tmp_path / "all.xml") as results, results.of(0):
        pass
    assert isinstance(results.outcomes[0], Unreported)
    assert results.outcomes[0].why == NO_WORD
    assert errors(tmp_path / "all.xml") == ["no-report"]


def test_why_there_is_no_report_is_told(tmp_path: Path) -> None:
    with collected(["one"], tmp_path / "all.xml") as results, results.of(0) as tell:
        tell(why="n1 did not start")
    assert isinstance(results.outcomes[0], Unreported)
    assert results.outcomes[0].why == "n1 did not start"


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_a_report_that_cannot_be_read_is_no_pass(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "report.json").write_bytes(content)
    with collected(["one"], tmp_path / "all.xml") as results, results.of(0) as tell:
        tell(folder=tmp_path)
    assert isinstance(results.outcomes[0], Unreported)
    assert results.outcomes[0].why.startswith("its report cannot be read")


def test_a_file_that_cannot_be_written_is_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "all.xml").mkdir()
    with collected(["one", "two"], tmp_path / "all.xml") as results:
        for index in range(2):
            with results.of(index) as tell:
                tell(why="so")
    said = capsys.readouterr().err.splitlines()
    assert said == [f"nats-harness: warning: cannot write {tmp_path}/all.xml: Is a directory"]


def test_github_is_told_once_at_the_end_also_of_a_session_that_broke_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))

    def break_off() -> None:
        with collected(["one", "two"], None) as results:
            with results.of(0) as tell:
                tell(folder=left(good(), tmp_path / "run"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    text = (tmp_path / "step.md").read_text()
    assert text.count("### ") == 3
    assert "NOT RUN" in text


def test_nothing_is_gathered_that_nobody_wants(tmp_path: Path) -> None:
    with collected(["one"], None) as results, results.of(0) as tell:
        tell(folder=tmp_path)
    assert isinstance(results.outcomes[0], Unreported)


def test_no_room_for_gathering_costs_the_session_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with Results([], tmp_path / "all.xml", None).of(0) as tell:
        tell(why="so")
    assert "cannot gather results: No space left on device" in capsys.readouterr().err


def test_an_old_file_that_cannot_be_replaced_stops_the_session_before_anything_runs(
    tmp_path: Path,
) -> None:
    (tmp_path / "all.xml").mkdir()
    with pytest.raises(UsageError, match=r"--junit: cannot write .*all\.xml: Is a directory"):
        announce(["one"], tmp_path / "all.xml")


def test_a_shorter_word_replaces_a_longer_one(tmp_path: Path) -> None:
    with collected(["one"], tmp_path / "all.xml") as results, results.of(0) as tell:
        tell(folder=tmp_path / ("x" * 100))
        tell(why="no")
    (found,) = results.outcomes
    assert isinstance(found, Unreported)
    assert found.why == "no"


def test_a_scenario_whose_run_raises_is_not_said_to_have_never_been_run(tmp_path: Path) -> None:
    with collected(["one"], tmp_path / "all.xml") as results:
        with pytest.raises(RuntimeError), results.of(0):
            raise RuntimeError
        (found,) = results.outcomes
        assert isinstance(found, Unreported)
        assert found.run


def test_where_a_run_leaves_its_history_is_known_although_it_was_killed(tmp_path: Path) -> None:
    with collected(["one"], tmp_path / "all.xml") as results, results.of(0) as tell:
        assert tell.told() == {}
        child = os.fork()
        if child == 0:
            tell.begin(tmp_path / "run")
            os._exit(9)
        os.waitpid(child, 0)
        assert tell.told()["begun"] == str(tmp_path / "run")
        tell(why="it was killed")
    assert isinstance(results.outcomes[0], Unreported)
    assert results.outcomes[0].why == "it was killed"
