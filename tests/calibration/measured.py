"""Run a scenario on scripted servers and hold the report against what the servers say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from scripted_backend import ScriptedBackend
from server_script import Script, Truth

from harness.cluster.protocols import Backend
from harness.runner import Run, execute
from harness.scenario.model import Scenario

COUNTERS = (
    "lost",
    "duplicates",
    "out_of_order",
    "corrupted",
    "unexpected",
    "unknown",
    "recovered",
    "refused",
)


@dataclass(frozen=True)
class Measured:
    """What the harness reported, and what the servers did."""

    report: Mapping[str, Any]
    truths: Mapping[str, Truth]
    folder: Path

    @property
    def iteration(self) -> Mapping[str, Any]:
        """Return the only iteration of the report."""
        only: Mapping[str, Any] = self.report["iterations"][0]
        return only

    @property
    def truth(self) -> Truth:
        """Return what the only server did."""
        return self.truths["n1"]


def run_scripted(scenario: Scenario, scripts: Mapping[str, Script], reports: Path) -> Measured:
    """Run `scenario` from its phases to its report.json; one script for each node, by name."""
    ended = execute(
        Run(
            scenario=scenario,
            backend=cast("Backend", ScriptedBackend(scripts)),  # it has what an iteration asks for
            reports=reports,
            reproduce="calibration",
            warnings=(),
            narrate=lambda _kind, _at_ns, _facts: None,
        )
    )
    report = json.loads((ended.folder / "report.json").read_text())
    servers = ended.folder / "servers" / "0"
    truths = {
        name: Truth.read((servers / f"{name}.truth.json").read_text())
        for name in scenario.cluster.nodes
    }
    return Measured(report, truths, ended.folder)


def difference(what: str, expected: object, found: object) -> list[str]:
    """Return one line when the two differ, else none."""
    return [] if expected == found else [f"{what}: planted {expected}, judged {found}"]
