"""Bytes of memory for each accounted message: workers while it is counted, judge afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from figure import Figure

from harness.backends.local import LocalBackend
from harness.runner import Run, execute
from harness.scenario.model import ClusterSpec, Phases, Scenario
from harness.units import format_duration, format_rate, format_size
from harness.workloads.core import Core

AIM_BYTES = 80.0
RATE = 40_000.0
PAYLOAD_BYTES = 64
SMALL_S = 1.0
METHOD = (
    "one publisher and one subscriber at {rate:,.0f} messages/s for {length_s:g} s; a message is "
    "one send and one delivery. Workers: peak resident memory (VmHWM) of both after the drain less "
    "their resident memory (VmRSS) at the start of the load. Judge: peak resident memory of a "
    "process that judges the run, less that of one that judges a run of {small_s:g} s. Value: the "
    "sum of both over the messages accounted, for the judge over the difference of the two runs"
)
# Not getrusage: its peak begins with that of the process which started this one.
JUDGE = """
import pathlib, sys
from harness.judging import judge_folder
judge_folder(pathlib.Path(sys.argv[1]))
print(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@dataclass
class Probe:
    """Read the workers' memory when their load starts and once it has drained."""

    pids: list[int] = field(default_factory=list)
    before: int = 0
    after: int = 0

    def __call__(self, kind: str, at_ns: int, facts: Mapping[str, Any]) -> None:
        """Follow the run."""
        del at_ns, facts
        if kind == "load.started":
            self.pids = list(worker_pids())
            self.before = sum(read_memory(pid, "VmRSS") for pid in self.pids)
        elif kind == "load.drained":
            self.after = sum(read_memory(pid, "VmHWM") for pid in self.pids)


def measure_memory(folder: Path, runs: int, length_s: float) -> Figure:
    """Measure `runs` loads of `length_s` seconds each."""
    small_folder, small_count, _ = _run(folder / "small", SMALL_S)
    small_bytes = _judging_bytes(small_folder)
    values, workers, judging = [], [], []
    for index in range(runs):
        run_folder, count, growth = _run(folder / f"large-{index}", length_s)
        workers.append(growth / count)
        judging.append((_judging_bytes(run_folder) - small_bytes) / (count - small_count))
        values.append(workers[-1] + judging[-1])
    return Figure(
        "memory per accounted message",
        "B",
        AIM_BYTES,
        "lower",
        METHOD.format(rate=RATE, length_s=length_s, small_s=SMALL_S),
        values,
        {"workers": workers, "judging": judging, "messages": count},
    )


def _run(reports: Path, length_s: float) -> tuple[Path, int, int]:
    """Return the run folder, the messages delivered and the workers' growth in bytes."""
    probe = Probe()
    scenario = Scenario(
        name="memory",
        cluster=ClusterSpec(servers=1),
        workloads=(
            Core(
                name="bench",
                kind="core",
                publishers=1,
                subscribers=1,
                rate=format_rate(RATE),
                payload=format_size(PAYLOAD_BYTES),
            ),
        ),
        phases=Phases(
            warmup=format_duration(length_s / 4),
            steady=format_duration(length_s / 2),
            recovery=format_duration(length_s / 4),
            drain="30s",
        ),
    )
    ended = execute(Run(scenario, LocalBackend(), reports, "benchmark", (), probe))
    report = json.loads((ended.folder / "report.json").read_text())
    count = report["iterations"][0]["messages"]["delivered"]
    if len(probe.pids) != len(("publishers", "subscribers")) or not count:
        raise RuntimeError(f"expected two workers and traffic, found {probe.pids} and {count}")
    return ended.folder, count, probe.after - probe.before


def _judging_bytes(run_folder: Path) -> int:
    argv = [sys.executable, "-c", JUDGE, str(run_folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024


def worker_pids() -> Iterator[int]:
    """Yield the worker processes that this process has started."""
    children = Path("/proc/self/task").glob("*/children")
    for pid in (int(word) for path in children for word in path.read_text().split()):
        if b"harness.load.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
            yield pid


def read_memory(pid: int, key: str) -> int:
    """Return a size in bytes from /proc/PID/status, such as VmRSS or VmHWM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no {key}")
