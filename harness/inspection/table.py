"""An inspection as a table for people; two of them side by side."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.inspection.model import Finding, Inspection, Verdict
from harness.inspection.report import differences

_STYLES = {Verdict.passed: "green", Verdict.failed: "bold red", Verdict.unknown: "yellow"}


def print_table(console: Console, inspection: Inspection, against: Inspection | None) -> None:
    """Print the checks of one image, or of two point by point."""
    if against is None:
        _print_one(console, inspection)
    else:
        _print_two(console, inspection, against)


def _print_one(console: Console, inspection: Inspection) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in inspection.findings:
        table.add_row(_mark(one), one.name, _text(one))
    console.print(table)
    console.print(_summary(inspection))


def _print_two(console: Console, inspection: Inspection, against: Inspection) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("check", no_wrap=True)
    for each in (inspection, against):
        table.add_column(each.image.name, overflow="fold", ratio=1)
    signs = {
        one.name: "*" if one.verdict is not other.verdict else "~"
        for one, other in differences(inspection, against)
    }
    for one, other in zip(inspection.findings, against.findings, strict=True):
        table.add_row(signs.get(one.name, ""), one.name, _cell(one), _cell(other))
    console.print(table)
    for each in (inspection, against):
        console.print(_summary(each))
    verdicts = [name for name, sign in signs.items() if sign == "*"]
    others = [name for name, sign in signs.items() if sign == "~"]
    for sign, what, names in (("*", "verdict", verdicts), ("~", "what was found", others)):
        line = f"{sign} differ in {what}: {', '.join(names) or 'none'}"
        console.print(Text(line), soft_wrap=True)


def _mark(finding: Finding) -> Text:
    return Text(str(finding.verdict), _STYLES[finding.verdict])


def _text(finding: Finding) -> Text:
    text = Text(finding.detail)
    for line in finding.evidence:
        text.append(f"\n{line}", style="dim")
    return text


def _cell(finding: Finding) -> Text:
    return Text.assemble(_mark(finding), " ", finding.detail)


def _summary(inspection: Inspection) -> Text:
    word = inspection.verdict.upper()
    counts = ", ".join(f"{inspection.count(verdict)} {verdict}" for verdict in Verdict)
    style = "bold green" if inspection.verdict is Verdict.passed else "bold red"
    return Text.assemble((word, style), f"  {inspection.image.name}  ({counts})")
