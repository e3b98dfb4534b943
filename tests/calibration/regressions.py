"""Run published findings on releases that have them and releases that do not; print one table.

Run as ``python tests/calibration/regressions.py [--times 3] [--only 7564]``. Exit 1 when a row
comes out otherwise than `ROWS` says: the harness then lost sight of real loss, or sees some
where there is none, or a release behaves otherwise than published.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrate import describe_machine
from rich.console import Console
from rich.table import Table

LIMIT_S = 400
WIDTH = 150  # columns; narrower, in a pipe, what was seen would be cut
UPSTREAM = "https://github.com/nats-io/nats-server/issues"
CODES = {0: "pass", 1: "fail", 2: "usage", 3: "inconclusive"}

Report = Mapping[str, Any]
Look = Callable[[Report], str]


@dataclass(frozen=True)
class Row:
    """A published finding on one release.

    Attributes:
        scenario: a shipped scenario.
        release: which server runs it.
        verdict: what must come out.
        look: says what of the report is otherwise than published; nothing if nothing is.
        sees: the same in words.
        issue: number of the upstream issue.
    """

    scenario: str
    release: str
    verdict: str
    look: Look
    sees: str
    issue: int

    @property
    def source(self) -> str:
        """Return where it was published."""
        return f"{UPSTREAM}/{self.issue}"


@dataclass(frozen=True)
class Outcome:
    """How a row came out: its verdict, what was seen, what differs, and how long it took."""

    row: Row
    verdict: str
    seen: str
    problems: tuple[str, ...]
    took_s: float


def one_replica_lacks_its_middle(report: Report) -> str:
    """Say what is otherwise than loss in the middle of one replica that calls itself healthy."""
    losers = [one for one in _replicas(report) if one["lost"]]
    if len(losers) != 1:
        return f"{len(losers)} replicas lack messages, not one"
    (loser,) = losers
    if loser["middle"] != loser["lost"] or not loser["stored"]:
        return f"not only the middle is lost: {loser}"
    return "" if loser["healthy"] else "its server does not call itself healthy"


def one_replica_is_gone(report: Report) -> str:
    """Say what is otherwise than one replica that was deleted as a whole, without a word."""
    stream = _stream(report)
    empty = [one for one in stream["replicas"] if not one["stored"]]
    if [one["lost"] for one in empty] != [stream["acked"]]:
        return f"{len(empty)} replicas are empty, not one"
    if any(one["lost"] for one in stream["replicas"] if one["stored"]):
        return "another replica lacks messages, too"
    return "" if empty[0]["healthy"] else "its server does not call itself healthy"


def every_replica_lacks_some(report: Report) -> str:
    """Say which replica lost nothing."""
    whole = [one["server"] for one in _replicas(report) if not one["lost"]]
    return f"nothing is lost on {', '.join(whole)}" if whole else ""


def replicas_disagree(report: Report) -> str:
    """Say what is otherwise than two histories: sequences that two messages were given."""
    stream = _stream(report)
    if not stream["sequence_conflicts"]:
        return "no sequence was given twice"
    return "" if stream["lost"] else "nothing is lost"


def nothing_is_lost(report: Report) -> str:
    """Say what was lost."""
    stream = _stream(report)
    if not stream["acked"] or stream["unread"]:
        return "it was not read"
    return f"{stream['lost']} messages are lost" if stream["lost"] else ""


MIDDLE = (one_replica_lacks_its_middle, "one replica lacks a middle part, and is healthy")
GONE = (one_replica_is_gone, "one replica deleted, its server is healthy")
REFUSED = (nothing_is_lost, "the damaged server refuses; nothing lost")
EVERYWHERE = (every_replica_lacks_some, "every replica lacks acked messages")
SPLIT = (replicas_disagree, "two histories; acked messages lost")
WHOLE = (nothing_is_lost, "nothing lost")

ROWS = (
    Row("7549-bit-flip", "2.12.1", "fail", *MIDDLE, 7549),
    Row("7549-bit-flip", "2.15.1", "fail", *MIDDLE, 7549),
    Row("7556-meta-snapshot", "2.12.1", "fail", *GONE, 7556),
    Row("7556-meta-snapshot", "2.14.0", "pass", *REFUSED, 7556),
    Row("7556-meta-snapshot", "2.15.1", "pass", *REFUSED, 7556),
    Row("7564-power-loss", "2.12.1", "fail", *EVERYWHERE, 7564),
    Row("7564-power-loss", "2.14.6", "fail", *EVERYWHERE, 7564),
    Row("7564-power-loss", "2.15.1", "fail", *EVERYWHERE, 7564),
    Row("7564-power-loss-synced", "2.12.1", "pass", *WHOLE, 7564),
    Row("7564-power-loss-synced", "2.15.1", "pass", *WHOLE, 7564),
    Row("7567-split-brain", "2.12.1", "fail", *SPLIT, 7567),
    Row("7567-split-brain", "2.14.0", "fail", *SPLIT, 7567),
    Row("7567-split-brain", "2.15.1", "fail", *SPLIT, 7567),
)


def run_row(row: Row, folder: Path) -> Outcome:
    """Run a row as a user would, with its run folder in `folder`, and compare it."""
    words = ["-m", "harness", "run", row.scenario, "--server", row.release]
    began = time.monotonic()
    before = set(folder.glob("*/report.json"))
    done = subprocess.run(
        [sys.executable, *words, "--reports", str(folder)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    took_s = time.monotonic() - began
    verdict = CODES.get(done.returncode, f"exit {done.returncode}")
    paths = set(folder.glob("*/report.json")) - before
    if len(paths) != 1:
        return Outcome(row, verdict, "", (done.stderr.strip() or "no report was written",), took_s)
    report = json.loads(paths.pop().read_text(encoding="utf-8"))
    return Outcome(row, verdict, describe(report), tuple(compare(row, verdict, report)), took_s)


def compare(row: Row, verdict: str, report: Report) -> Iterator[str]:
    """Yield what is otherwise than the row says."""
    if verdict != row.verdict:
        why = [one["detail"] for one in report["findings"] if one["verdict"] == verdict]
        yield f"{verdict}, not {row.verdict}: {'; '.join(why)}"
    (iteration,) = report["iterations"]
    if not iteration["streams"]:
        yield "no stream was judged"
    elif (problem := row.look(report)) != "":
        yield problem
    yield from (
        f"not proven: {one['detail']}"
        for one in report["findings"]
        if one["check"] == "proof" and one["verdict"] != "pass"
    )


def describe(report: Report) -> str:
    """Return what became of the messages, on each replica."""
    (iteration,) = report["iterations"]
    if not iteration["streams"]:
        return "-"
    stream = _stream(report)
    lost = ", ".join(f"{one['server']} {one['lost']}" for one in stream["replicas"] if one["lost"])
    unread = "".join(f", {node} unread" for node in stream["unread"])
    conflicts = stream["sequence_conflicts"]
    twice = f", {conflicts} sequences twice" if conflicts else ""
    return f"{stream['acked']} acked, lost: {lost or 'none'}{unread}{twice}"


def _stream(report: Report) -> Mapping[str, Any]:
    found: Mapping[str, Any] = report["iterations"][0]["streams"][0]
    return found


def _replicas(report: Report) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = _stream(report)["replicas"]
    return found


def draw(outcomes: Sequence[Outcome]) -> Table:
    """Return the table."""
    table = Table(title="published findings: seen where they are, and only there?")
    for name in ("scenario", "release", "expected", "verdict", "seen", "time", "as published"):
        table.add_column(name)
    for one in outcomes:
        row = one.row
        table.add_row(
            row.scenario,
            row.release,
            f"{row.verdict}: {row.sees}",
            one.verdict,
            one.seen,
            f"{one.took_s:.0f} s",
            "; ".join(one.problems) or "yes",
        )
    return table


def main() -> int:
    """Run the table; return 0 when every row came out as it says, every time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1, help="how often the table is run")
    parser.add_argument("--only", default="", help="only scenarios whose name has this in it")
    parser.add_argument("--release", default="", help="only this release")
    arguments = parser.parse_args()
    rows = [
        row
        for row in ROWS
        if arguments.only in row.scenario and arguments.release in ("", row.release)
    ]
    if not rows:
        parser.error("no row is called so")
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print("{cores} cores, {kernel}, Python {python}, {date}".format(**describe_machine()))
    differing = 0
    for turn in range(arguments.times):
        outcomes = []
        for row in rows:
            folder = tempfile.mkdtemp(prefix="nats-harness-regressions-")
            outcomes.append(run_row(row, Path(folder)))
            told = f"{outcomes[-1].verdict} as published"
            if problems := outcomes[-1].problems:
                told = f"{'; '.join(problems)}; kept in {folder}"
            else:
                shutil.rmtree(folder)
            print(f"{turn + 1}: {row.scenario} on {row.release}: {told}", file=sys.stderr)  # noqa: T201 - progress
        console.print(draw(outcomes))
        differing += sum(1 for one in outcomes if one.problems)
    for issue in dict.fromkeys(row.source for row in rows):
        console.print(issue)
    console.print(f"{differing} row(s) differ" if differing else "every row as published")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
