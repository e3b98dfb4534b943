"""Resilience harness for NATS: real servers, real faults, every message accounted for.

    import harness
    report = harness.run("seed-failover")
    print(report.verdict)

What these need loads when they are first called, so that worker processes start quickly.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.report.model import Report
    from harness.scenario.model import Scenario

__version__ = "0.1.0"
__all__ = ["Report", "Scenario", "__version__", "load", "run"]

_HOMES = {"Report": "harness.report.model", "Scenario": "harness.scenario.model"}

# The function `load` below and the package `harness.load` share a name. Imported first, the package
# stays what `from harness.load.x import y` finds, and `harness.load(...)` is the function.
import_module("harness.load")


def load(source: str | Path) -> Scenario:
    """Return the scenario at a path, or the shipped one of that name; see `harness.api.load`."""
    from harness import api

    return api.load(source)


def run(
    scenario: Scenario | str | Path, *, backend: str = "auto", reports: str | Path = "reports"
) -> Report:
    """Run a scenario in a process of its own and return its report; see `harness.api.run`."""
    from harness import api

    return api.run(scenario, backend=backend, reports=reports)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
