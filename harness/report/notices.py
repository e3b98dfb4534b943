"""What servers noticed of the faults, for a terminal: a few lines beside the clients'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from harness.report.model import Fault, Notice
from harness.units import human_duration

MAX_LINES = 12
FINE_S, FINE = 0.005, 0.01  # doubt that is not worth a word: in seconds, and as a share


def print_notices(faults: Sequence[Fault], console: Console) -> None:
    """Print one line for what servers noticed in the same way; nothing when there is nothing."""
    lines = [line for fault in faults for line in describe_notices(fault)]
    for line in lines[:MAX_LINES]:
        console.print(Text(line))
    if len(lines) > MAX_LINES:
        console.print(Text(f"and {len(lines) - MAX_LINES} more in report.json"))


def describe_notices(fault: Fault) -> Iterator[str]:
    """Yield what servers noticed of a fault, one sentence for each thing and peer."""
    routes = [one for one in fault.noticed if one.what == "route-gone"]
    if gone := [one for one in routes if not one.censored]:
        who = ", ".join(dict.fromkeys(one.server for one in gone))
        peers = {one.peer for one in gone}
        lost = f"that {peers.pop()} was gone" if len(peers) == 1 else "that routes were gone"
        yield f"servers: {who} noticed {lost} {_within(gone)} after {fault.name}"
    if missed := [one for one in routes if one.censored]:
        who = ", ".join(dict.fromkeys(one.server for one in missed))
        least = human_duration(min(one.after_s for one in missed))
        what = "nothing of its routes" if gone else "nothing"
        yield f"servers: {who} noticed {what} for {least} and more after {fault.name}"
    for one in fault.noticed:
        if one.what == "connection-closed" and not one.censored:
            many = f"{len(one.clients)} client{'s' if len(one.clients) > 1 else ''}"
            yield (
                f"servers: {one.server} closed {many} ({one.reason}) "
                f"{_within([one])} after {fault.name}"
            )


def _within(notices: Sequence[Notice]) -> str:
    """Return when, as far as looking at times tells: at the latest, or between two times."""
    latest = max(one.after_s for one in notices)
    earliest = min(one.after_s - one.resolution_s for one in notices)
    if latest - earliest < max(FINE_S, FINE * latest):
        return human_duration(latest)
    if earliest < FINE_S:
        return f"within {human_duration(latest)}"
    return f"{human_duration(earliest)} to {human_duration(latest)}"
