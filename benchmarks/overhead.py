"""Wall time of a scenario beyond its scripted phases."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from figure import Figure

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
    values = [_run_once(folder / f"overhead-{index}") for index in range(runs)]
    return Figure(name, "s", AIM_S, "lower", METHOD, values)


def _run_once(reports: Path) -> float:
    argv = [sys.executable, "-m", "harness", "run", str(CONTROL), "--reports", str(reports)]
    before_s = time.perf_counter()
    done = subprocess.run(
        [*argv, "--quiet"], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    wall_s = time.perf_counter() - before_s
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise RuntimeError(f"the control exited with {done.returncode}: {' / '.join(lines[-5:])}")
    (report,) = reports.glob("*/report.json")
    phases = json.loads(report.read_text())["scenario"]["phases"]
    return wall_s - sum(_seconds(phases.get(name)) for name in SCRIPTED)


def _seconds(duration: float | str | None) -> float:
    if duration is None:
        return 0.0
    return parse_duration(duration) if isinstance(duration, str) else float(duration)
