"""Measure the harness against planted truth; print one table and write reports/calibration.json.

Run as ``python tests/calibration/calibrate.py [--runs 50]``. Exit 1 when a count differs from
its plan, when a time is impossible, or when a planted mistake of the judge goes unnoticed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fault_free
import negative_controls
import planted_counts
import planted_times
from rich.console import Console
from rich.table import Table
from time_pairs import summarise

REPORTS = Path(__file__).parent.parent.parent / "reports"
AIM_MS = 3.0
WIDTH = 110  # columns; narrower, in a pipe, the names of plans would be cut


def count_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Run every plan of counts and yield what became of it."""
    for plan in planted_counts.PLANS:
        problems = planted_counts.compare(plan, plan.run(folder))
        planted = {name: count for name, count in plan.counts.items() if count}
        yield {
            "plan": plan.name,
            "planted": planted,
            "verdict": plan.verdict,
            "problems": problems,
        }


def time_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Run every plan of times and yield the differences by metric, at last of all together."""
    pooled: dict[str, list[float]] = defaultdict(list)
    for plan in planted_times.PLANS:
        timed = planted_times.compare(plan, plan.run(folder))
        differences = {
            metric: timed.differences_s(metric)
            for metric in dict.fromkeys(pair.metric for pair in timed.pairs)
        }
        for metric, found in differences.items():
            pooled[metric] += map(abs, found)
        yield {
            "plan": plan.name,
            "metrics": {metric: summarise(found) for metric, found in differences.items()},
            "problems": list(timed.problems),
        }
    yield {
        "plan": "all, distance",
        "metrics": {metric: summarise(sorted(found)) for metric, found in pooled.items()},
        "problems": [],
    }


def control_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Plant mistakes in plan and judge and yield whether the comparison saw each."""
    for control in negative_controls.CONTROLS:
        seen = control.run(folder)
        problems = [] if seen else ["went unnoticed"]
        yield {"control": control.name, "seen": seen, "problems": problems}


def draw_counts(rows: list[dict[str, Any]]) -> Table:
    """Return the table of counts."""
    table = Table(title="planted counts: judged exactly as planted?")
    for heading in ("plan", "planted", "verdict", "result"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        planted = ", ".join(f"{name} {count}" for name, count in row["planted"].items()) or "-"
        table.add_row(row["plan"], planted, row["verdict"], "; ".join(row["problems"]) or "equal")
    return table


def draw_times(rows: list[dict[str, Any]]) -> Table:
    """Return the table of times."""
    table = Table(title=f"planted times: judged less true, ms (aim: p99 within {AIM_MS:g} ms)")
    for heading in ("plan", "metric"):
        table.add_column(heading, overflow="fold")
    for heading in ("n", "min", "p50", "p99", "max"):
        table.add_column(heading, justify="right")
    for row in rows:
        plan = row["plan"]
        for metric, found in row["metrics"].items():
            cells = [f"{found[name]:.3f}" for name in ("min_ms", "p50_ms", "p99_ms", "max_ms")]
            table.add_row(plan, metric, str(found["n"]), *cells)
            plan = ""
        for line in row["problems"]:
            table.add_row(plan, line)
        table.add_section()
    return table


def draw_rest(quiet: fault_free.Quiet, controls: list[dict[str, Any]]) -> Table:
    """Return the table of fault-free runs and negative controls."""
    table = Table(title="fault-free runs and negative controls")
    for heading in ("what", "result"):
        table.add_column(heading, overflow="fold")
    found = ", ".join(f"{count} {name}" for name, count in quiet.counts.items())
    table.add_row(
        f"{quiet.runs} runs: {quiet.attempted:,} messages, {quiet.delivered:,} deliveries", found
    )
    for line in quiet.problems:
        table.add_row("", line)
    for row in controls:
        table.add_row(f"control: {row['control']}", "seen" if row["seen"] else "WENT UNNOTICED")
    return table


def describe_machine() -> Mapping[str, Any]:
    """Return what the times depend on."""
    uname = platform.uname()
    return {
        "cores": os.cpu_count(),
        "kernel": f"{uname.system} {uname.release} {uname.machine}",
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def main() -> int:
    """Calibrate; return 0 when everything planted was found, and nothing else."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50, help="fault-free runs")
    arguments = parser.parse_args()
    console = Console()
    console.width = max(console.width, WIDTH)
    machine = describe_machine()
    console.print("{cores} cores, {kernel}, Python {python}, {date}".format(**machine))
    with tempfile.TemporaryDirectory(prefix="nats-harness-calibration-") as name:
        folder = Path(name)
        counts = list(count_rows(folder))
        console.print(draw_counts(counts))
        times = list(time_rows(folder))
        console.print(draw_times(times))
        controls = list(control_rows(folder))
        quiet = fault_free.run_fault_free(arguments.runs, folder)
        console.print(draw_rest(quiet, controls))
    shown = {
        "machine": machine,
        "counts": counts,
        "times": times,
        "controls": controls,
        "fault_free": {
            "runs": quiet.runs,
            "attempted": quiet.attempted,
            "delivered": quiet.delivered,
            "counts": quiet.counts,
            "problems": quiet.problems,
        },
    }
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / "calibration.json").write_text(json.dumps(shown, indent=2) + "\n")
    console.print("written to reports/calibration.json")
    problems = [line for row in (*counts, *times, *controls) for line in row["problems"]]
    problems += quiet.problems
    console.print(f"{len(problems)} difference(s)" if problems else "everything as planted")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
