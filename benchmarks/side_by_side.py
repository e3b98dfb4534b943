"""How much sooner many scenarios end side by side than one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import monotonic

from figure import Figure

AIM = 0.25
LENGTH_S = 10.0
SCENARIO = """
name: side-{number}
seed: {number}
client: {{options: {{ping_interval: 1s, reconnect_time_wait: 250ms}}}}
workloads: [{{name: hello, kind: core, publishers: 1, subscribers: 1, rate: 50/s, payload: 128B}}]
phases: {{warmup: 1s, steady: 3s, fault: 3s, recovery: 3s, drain: 1s}}
faults: [{{name: stop-seed, action: stop, target: seed, duration: 2s}}]
thresholds: {{"lost{{phase:steady}}": ["count == 0"]}}
"""
METHOD = (
    "{count} scenarios of {length_s:g} s each (three servers, 50 messages/s, the seed is stopped), "
    "run with --jobs {jobs}. Value: wall time of the whole command over the summed length of the "
    "phases"
)


def measure_side_by_side(folder: Path, count: int, jobs: int, runs: int) -> Figure:
    """Measure `runs` commands of so many scenarios."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        path = folder / f"side-{number}.yaml"
        path.write_text(SCENARIO.format(number=number), encoding="utf-8")
        paths.append(str(path))
    values, disturbed = [], []
    for run in range(runs):
        argv = [sys.executable, "-m", "harness", "run", *paths, "--jobs", str(jobs)]
        argv += ["--reports", str(folder / f"reports-{run}"), "--page", "never"]
        began_s = monotonic()
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        values.append((monotonic() - began_s) / (count * LENGTH_S))
        if done.returncode:
            raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
        disturbed.append(sum(line.endswith("disturbed") for line in done.stdout.splitlines()))
    return Figure(
        "side by side",
        "",
        AIM,
        "lower",
        METHOD.format(count=count, length_s=LENGTH_S, jobs=jobs),
        values,
        {"disturbed": disturbed},
    )
