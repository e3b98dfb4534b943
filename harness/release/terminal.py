"""A release check on the terminal: the decision, why, and what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.comparison.model import MetricChange
from harness.release.model import Decision, ReleaseCheck
from harness.units import human_duration

DECISIONS: Mapping[Decision, tuple[str, str]] = MappingProxyType(
    {
        "go": ("GO", "bold green"),
        "no-go": ("NO-GO", "bold red"),
        "not-enough-evidence": ("NOT ENOUGH EVIDENCE", "bold yellow"),
    }
)
MAX_REASONS = 12
TIGHT = 0.25  # of its limit: a margin below this is worth a look


def print_check(check: ReleaseCheck, console: Console) -> None:
    """Print the check, the weightiest first."""
    word, style = DECISIONS[check.decision]
    console.print(
        Text(f"{word}  ", style).append(
            f"{check.candidate.label} against {check.baseline.label} "
            f"({len(check.suite)} scenarios, {check.runs_each} runs of each on each; "
            f"{human_duration(check.took_s)} of runs)"
        ),
        soft_wrap=True,
    )
    for reason in check.reasons[:MAX_REASONS]:
        console.print(Text(f"  {reason}"), soft_wrap=True)
    if (more := len(check.reasons) - MAX_REASONS) > 0:
        console.print(Text(f"  and {more} more, in release.json", "dim"))
    for line in _sections(check):
        console.print(line, soft_wrap=isinstance(line, Text))


def _sections(check: ReleaseCheck) -> Iterator[Text | Table]:
    kept = len(check.thresholds) - sum(one.worst.verdict != "pass" for one in check.thresholds)
    yield Text(f"promises    {len(check.broken)} broken", "" if not check.broken else "bold red")
    yield Text(f"thresholds  {kept} of {len(check.thresholds)} kept in every run")
    tight = [
        one
        for one in check.thresholds
        if one.worst.verdict == "pass" and one.worst.limit and one.worst.margin is not None
        if 0 < one.worst.margin < TIGHT * abs(one.worst.limit)
    ]
    for one in tight:
        where = f"{one.scenario}: {one.metric} {one.condition}"
        yield Text(f"  tight: {where}, margin {one.worst.margin:.3g}")
    yield from _changes(check)
    proven = sum(one.proven for one in check.proofs)
    yield Text(f"faults      {proven} of {sum(one.intended for one in check.proofs)} proven")
    disturbed = sum(one.disturbed for one in check.runs)
    if disturbed:
        yield Text(f"disturbed   {disturbed} of {len(check.runs)} runs, by whatever else went on")
    yield Text(f"again       {check.reproduce}")


def _changes(check: ReleaseCheck) -> Iterator[Text | Table]:
    if check.comparison is None:
        yield Text("changes     not compared", "yellow")
        return
    every = [(one.scenario, metric) for one in check.comparison.scenarios for metric in one.metrics]
    counts = {
        change: sum(metric.change == change for _, metric in every)
        for change in ("regressed", "improved", "unchanged", "too-few-runs", "not-comparable")
    }
    told = ", ".join(f"{count} {change}" for change, count in counts.items() if count)
    yield Text(f"changes     {told or 'nothing to compare'}")
    for scenario, metric in every:
        if metric.change in ("regressed", "improved"):
            yield _change(scenario, metric)


def _change(scenario: str, metric: MetricChange) -> Text:
    style = "bold red" if metric.change == "regressed" else "green"
    line = Text(f"  {metric.change}: ", style)
    return line.append(f"{scenario}: {metric.metric} {metric.statistic}: {metric.why}")
