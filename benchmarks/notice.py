"""Measure how long a client, a server and a whole cluster take to notice each fault.

Run as ``python benchmarks/notice.py [--runs N] [--only ACTION]``; prints a Markdown table
and writes reports/notice.json. All is as `nats-harness run` reports it.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from figure import describe_machine, machine_line
from notice_cases import ACTIONS, FAULT, OPTIONS, Case

from harness.scenario.dump import dump_yaml
from harness.scenario.load import load
from harness.stats.distribution import Distribution
from harness.units import human_duration
from harness.vocabulary import VOCABULARY

REPORTS = Path(__file__).parent.parent / "reports"
RUNS = 20
AT_ONCE = 3  # a busy machine would be measured too
IDLE_AT_ONCE = 20
APART_S = 1.5  # between the first starts: to start is what costs
LIMIT_S = 1200.0
# Who noticed and did not come back, or not in time for all messages, has noticed all the same.
BEYOND = frozenset({"accounting", "coverage"})
UNNOTICED = (None, "silence")
HEADINGS = (
    "fault",
    "options",
    "runs",
    "a client",
    "a server (route gone)",
    "the whole cluster",
    "the struck server closes its clients",
)

Value = tuple[float, bool]  # seconds, and whether that is a lower bound


@dataclass(frozen=True)
class Outcome:
    """What one run showed; `problem` says why it counts for nothing."""

    clients: tuple[Value, ...] = ()
    servers: tuple[Value, ...] = ()
    cluster: tuple[Value, ...] = ()
    closed: tuple[tuple[float, str], ...] = ()
    late: bool = False
    problem: str | None = None


@dataclass
class Row:
    """A case and what its runs showed."""

    case: Case
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def good(self) -> list[Outcome]:
        """Return the outcomes of runs that are to be relied on."""
        return [one for one in self.outcomes if one.problem is None]

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        good = self.good
        reasons = sorted({reason for one in good for _, reason in one.closed})
        closed = summarise((value, False) for one in good for value, _ in one.closed)
        return (
            f"`{self.case.action}`",
            self.case.options,
            str(len(good)),
            summarise(value for one in good for value in one.clients),
            summarise(value for one in good for value in one.servers),
            summarise(value for one in good for value in one.cluster),
            f"{closed}: {', '.join(reasons)}" if reasons else "-",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all values as JSON keeps them."""
        return {
            "action": self.case.action,
            "options": self.case.options,
            "runs": len(self.good),
            "problems": [one.problem for one in self.outcomes if one.problem is not None],
            "late": sum(one.late for one in self.good),
            "clients": [value for one in self.good for value in one.clients],
            "servers": [value for one in self.good for value in one.servers],
            "cluster": [value for one in self.good for value in one.cluster],
            "closed": [value for one in self.good for value in one.closed],
        }


def summarise(values: Iterable[Value]) -> str:
    """Return median and range, with lower bounds marked and counted."""
    listed = list(values)
    if not listed:
        return "-"
    bounds, censored = zip(*listed, strict=True)
    found = Distribution.of(bounds, censored)
    if found.censored == found.n:
        return f"not within {human_duration(float(found.bounds[0]))}"
    shown = []
    for name in ("p50", "min", "max"):
        interval = found.statistic(name)
        assert interval is not None
        shown.append(("" if interval.exact else ">= ") + human_duration(interval.lower))
    median, least, most = shown
    rest = f", {found.censored} of {found.n} not at all" if found.censored else ""
    return f"{median} ({least} to {most}{rest})"


