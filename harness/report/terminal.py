"""The report for a person at a terminal, or for a pipe: verdict first, path last."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.model import SEVERITY, Fault, Iteration, Report
from harness.report.named import print_named
from harness.report.notices import print_notices
from harness.report.streams import print_streams
from harness.report.timeline import draw_timeline
from harness.report.words import (
    THRESHOLDS,
    describe_proof,
    describe_sign,
    describe_unnoticed,
    name_messages,
    show,
    telling,
    told_apart,
    worst_iteration,
)
from harness.units import human_duration

STYLES = {"pass": "bold green", "inconclusive": "bold yellow", "fail": "bold red"}
MAX_ROWS = 20
MAX_WIDTH = 100


def print_report(report: Report, run_folder: Path, console: Console) -> None:
    """Print the report; readable in 80 columns, without colour and through a pipe."""
    print_findings(report, run_folder, console)
    print_places(run_folder, console)


def print_findings(report: Report, run_folder: Path, console: Console) -> None:
    """Print all of the report but where it lies."""
    _print_verdict(report, console)
    _print_thresholds(report, console)
    _print_findings(report, console)
    if report.iterations:
        shown = worst_iteration(report)
        if len(report.iterations) > 1:
            _print_iterations(report, shown, console)
        _print_faults(shown.faults, console)
        _print_reconnects(shown, console)
        print_notices(shown.faults, console)
        print_named(shown.named, console)
        _print_messages(shown, console)
        print_streams(shown.streams, console)
        _print_timeline(shown, console)
    for warning in report.warnings:
        console.print(Text(f"note: {warning}", style="yellow"))
    for replay in sorted(run_folder.glob("replay*.yaml")):
        command = f"the same faults again: nats-harness run {shlex.quote(str(replay))}"
        console.print(Text(command), soft_wrap=True)


def print_places(run_folder: Path, console: Console, page: Path | None = None) -> None:
    """Print where the page lies, if there is one, and on the last line where report.json does."""
    if page is not None:
        console.print(Text(str(page.absolute())), soft_wrap=True)
    console.print(Text(str((run_folder / "report.json").absolute())), soft_wrap=True)


def _verdict(name: str) -> Text:
    return Text(name if name == "pass" else name.upper(), style=STYLES[name])


def _print_verdict(report: Report, console: Console) -> None:
    line = Text()
    line.append(report.verdict.upper(), style=STYLES[report.verdict])
    if report.interrupted:
        line.append(" (INTERRUPTED)", style="bold red")
    line.append(f"  {report.scenario.get('name', '')}", style="bold")
    line.append(f"  ({'; '.join(told_apart(report))})")
    console.print(line)


def _table(*columns: str, title: str = "", numbers: Sequence[str] = ()) -> Table:
    table = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, title=title or None,
        title_justify="left", title_style="bold", header_style="dim",
        show_header=any(columns),
    )  # fmt: skip
    for column in columns:
        right = column in numbers
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    return table


def _add(table: Table, *cells: str | Text) -> None:
    """Add a row of text as it is: brackets in it are no markup."""
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def _say(console: Console, text: str) -> None:
    console.print(Text(text))


def _print_thresholds(report: Report, console: Console) -> None:
    findings = [one for one in report.findings if one.check == THRESHOLDS]
    if not findings:
        _say(console, "no thresholds: only what must always hold was judged")
        return
    table = _table("", "threshold", "", "value", "margin", "n", numbers=("value", "margin", "n"))
    for one in findings:
        _add(
            table,
            _verdict(one.verdict),
            one.metric or "",
            one.condition or "",
            show(one, one.value, bound=one.at_least),
            show(one, one.margin, bound=False),
            "-" if one.n is None else str(one.n),
        )
    console.print(table)


def _print_findings(report: Report, console: Console) -> None:
    """Print what is not a pass, causes before thresholds, with what to do about it."""
    for one in telling(report):
        several = len(report.iterations) > 1 and one.iteration is not None
        where = f" [iteration {one.iteration}]" if several else ""
        line = _verdict(one.verdict).append(f" {one.check}{where}: {one.detail}", style="default")
        console.print(line)
        if one.advice:
            console.print(Text(f"  what to do: {one.advice}", style="dim"))


def _print_iterations(report: Report, shown: Iteration, console: Console) -> None:
    counts = {name: sum(one.verdict == name for one in report.iterations) for name in SEVERITY}
    parts = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    console.print(f"{len(report.iterations)} iterations: {parts}; number {shown.index} in detail:")


def _print_faults(faults: Sequence[Fault], console: Console) -> None:
    if not faults:
        return
    table = _table("fault", "on", "from", "to", "proof", numbers=("from", "to"))
    for fault in faults:
        seen = "; ".join(describe_proof(fault))
        _add(
            table,
            f"{fault.name} ({fault.action})",
            ", ".join(fault.targets),
            _at(fault.inject_start),
            _at(fault.heal_done),
            seen or "none",
        )
    console.print(table)


def _at(at: float | None) -> str:
    return "never" if at is None else f"{at:.2f} s"


def _print_reconnects(iteration: Iteration, console: Console) -> None:
    rows = [(client, one) for client in iteration.clients for one in client.disconnects]
    if not rows:
        return
    table = _table(
        "client",
        "servers",
        "sign",
        "noticed",
        "back",
        "tries",
        numbers=("noticed", "back", "tries"),
    )
    for client, one in rows[:MAX_ROWS]:
        sign, server = describe_sign(one), one.server or "?"
        if one.told:
            _add(
                table,
                client.name,
                f"{server} > {one.reconnected_to or '?'}",
                sign,
                _duration(one.detection_time, bound=False),
                _duration(one.reconnect_latency, bound=one.censored),
                str(one.attempts),
            )
        else:  # it never disconnected, so there is nothing to come back from
            _add(table, client.name, server, sign, describe_unnoticed(one), "-", "-")
    console.print(table)
    if len(rows) > MAX_ROWS:
        _say(console, f"and {len(rows) - MAX_ROWS} more in report.json")


def _duration(value: float | None, *, bound: bool) -> str:
    return "-" if value is None else (">= " if bound else "") + human_duration(value)


def _print_messages(iteration: Iteration, console: Console) -> None:
    messages = iteration.messages
    if messages is None:
        return
    names = name_messages(messages)
    heads = [name.replace("_", " ") for name in names]
    table = _table("messages", *heads, numbers=heads)
    for phase, counts in messages.by_phase.items():
        _add(table, phase, *(str(getattr(counts, name)) for name in names))
    _add(table, "all", *(str(getattr(messages, name)) for name in names))
    table.padding = (0, 1, 0, 0)
    console.print(table)


def _print_timeline(iteration: Iteration, console: Console) -> None:
    unicode = console.encoding.lower().startswith("utf")
    for line in draw_timeline(iteration, min(console.width, MAX_WIDTH) - 1, unicode=unicode):
        console.print(Text(line), soft_wrap=True)
