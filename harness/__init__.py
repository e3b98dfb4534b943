"""Resilience harness for NATS: real servers, real faults, every message accounted for.

    import harness
    report = harness.run("seed-failover")
    print(report.verdict)

Names load when they are first used, so that worker processes start quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import load as load
    from harness.api import run as run
    from harness.report.model import Report as Report
    from harness.scenario.model import Scenario as Scenario

__version__ = "0.1.0"
__all__ = ["Report", "Scenario", "__version__", "load", "run"]

_HOMES = {
    "load": "harness.api",
    "run": "harness.api",
    "Report": "harness.report.model",
    "Scenario": "harness.scenario.model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