def run_case(case: Case, run: int, folder: Path) -> Outcome:
    """Run a case once, as a user would, and read its report; one that is kept is only read."""
    reports = folder / f"{case.name}-{run}"
    for report in reports.glob("*/report.json"):
        return read_outcome(json.loads(report.read_text(encoding="utf-8")))
    path = folder / f"{case.name}-{run}.yaml"
    path.write_text(json.dumps(case.scenario(run)), encoding="utf-8")  # JSON is YAML
    path.write_text(dump_yaml(load(path, VOCABULARY).scenario), encoding="utf-8")
    argv = [sys.executable, "-m", "harness", "run", str(path), "--quiet", "--reports", str(reports)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return Outcome(problem=f"it took more than {LIMIT_S:g} s")
    for report in reports.glob("*/report.json"):
        return read_outcome(json.loads(report.read_text(encoding="utf-8")))
    lines = (done.stderr or done.stdout).strip().splitlines()
    return Outcome(problem=next(iter(lines), f"exit code {done.returncode}"))


def read_outcome(report: dict[str, Any]) -> Outcome:
    """Return what a report says about who noticed, if its faults are proven."""
    for one in report["findings"]:
        if one["verdict"] != "pass" and one["check"] not in BEYOND:
            return Outcome(problem=f"{one['check']}: {one['detail']}")
    (iteration,) = report["iterations"]
    (fault,) = iteration["faults"]
    lost = [
        one
        for client in iteration["clients"]
        for one in client["disconnects"]
        if one["fault"] == FAULT
    ]
    noticed = fault["noticed"]
    cluster = report["metrics"]["cluster_detection_time"]
    return Outcome(
        clients=tuple((one["detection_time"], one["sign"] in UNNOTICED) for one in lost),
        servers=tuple(
            (one["after_s"], one["censored"]) for one in noticed if one["what"] == "route-gone"
        ),
        cluster=((cluster["max"], bool(cluster["censored"])),) if cluster["n"] else (),
        closed=tuple(
            (one["after_s"], one["reason"])
            for one in noticed
            if one["what"] == "connection-closed" and not one["censored"]
        ),
        late=any("was disturbed" in warning for warning in report["warnings"]),
    )


def run_cases(cases: Sequence[Case], runs: int, folder: Path) -> list[Row]:
    """Run every case `runs` times: first the quick ones, few at once, then the idle ones."""
    rows = {case: Row(case) for case in cases}
    for idle, at_once in ((False, AT_ONCE), (True, IDLE_AT_ONCE)):
        chosen = [case for case in cases if case.idle is idle]
        chosen.sort(key=lambda case: OPTIONS.index(case.options))  # the longest first
        jobs = [(case, run) for case in chosen for run in range(1, runs + 1)]

        def work(place: int, jobs: Sequence[tuple[Case, int]] = jobs, crowd: int = at_once) -> None:
            case, run = jobs[place]
            if place < crowd and not (folder / f"{case.name}-{run}").exists():
                time.sleep(place * APART_S)
            outcome = run_case(case, run, folder)
            rows[case].outcomes.append(outcome)
            sys.stderr.write(f"{case.name} {run}: {outcome.problem or 'done'}\n")

        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(work, range(len(jobs))))
    return list(rows.values())


def draw(rows: Sequence[Row]) -> str:
    """Return the Markdown table."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def tell(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what is printed: the command, the table, and what a reader should know of it."""
    command = shlex.join(["python", "benchmarks/notice.py", *sys.argv[1:]])
    yield f"`{command}`, {machine_line()}:\n"
    yield draw(rows)
    for row in rows:
        told = row.to_dict()
        for problem in dict.fromkeys(told["problems"]):
            count = told["problems"].count(problem)
            yield f"\n{row.case.name}: {count} of {len(row.outcomes)} runs not used: {problem}"
        if told["late"]:
            yield f"\n{row.case.name}: the harness itself was late in {told['late']} runs"


def main() -> int:
    """Run all and print the table; return 0 once every case had a run that counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="how often each (default: 20)")
    parser.add_argument("--only", action="append", choices=ACTIONS, help="one fault")
    parser.add_argument("--keep", type=Path, help="the folder to keep runs in, and read them from")
    arguments = parser.parse_args()
    cases = [Case(action, options) for action in arguments.only or ACTIONS for options in OPTIONS]
    with tempfile.TemporaryDirectory(prefix="nats-harness-notice-") as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = run_cases(cases, arguments.runs, folder)
    sys.stdout.write("\n".join(tell(rows)) + "\n")
    REPORTS.mkdir(exist_ok=True)
    shown = {"machine": describe_machine(), "rows": [row.to_dict() for row in rows]}
    (REPORTS / "notice.json").write_text(json.dumps(shown, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
