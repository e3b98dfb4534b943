"""Measure what the harness costs; print a table and write reports/bench.json.

Run as ``python benchmarks/bench.py [--quick] [--only NAME] [--out FILE]``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from cuts import measure_cuts
from figure import Figure, describe_machine, machine_line
from forming import measure_forming
from linearizability import measure_linearizability
from memory import measure_memory
from overhead import measure_overhead
from proxies import measure_proxies
from rich.console import Console
from rich.table import Table
from shapes import measure_shape
from side_by_side import measure_side_by_side
from streams import MESSAGES, measure_streams
from throughput import measure_throughput

REPORTS = Path(__file__).parent.parent / "reports"
ALIGNED_RIGHT = ("n", "min", "median", "max", "aim")


def benchmarks(*, quick: bool) -> Mapping[str, Callable[[Path], Figure]]:
    """Return each benchmark by its name; `quick` makes them short and coarse."""
    return {
        "cuts": lambda _: measure_cuts(10 if quick else 100),
        "forming": lambda folder: measure_forming(folder, 3 if quick else 20),
        "throughput": lambda folder: measure_throughput(
            folder, 2 if quick else 7, 1.0 if quick else 3.0
        ),
        "memory": lambda folder: measure_memory(folder, 1 if quick else 3, 4.0 if quick else 12.0),
        "delay-5ms": lambda _: measure_shape("delay-5ms", 3 if quick else 10),
        "delay-50ms": lambda _: measure_shape("delay-50ms", 3 if quick else 10),
        "loss": lambda _: measure_shape("loss", 3 if quick else 10),
        "bandwidth": lambda _: measure_shape("bandwidth", 3 if quick else 10),
        "proxies": lambda folder: measure_proxies(folder, 3 if quick else 20),
        "linearizability": lambda _: measure_linearizability(
            10_000 if quick else 100_000, 2 if quick else 5
        ),
        "streams-time": lambda folder: measure_streams(
            folder, 1 if quick else 5, MESSAGES // 10 if quick else MESSAGES, "s"
        ),
        "streams-memory": lambda folder: measure_streams(
            folder, 1 if quick else 5, MESSAGES // 10 if quick else MESSAGES, "MiB"
        ),
        "side-by-side": lambda folder: measure_side_by_side(
            folder, 2 if quick else 20, 2 if quick else 10, 1 if quick else 3
        ),
        "overhead": lambda folder: measure_overhead(folder, 1 if quick else 5),
    }


def draw(figures: list[Figure]) -> Table:
    """Return the table of all figures."""
    table = Table(title=machine_line())
    for heading in ("figure", "unit", *ALIGNED_RIGHT, "met"):
        table.add_column(heading, justify="right" if heading in ALIGNED_RIGHT else "left")
    for figure in figures:
        sign = ">=" if figure.better == "higher" else "<="
        if figure.values:
            numbers = (min(figure.values), figure.median, max(figure.values))
            cells = [str(len(figure.values)), *(f"{number:.3g}" for number in numbers)]
            met = "yes" if figure.met else "NO"
        else:
            cells, met = ["0", "-", "-", "-"], figure.skipped or "-"
        table.add_row(figure.name, figure.unit, *cells, f"{sign} {figure.aim:g}", met)
    return table


def main() -> int:
    """Run the benchmarks; return 0 once all could be measured, whatever they say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few short runs, coarse figures")
    names = tuple(benchmarks(quick=True))
    parser.add_argument("--only", action="append", choices=names, help="one benchmark; repeatable")
    parser.add_argument("--out", type=Path, default=REPORTS / "bench.json", help="where to write")
    arguments = parser.parse_args()
    console = Console()
    figures = []
    for name, measure in benchmarks(quick=arguments.quick).items():
        if arguments.only and name not in arguments.only:
            continue
        console.print(f"measuring {name} ...")
        with tempfile.TemporaryDirectory(prefix="nats-harness-bench-") as folder:
            figures.append(measure(Path(folder)))
    console.print(draw(figures))
    path = arguments.out
    path.parent.mkdir(exist_ok=True)
    shown = {
        "machine": describe_machine(),
        "quick": arguments.quick,
        "figures": [figure.to_dict() for figure in figures],
    }
    path.write_text(json.dumps(shown, indent=2) + "\n")
    console.print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
