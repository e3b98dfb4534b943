"""`run --jobs`: the scenarios of one command side by side, each with its usual report."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from harness.campaign.conduct import conduct, lay_out
from harness.campaign.homecoming import (
    bring_home,
    bring_home_the_abandoned,
    kept_apart,
    runs_in,
)
from harness.campaign.model import Outcome
from harness.errors import EXIT_INTERRUPTED
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
    bring_home_the_abandoned(options.reports)
    cells = lay_out(names, {"": options}, [0], console)
    keys = [cell.key for cell in cells]
    codes: list[int] = []
    shown: set[str] = set()
    wanted = [cell.scenario.name for cell in cells]
    with kept_apart(options.reports) as folder, collected(wanted, options.junit) as results:

        def show(outcome: Outcome) -> None:
            report = outcome.load()
            codes.append(outcome.code_of(report))
            shown.add(outcome.cell.key)
            with results.of(keys.index(outcome.cell.key)) as tell:
                if report is None or outcome.report is None:
                    tell(why=outcome.trouble)
                    return
                home = bring_home(outcome.report.parent, options.reports)
                print_findings(report, home, console)
                page = home / PAGE
                print_places(home, console, page if page.exists() else None)
                tell(folder=home)

        def bring_the_rest() -> None:
            for left in runs_in(folder):  # of what was interrupted, which has reported by now
                home = bring_home(left, options.reports)
                key = left.parent.name.rpartition("-")[2]
                if key not in shown:
                    with results.of(keys.index(key)) as tell:
                        tell(folder=home)
                console.print(Text(str(home.absolute())), soft_wrap=True)

        try:
            done = conduct(
                cells, folder, jobs, console, quiet=options.quiet, again=False, on_end=show
            )
        finally:
            bring_the_rest()
    return worst_exit_code([*codes, EXIT_INTERRUPTED] if done.interrupted else codes)
