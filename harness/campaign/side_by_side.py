"""`run --jobs`: the scenarios of one command side by side, each with its usual report."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.campaign.conduct import conduct, lay_out
from harness.campaign.model import Outcome
from harness.errors import EXIT_INTERRUPTED, ReportError
from harness.pages.write import PAGE
from harness.report.terminal import print_findings, print_places
from harness.results import announce, collected
from harness.session import Options, worst_exit_code


def run_side_by_side(names: Sequence[str], options: Options, jobs: int, console: Console) -> int:
    """Run scenarios side by side; return the worst exit code.

    Nothing starts unless all are valid. Each report is printed when its run has ended, and its
    run folder is then where it would be had it been run alone.

    Raises:
        UsageError: a scenario is wrong, or cannot be run.
    """
    announce(names, options.junit)
    cells = lay_out(names, {"": options}, [0], console)
    folder = options.reports / f".side-by-side-{secrets.token_hex(3)}"

    keys = [cell.key for cell in cells]
    codes: list[int] = []
    with collected([cell.scenario.name for cell in cells], options.junit) as results:

        def show(outcome: Outcome) -> None:
            report = outcome.load()
            codes.append(outcome.code_of(report))
            with results.of(keys.index(outcome.cell.key)) as tell:
                if report is None or outcome.report is None:
                    tell(why=outcome.trouble)
                    return
                home = _bring_home(outcome.report.parent, options.reports)
                print_findings(report, home, console)
                page = home / PAGE
                print_places(home, console, page if page.exists() else None)
                tell(folder=home)

        try:
            done = conduct(
                cells, folder, jobs, console, quiet=options.quiet, again=False, on_end=show
            )
        finally:
            for left in folder.glob("runs/*/*/events.jsonl"):  # of what was interrupted
                home = _bring_home(left.parent, options.reports)
                console.print(Text(str(home.absolute())), soft_wrap=True)
            shutil.rmtree(folder, ignore_errors=True)
    return worst_exit_code([*codes, EXIT_INTERRUPTED] if done.interrupted else codes)


def _bring_home(run_folder: Path, reports: Path) -> Path:
    """Move a run folder to where run folders are, and return it there."""
    home = reports / run_folder.name
    try:
        run_folder.rename(home)
    except OSError as error:
        raise ReportError(f"cannot move {run_folder} to {home}: {error.strerror}") from error
    return home
