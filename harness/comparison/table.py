"""The comparison for a person at a terminal: what changed, and what could not be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.comparison.model import Comparison, MetricChange, ScenarioChange, Side

STYLES = {
    "regressed": "bold red",
    "improved": "bold green",
    "unchanged": "dim",
    "too-few-runs": "bold yellow",
    "not-comparable": "yellow",
}
OUTCOMES = {
    "regression": ("REGRESSION", "bold red"),
    "too-few-runs": ("TOO FEW RUNS", "bold yellow"),
    "no-regression": ("NO REGRESSION", "bold green"),
}
ORDER = tuple(STYLES)
MAX_UNTOLD = 10  # of what could not be told, as when there are few runs of everything


def print_comparison(comparison: Comparison, console: Console, *, everything: bool) -> None:
    """Print the comparison; `everything` includes what did not change."""
    word, style = OUTCOMES[comparison.outcome]
    line = Text(word, style=style)
    line.append(f"  {_call(comparison.baseline)} -> {_call(comparison.candidate)}", style="bold")
    console.print(line)
    for scenario in comparison.scenarios:
        _print_scenario(scenario, console, everything=everything)
    for name in comparison.missing:
        console.print(Text(f"not compared: {name}", style="yellow"))
    console.print(
        Text(
            f"{comparison.compared} statistics compared; the chance of a false change in any of "
            f"them is at most {comparison.alpha:g}",
            style="dim",
        )
    )


def _call(side: Side) -> str:
    servers = ", ".join(side.servers) or "unknown"
    label = side.label if side.label != servers else ""
    release = f"nats-server {servers}"
    return f"{label} ({release})" if label else release


def _print_scenario(scenario: ScenarioChange, console: Console, *, everything: bool) -> None:
    line = Text(scenario.scenario, style="bold")
    line.append(
        f"  {scenario.baseline.iterations} and {scenario.candidate.iterations} iterations",
        style="dim",
    )
    console.print(line)
    shown = [one for one in scenario.metrics if everything or one.change != "unchanged"]
    shown.sort(key=lambda one: ORDER.index(one.change))
    untold = [one for one in shown if one.change == "too-few-runs"]
    hidden = [] if everything else untold[MAX_UNTOLD:]
    if shown:
        _print_changes([one for one in shown if one not in hidden], console)
    if hidden:
        console.print(Text(f"  and {len(hidden)} more that could not be told: --all shows them"))
    counts: Counter[str] = Counter(one.change for one in scenario.metrics)
    told = [f"{counts[name]} {name}" for name in ORDER if counts[name]]
    console.print(Text(f"  {', '.join(told) or 'nothing to compare'}"))
    for note in scenario.notes:
        console.print(Text(f"  note: {note}", style="yellow"))


def _print_changes(changes: Sequence[MetricChange], console: Console) -> None:
    """Print each change as a sentence."""
    table = Table(box=None, padding=(0, 2, 0, 2), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in changes:
        table.add_row(Text(one.change, style=STYLES[one.change]), Text(one.why))
    console.print(table)
