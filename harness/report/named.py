"""The named messages of an iteration as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.model import NamedFate, NamedMessage
from harness.units import human_duration

MAX_ROWS = 20
MOST_COLUMNS = 2  # subscribers that have one each


def print_named(messages: Sequence[NamedMessage], console: Console) -> None:
    """Print what happened to each named message, a table for each workload.

    Few subscribers have a column each; of many, one column tells how many got the message,
    and which did not.
    """
    for _, group in groupby(messages, key=lambda one: one.workload):
        _print_workload(list(group), console)


def _print_workload(messages: Sequence[NamedMessage], console: Console) -> None:
    names = [one.name for one in messages[0].subscribers]
    apart = len(names) <= MOST_COLUMNS
    table = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim",
    )  # fmt: skip
    table.add_column("message", overflow="fold")
    table.add_column("due", justify="right", overflow="fold")
    for column in ("phase", "from", "outcome", *(names if apart else ["subscribers"])):
        table.add_column(Text(column), overflow="fold")
    for one in messages[:MAX_ROWS]:
        fates = [_describe(fate) for fate in one.subscribers]
        cells = (
            _printable(one.text, console.encoding),
            f"{one.due:.2f} s",
            one.phase or "after",
            one.server or "nowhere",
            one.outcome.replace("-", " "),
            *(fates if apart else [_sum_up(one.subscribers)]),
        )
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    if len(messages) > MAX_ROWS:
        console.print(Text(f"and {len(messages) - MAX_ROWS} more in report.json"))


def _describe(fate: NamedFate) -> str:
    if fate.latency is None:
        return fate.fate.replace("-", " ").replace("lost", "LOST")
    times = "" if fate.copies == 1 else f", {fate.copies} times"
    where = "" if fate.server is None else f" on {fate.server}"
    return f"delivered in {human_duration(fate.latency)}{where}{times}"


def _sum_up(fates: Sequence[NamedFate]) -> str:
    came = sum(one.fate == "delivered" for one in fates)
    rest = (f"; {one.name}: {_describe(one)}" for one in fates if one.fate != "delivered")
    return f"{came} of {len(fates)} got it{''.join(rest)}"


def _printable(text: str, encoding: str) -> str:
    """Return a text that a terminal of this encoding can be given, whoever wrote it."""
    return text.encode(encoding, "backslashreplace").decode(encoding)
