"""The page of one run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.history.model import History
from harness.pages import words
from harness.pages.figure import draw_iteration
from harness.pages.strips import strip_metrics
from harness.pages.templating import render, timeline_scripts
from harness.report.model import Report
from harness.report.notices import describe_notices
from harness.report.words import name_scenario, server_versions, worst_iteration

MOST_BINS, LEAST_BINS, ALL_BINS = 900, 100, 9000
PHASE_COUNTS = (
    "intended", "attempted", "accepted", "acked", "expected", "delivered", "lost", "unknown",
    "recovered", "refused", "duplicates", "out_of_order",
)  # fmt: skip
ALWAYS_SHOWN = ("intended", "accepted", "delivered", "lost")
MOST_ROWS = 200


def render_run(report: Report, history: History) -> str:
    """Return the page of a run, complete in itself; pure, like the report.

    Raises:
        ReportError: plotly.js is not installed.
    """
    worst = worst_iteration(report) if report.iterations else None
    return render(
        "run.html",
        report=report,
        words=words,
        name=name_scenario(report),
        versions=server_versions(report.environment),
        worst=worst,
        figures=list(_draw(report, history)),
        strips=strip_metrics({"this run": report.iterations}),
        describe_notices=describe_notices,
        count_columns=_count_columns(report),
        most_rows=MOST_ROWS,
        scripts=timeline_scripts(),
    )


def _draw(report: Report, history: History) -> Iterator[dict[str, Any]]:
    """Yield the figure of each iteration, or why there is none."""
    servers = sorted(one.name for one in report.environment.servers)
    told = {one.index: one for one in report.iterations}
    bins = max(LEAST_BINS, min(MOST_BINS, ALL_BINS // max(1, len(told))))
    for iteration in history.iterations:
        try:
            drawn = draw_iteration(
                iteration, told[iteration.index], history.scenario, servers, bins
            )
        except ValueError as error:
            yield {"index": iteration.index, "problem": f"no timeline: {error}"}
        else:
            yield {"index": iteration.index, "problem": None, **drawn}


def _count_columns(report: Report) -> list[str]:
    """Return which counts of messages are worth a column: those that are not zero throughout."""
    counted = [one.messages for one in report.iterations if one.messages is not None]
    return [
        name
        for name in PHASE_COUNTS
        if name in ALWAYS_SHOWN or any(getattr(one, name) for one in counted)
    ]
