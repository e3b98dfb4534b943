"""The page of a set of runs, with their comparison where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.comparison.model import Comparison
from harness.pages import words
from harness.pages.comparison import Compared, compare_scenarios
from harness.pages.strips import Strip, strip_metrics
from harness.pages.templating import render
from harness.report.model import SEVERITY, Report
from harness.report.words import name_scenario, server_versions

MOST_ROWS = 500


@dataclass(frozen=True)
class ScenarioStrips:
    """The distributions of all runs of one scenario, a row for each server release."""

    scenario: str
    strips: list[Strip]


@dataclass(frozen=True)
class RunRow:
    """A run in the table; `link` leads to its own page, None where there is none."""

    report: Report
    link: str | None
    lost: str
    failover: str

    @property
    def name(self) -> str:
        """Return what its scenario is called."""
        return name_scenario(self.report)

    @property
    def servers(self) -> str:
        """Return the releases of its servers."""
        return server_versions(self.report.environment) or "?"


def render_set(
    reports: Sequence[Report],
    comparison: Comparison | None = None,
    links: Sequence[str | None] = (),
) -> str:
    """Return the page of a set of runs; pure, and without any need of their histories.

    Args:
        reports: of the runs, in the order in which they are to be listed.
        comparison: what a comparison of them says; told first where there is one.
        links: beside each report, where its own page lies, relative to this one.
    """
    linked = [*links, *[None] * (len(reports) - len(links))]
    counts = {
        verdict: sum(one.verdict == verdict for one in reports) for verdict in reversed(SEVERITY)
    }
    return render(
        "set.html",
        rows=[_list_run(*one) for one in zip(reports, linked, strict=True)],
        counts=counts,
        verdict=next((name for name, count in counts.items() if count), "inconclusive"),
        comparison=comparison,
        compared=[] if comparison is None else list(_order(compare_scenarios(comparison))),
        scenarios=list(_strip_scenarios(reports)),
        most_rows=MOST_ROWS,
    )


def _order(compared: Sequence[Compared]) -> Iterator[Compared]:
    """Put scenarios with changes first."""
    yield from sorted(compared, key=lambda one: -one.changed)


def _list_run(report: Report, link: str | None) -> RunRow:
    lost = [
        metric.count or 0
        for name in ("lost", "stream_lost", "consumer_lost", "kv_lost")
        if (metric := report.metrics.get(name)) is not None and metric.n
    ]
    costs = {one.name: one.value for one in words.list_costs(report)}
    return RunRow(
        report, link, f"{sum(lost):,}" if lost else "-", costs.get("Slowest failover", "-")
    )


def _strip_scenarios(reports: Sequence[Report]) -> Iterator[ScenarioStrips]:
    names = dict.fromkeys(name_scenario(one) for one in reports)
    for name in names:
        own = [one for one in reports if name_scenario(one) == name]
        sides: dict[str, list[Report]] = {}
        for one in own:
            label = f"nats-server {server_versions(one.environment) or '?'}"
            sides.setdefault(label, []).append(one)
        strips = strip_metrics(
            {label: [it for one in side for it in one.iterations] for label, side in sides.items()}
        )
        yield ScenarioStrips(name, strips)
