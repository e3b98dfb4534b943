"""A real run with a million acknowledged messages: time and memory of audit and judging."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep

from figure import Figure
from memory import read_memory
from rich.console import Console

AIM_S = 60.0
AIM_MIB = 1024.0
MIB = 1024 * 1024
RATE = 8_000
POLL_S = 0.1
SCENARIO = """
name: million
cluster: {{servers: 3, jetstream: true}}
streams: [{{name: BIG, subjects: ["big.>"], replicas: {replicas}}}]
workloads:
  - name: big
    kind: jetstream
    stream: BIG
    publishers: 4
    rate: {rate}/s
    payload: 64B
    ack_timeout: 10s
    max_in_flight: 5000
phases: {{warmup: 1s, steady: {steady}s, recovery: 0s, drain: 60s}}
thresholds:
  stream_lost: ["count == 0"]
"""
METHOD = (
    "a run of {count:,} acknowledged messages of 64 B to an R{replicas} stream on three servers. "
    "Time: from the end of the drain to report.json, so audit of every replica, collecting and "
    "judging. Memory: the peak (VmHWM) of the harness's largest process, servers apart"
)


def measure_million(folder: Path, count: int, replicas: int) -> tuple[Figure, Figure]:
    """Run once; return the figures of time and of memory."""
    path = folder / "million.yaml"
    text = SCENARIO.format(replicas=replicas, rate=RATE, steady=round(count / RATE))
    path.write_text(text, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", str(path), "--reports", str(folder), "--quiet"],
        stdout=subprocess.PIPE,
        text=True,
    )
    peaks: dict[int, int] = {}
    while process.poll() is None:
        for pid in _family(process.pid):
            try:
                peaks[pid] = read_memory(pid, "VmHWM")
            except (OSError, RuntimeError):
                continue  # it has ended
        sleep(POLL_S)
    ended_s = monotonic()
    said = process.stdout.read() if process.stdout else ""
    report_path = Path(said.strip().splitlines()[-1])
    report = json.loads(report_path.read_text())
    events = [json.loads(line) for line in (report_path.parent / "events.jsonl").open()]
    drained_s = next(one["at_ns"] for one in events if one["kind"] == "load.drained") / 1e9
    acked = report["iterations"][0]["messages"]["acked"]
    method = METHOD.format(count=acked, replicas=replicas)
    details = {"acked": acked, "verdict": report["verdict"], "findings": _findings(report)}
    return (
        Figure(
            f"million R{replicas}, time",
            "s",
            AIM_S,
            "lower",
            method,
            [ended_s - drained_s],
            details,
        ),
        Figure(
            f"million R{replicas}, memory",
            "MiB",
            AIM_MIB,
            "lower",
            method,
            [max(peaks.values()) / MIB],
            {"processes": sorted((one / MIB for one in peaks.values()), reverse=True)[:6]},
        ),
    )


def _findings(report: dict[str, object]) -> list[str]:
    found = report["findings"]
    assert isinstance(found, list)
    return [f"{one['check']}: {one['detail']}" for one in found if one["verdict"] != "pass"]


def _family(root: int) -> list[int]:
    """Return the process and those it started that run Python, not the servers."""
    family, left = [], [root]
    while left:
        pid = left.pop()
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        if b"nats-server" not in command.partition(b"\0")[0]:
            family.append(pid)
        left += map(int, children)
    return family


def main() -> int:
    """Measure R1 and R3 with a million each, or as many as given."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        for replicas in (1, 3):
            place = Path(folder) / f"r{replicas}"
            place.mkdir()
            for figure in measure_million(place, count, replicas):
                console.print_json(data=figure.to_dict())
    return 0


if __name__ == "__main__":
    sys.exit(main())
