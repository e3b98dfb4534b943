"""Runs on a real server in which nothing happens, and nothing may be found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measured import COUNTERS

from harness.backends.local import LocalBackend
from harness.runner import Run, execute
from harness.scenario.model import ClusterSpec, Phases, Scenario
from harness.units import format_duration, format_rate
from harness.workloads.core import Core

MESSAGES = 10_000
SPARE = 1.05  # on a busy machine the last messages that are due may stay unattempted
RATE = 8_000.0
SUBSCRIBERS = 2
WARMUP_S = 0.1
RECOVERY_S = 0.1


@dataclass(frozen=True)
class Quiet:
    """What was judged of all fault-free runs together."""

    runs: int
    attempted: int
    delivered: int
    counts: dict[str, int]
    problems: tuple[str, ...]


def run_fault_free(runs: int, reports: Path) -> Quiet:
    """Run 10,000 messages from two publishers to two subscribers, `runs` times."""
    length_s = SPARE * MESSAGES / RATE
    scenario = Scenario(
        name="fault-free",
        cluster=ClusterSpec(servers=1),
        workloads=(
            Core(
                name="hello",
                kind="core",
                publishers=2,
                subscribers=SUBSCRIBERS,
                rate=format_rate(RATE),
                payload="128B",
            ),
        ),
        phases=Phases(
            warmup=format_duration(WARMUP_S),
            steady=format_duration(length_s - WARMUP_S - RECOVERY_S),
            recovery=format_duration(RECOVERY_S),
            drain="10s",
        ),
        thresholds=dict.fromkeys(COUNTERS, ("count == 0",)),
    )
    totals: dict[str, int] = dict.fromkeys(COUNTERS, 0)
    attempted = delivered = 0
    problems: list[str] = []
    for index in range(runs):
        ended = execute(Run(scenario, LocalBackend(), reports, "calibration", (), lambda *_: None))
        report = json.loads((ended.folder / "report.json").read_text())
        messages = report["iterations"][0]["messages"]
        attempted += messages["attempted"]
        delivered += messages["delivered"]
        for name in COUNTERS:
            totals[name] += messages[name]
        problems += [f"run {index}: {line}" for line in find_faults(report)]
    return Quiet(runs, attempted, delivered, totals, tuple(problems))


def find_faults(report: dict[str, Any]) -> list[str]:
    """Return what a report of a fault-free run says that it must not say."""
    messages = report["iterations"][0]["messages"]
    problems = [f"{messages[name]} {name}" for name in COUNTERS if messages[name] != 0]
    if messages["attempted"] < MESSAGES:
        problems.append(f"only {messages['attempted']} attempted")
    if messages["delivered"] != SUBSCRIBERS * messages["attempted"]:
        problems.append(f"{messages['delivered']} delivered of {messages['attempted']} attempted")
    if report["verdict"] != "pass":
        unmet = [one for one in report["findings"] if one["verdict"] != "pass"]
        problems.append(f"verdict {report['verdict']}: {unmet}")
    return problems
