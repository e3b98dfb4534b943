"""Look at stored runs again: `check` and `html`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from harness.complaints import warn
from harness.errors import EXIT_PASS, UsageError
from harness.files import write_whole
from harness.history.damage import told_in_a_line
from harness.history.model import EVENTS
from harness.history.scenario_file import SCENARIO
from harness.judging import judge_folder
from harness.pages.runs import render_set
from harness.pages.write import PAGE, write_page, write_page_or_warn
from harness.report.model import Report
from harness.report.outputs import REPORT, renew_report, write_outputs
from harness.report.terminal import print_findings, print_places

SET_PAGE = "runs.html"


def check_again(folder: Path, console: Console) -> int:
    """Judge a stored run again, print the report, write all that is made of it anew.

    Returns:
        The run's exit code, by this judgement.
    """
    report = judge_folder(folder)
    print_findings(report, folder, console)
    kept = renew_report(report, folder, warn)
    if kept is not None:
        told = f"{REPORT} says something else than before; what it said is kept in {kept.name}"
        console.print(Text(told), soft_wrap=True)
    write_outputs(report, folder, warn)
    page = write_page_or_warn(report, folder, warn)
    print_places(folder, console, page)
    return report.exit_code


def make_page(folders: Sequence[Path], out: Path | None, console: Console) -> int:
    """Write the page of one run, or of several, and print where it lies.

    Raises:
        UsageError: there is no run in a folder; ReportError: one cannot be read.
    """
    runs = list(dict.fromkeys(run for folder in folders for run in _find_runs(folder)))
    if len(runs) == 1 and runs == list(folders):
        with told_in_a_line(runs[0]):
            path = write_page(_read_report(runs[0]), runs[0], out)
    else:
        path = out or (folders[0] if len(folders) == 1 else Path()) / SET_PAGE
        links = [_link(run / PAGE, path) for run in runs]
        page = render_set([_read_report(run) for run in runs], links=links)
        write_whole(path, page.encode())
    console.print(Text(str(path.absolute())), soft_wrap=True)
    return EXIT_PASS


def _find_runs(folder: Path) -> Iterator[Path]:
    """Yield the folder if it holds a run, or else those in it that do, by name."""
    if _holds_run(folder):
        yield folder
        return
    try:
        inside = sorted(one for one in folder.iterdir() if one.is_dir() and _holds_run(one))
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from error
    if not inside:
        raise UsageError(f"{folder}: no run in it: {SCENARIO} and {EVENTS}, or {REPORT}")
    yield from inside


def _holds_run(folder: Path) -> bool:
    return (folder / REPORT).is_file() or (
        (folder / SCENARIO).is_file() and (folder / EVENTS).is_file()
    )


def _read_report(folder: Path) -> Report:
    """Return the run's report, or judge its history where there is none that can be read."""
    path = folder / REPORT
    try:
        return Report.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        pass  # the run was killed before it could be judged
    except OSError as error:
        warn(f"{path}: {error.strerror}; the run is judged anew")
    except ValidationError:
        warn(f"{path} is damaged, or of another version; the run is judged anew")
    return judge_folder(folder)


def _link(page: Path, from_page: Path) -> str | None:
    """Return the way to a run's own page, if it has one, from where another page is."""
    if not page.is_file():
        return None
    relative = os.path.relpath(page.resolve(), from_page.resolve().parent)
    return quote(Path(relative).as_posix())
