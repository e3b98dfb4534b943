"""Wall time of a scenario beyond its scripted phases."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from figure import Figure

from harness.clock import now_ns, seconds
from harness.units import parse_duration

AIM_S = 1.5
LIMIT_S = 120.0
SCRIPTED = ("warmup", "steady", "fault", "recovery")
CONTROL = Path(__file__).parent.parent / "scenarios" / "failover" / "control.yaml"
METHOD = (
    "`nats-harness run scenarios/failover/control.yaml` as a user runs it: wall time of the "
    "command from start to exit, less warmup + steady + fault + recovery as the scenario asks "
    "for; so start-up, cluster, clients, drain, judging and report are all in it"
)


def measure_overhead(folder: Path, runs: int) -> Figure:
    """Run the shipped no-fault control `runs` times."""
    name = "run beyond its phases"
    if not CONTROL.is_file():
        return Figure(
            name, "s", AIM_S, "lower", METHOD, skipped="scenarios/failover/control.yaml is missing"
        )
    runs_parts = [_run_once(folder / f"overhead-{index}") for index in range(runs)]
    values = [sum(parts.values()) for parts in runs_parts]
    medians = {
        part: round(statistics.median(parts[part] for parts in runs_parts), 4)
        for part in runs_parts[0]
    }
    return Figure(name, "s", AIM_S, "lower", METHOD, values, {"median_parts_s": medians})


def _run_once(reports: Path) -> dict[str, float]:
    """Return where the time beyond the phases went, in seconds, part by part."""
    argv = [sys.executable, "-m", "harness", "run", str(CONTROL), "--reports", str(reports)]
    started_ns = now_ns()
    done = subprocess.run(
        [*argv, "--quiet"], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    ended_ns = now_ns()
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise RuntimeError(f"the control exited with {done.returncode}: {' / '.join(lines[-5:])}")
    (report,) = reports.glob("*/report.json")
    scripted = json.loads(report.read_text())["scenario"]["phases"]
    asked_s = sum(_seconds(scripted.get(name)) for name in SCRIPTED)
    events = [
        json.loads(line) for line in report.with_name("events.jsonl").read_text().splitlines()
    ]
    at_ns = {event.get("phase", ""): event["at_ns"] for event in _edges(events, "phase.started")}
    (run,) = _edges(events, "run.started")
    (stopped,) = _edges(events, "load.stopped")
    collected_ns = max(event["at_ns"] for event in _edges(events, "phase.ended"))
    return {
        "to run.started": seconds(run["at_ns"] - started_ns),
        "setup": seconds(at_ns["warmup"] - run["at_ns"]),
        "phases late": seconds(stopped["stop_ns"] - at_ns["warmup"]) - asked_s,
        "drain": seconds(at_ns["collect"] - stopped["stop_ns"]),
        "collect": seconds(collected_ns - at_ns["collect"]),
        "leave, judge, report, exit": seconds(ended_ns - collected_ns),
    }


def _edges(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["kind"] == kind]


def _seconds(duration: float | str | None) -> float:
    if duration is None:
        return 0.0
    return parse_duration(duration) if isinstance(duration, str) else float(duration)
