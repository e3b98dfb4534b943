"""Benchmarks in a process of their own: the lab must be entered before threads exist."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from harness.backends.lab.enter import run_in_lab


def measure_apart(script: str, *arguments: object, limit_s: float) -> dict[str, Any]:
    """Run a script that ends with `tell_from_lab`; return what it told.

    Raises:
        CalledProcessError: it failed; what it said of that is on stderr.
    """
    argv = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, timeout=limit_s)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def tell_from_lab(obstacle: str | None, measure: Callable[[], dict[str, Any]]) -> int:
    """Measure in a lab and print that, or why there is none; return the exit code."""
    if obstacle is not None:
        return _tell({"skipped": obstacle})
    return run_in_lab(lambda: _tell(measure()))


def _tell(facts: dict[str, Any]) -> int:
    sys.stdout.write(json.dumps(facts) + "\n")
    return 0
