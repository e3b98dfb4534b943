from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from story import Story
from told_pages import eventful, judged

from harness.errors import ReportError, UsageError
from harness.history.model import History
from harness.judging import judge_folder
from harness.pages import run
from harness.pages.write import write_page_or_warn
from harness.report.model import Report
from harness.report.write import write_report
from harness.viewing import check_again, make_page


@pytest.fixture
def console() -> Console:
    return Console(width=300, record=True, file=io.StringIO())


def store(folder: Path, *stories: Story, **changed: Any) -> Path:
    """Leave a run folder without columns; its history is read from elsewhere."""
    report, history = judged(*stories)
    folder.mkdir(parents=True)
    (folder / "scenario.yaml").write_text(json.dumps(history.scenario), encoding="utf-8")
    lines = "".join(json.dumps(one) + "\n" for one in history.events)
    (folder / "events.jsonl").write_text(lines, encoding="utf-8")
    write_report(report.model_copy(update=changed), folder / "report.json")
    return folder


def test_the_page_of_a_run_lies_in_its_folder_and_is_told(tmp_path: Path, console: Console) -> None:
    folder = store(tmp_path / "one", eventful())
    assert make_page([folder], None, console) == 0
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert console.export_text().strip() == str((folder / "report.html").absolute())


def test_the_page_is_written_where_it_is_wanted(tmp_path: Path, console: Console) -> None:
    folder = store(tmp_path / "one", eventful())
    make_page([folder], tmp_path / "there.html", console)
    assert (tmp_path / "there.html").exists()
    assert not (folder / "report.html").exists()


def test_a_folder_of_run_folders_gives_a_page_of_all_with_links(
    tmp_path: Path, console: Console
) -> None:
    store(tmp_path / "runs" / "a # 1", eventful(), run_id="a")
    store(tmp_path / "runs" / "b", Story().core(), run_id="b")
    make_page([tmp_path / "runs" / "a # 1"], None, console)
    make_page([tmp_path / "runs"], None, console)
    page = (tmp_path / "runs" / "runs.html").read_text(encoding="utf-8")
    assert re.findall(r'data-run="(\w)"', page) == ["a", "b"]
    assert page.count("<a href") == 1  # only one of them has a page
    assert 'href="a%20%23%201/report.html"' in page


def test_a_run_named_twice_is_listed_once(tmp_path: Path, console: Console) -> None:
    one, two = store(tmp_path / "one", eventful()), store(tmp_path / "two", eventful())
    make_page([one, two, one], tmp_path / "set.html", console)
    assert (tmp_path / "set.html").read_text(encoding="utf-8").count('<tr data-run="') == 2


def test_a_run_without_a_report_is_judged_anew(tmp_path: Path, console: Console) -> None:
    folder = store(tmp_path / "one", eventful())
    (folder / "report.json").write_text('{"schema_version": "0"}', encoding="utf-8")
    make_page([folder], None, console)
    assert (folder / "report.html").exists()


@pytest.mark.parametrize("what", ["empty", "missing"])
def test_where_no_run_is_one_line_says_so(tmp_path: Path, console: Console, what: str) -> None:
    if what == "empty":
        (tmp_path / what).mkdir()
    with pytest.raises(UsageError, match=what):
        make_page([tmp_path / what], None, console)


def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path, console: Console) -> None:
    folder = store(tmp_path / "one", eventful())
    with pytest.raises(ReportError, match="cannot write"):
        make_page([folder], tmp_path / "no" / "such" / "place.html", console)


def test_check_makes_the_page_anew_and_ends_with_the_path_of_the_report(
    tmp_path: Path, console: Console
) -> None:
    folder = store(tmp_path / "one", eventful())
    (folder / "report.html").write_text("old", encoding="utf-8")
    assert check_again(folder, console) == judge_folder(folder).exit_code
    lines = console.export_text().splitlines()
    assert lines[-2:] == [
        str((folder / name).absolute()) for name in ("report.html", "report.json")
    ]
    assert (folder / "report.html").read_text(encoding="utf-8") != "old"


def test_a_page_that_fails_is_a_warning_and_never_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store(tmp_path / "one", eventful())

    def fail(report: Report, history: History) -> str:
        raise RuntimeError("out of ink")

    monkeypatch.setattr(run, "render_run", fail)
    said: list[str] = []
    report, _ = judged(eventful())
    assert write_page_or_warn(report, folder, said.append) is None
    assert said == [f"{folder / 'report.html'} was not written: out of ink"]
    assert not (folder / "report.html").exists()


def test_check_renews_a_report_that_says_something_else_and_tells(
    tmp_path: Path, console: Console
) -> None:
    folder = store(tmp_path / "one", eventful(), verdict="pass", exit_code=0)
    before = (folder / "report.json").read_bytes()
    code = check_again(folder, console)
    renewed = Report.model_validate_json((folder / "report.json").read_bytes())
    assert renewed.exit_code == code != 0
    assert (folder / "report.json.before").read_bytes() == before
    lines = console.export_text().splitlines()
    said = "report.json says something else than before; what it said is kept in "
    assert f"{said}report.json.before" in lines
    assert lines[-1] == str((folder / "report.json").absolute())
    check_again(folder, console)
    assert (folder / "report.json.before").read_bytes() == before
    assert said not in console.export_text()


def test_a_page_made_of_a_damaged_report_says_so(
    tmp_path: Path, console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store(tmp_path / "one", eventful())
    (folder / "report.json").write_text('{"schema', encoding="utf-8")
    make_page([folder], None, console)
    said = capsys.readouterr().err
    assert said.startswith("nats-harness: warning: ")
    assert "report.json is damaged" in said
    (folder / "report.json").unlink()
    make_page([folder], None, console)
    assert capsys.readouterr().err == ""


def test_a_page_of_a_report_that_contradicts_itself_shows_what_the_judges_say(
    tmp_path: Path, console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store(tmp_path / "one", eventful())
    path = folder / "report.json"
    failed = Report.model_validate_json(path.read_bytes())
    assert failed.verdict == "fail"
    forged = failed.model_copy(update={"verdict": "pass", "exit_code": 0})
    path.write_text(forged.model_dump_json(), encoding="utf-8")
    make_page([folder], None, console)
    assert "report.json is damaged" in capsys.readouterr().err
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert '<p class="verdict"><span class="badge fail large">' in page
