from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "benchmarks" / "bench.py"
NAMES = (
    "cuts",
    "forming",
    "throughput",
    "memory",
    "delay-5ms",
    "delay-50ms",
    "loss",
    "bandwidth",
    "proxies",
    "linearizability",
    "streams-time",
    "streams-memory",
    "side-by-side",
    "overhead",
)


@pytest.mark.timeout(300)
@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_still_measures(name: str, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    argv = [sys.executable, str(BENCH), "--quick", "--only", name, "--out", str(out)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (figure,) = json.loads(out.read_text())["figures"]
    assert figure["values"], figure


def test_no_benchmark_is_left_out_here() -> None:
    argv = [sys.executable, str(BENCH), "--only", "nothing"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    offered = done.stderr.partition("(choose from ")[2].rstrip(")\n").replace("'", "")
    assert tuple(offered.split(", ")) == NAMES
