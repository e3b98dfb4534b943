"""What a campaign is made of: cells that are to be run, and what became of each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.errors import EXIT_INCONCLUSIVE, EXIT_INTERRUPTED
from harness.report.build import tame
from harness.report.model import Report
from harness.scenario.dump import plain_scenario
from harness.scenario.model import Scenario
from harness.session import Options


@dataclass(frozen=True)
class Cell:
    """One run that is to be done.

    Attributes:
        source: the scenario as the user named it.
        scenario: it, with what `options` replace.
        options: how it is run; what is not said there is the scenario's own.
        column: what sets it apart from others of the same scenario, for people.
        turn: which of several runs that are alike it is, from 0; seeds differ by it.
        repetition: how often an equal scenario was named before it.
        programs: what decides its result beside the scenario: digests of the servers and of
            the harness.
    """

    source: str
    scenario: Scenario = field(repr=False)
    options: Options
    column: str = ""
    turn: int = 0
    repetition: int = 0
    programs: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """Return what tells the cell from others in a ledger: whatever decides its result."""
        facts = {
            "scenario": plain_scenario(self.scenario, reveal=True),
            "backend": self.options.backend,
            "column": self.column,
            "turn": self.turn,
            "repetition": self.repetition,
            "programs": self.programs,
        }
        text = json.dumps(facts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """Return what a person calls it."""
        seed = f"seed {self.scenario.seed}"
        return "  ".join(filter(None, (self.scenario.name, self.column, seed)))


# What of a scenario a report must have as its cell has it.
SET_UP = ("servers", "version", "image", "jetstream", "config")
DECISIVE = ("name", "seed", "repeat", "client", "workloads", "phases", "faults", "thresholds")


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        report: its report.json; None where the run left none.
        exit_code: what its process ended with.
        took_s: how long that lived.
        trouble: what it complained of, where it left no report.
    """

    cell: Cell
    report: Path | None
    exit_code: int
    took_s: float
    trouble: str = ""

    @property
    def interrupted(self) -> bool:
        """Tell whether somebody ended it early, so that it is to be run again."""
        return self.exit_code == EXIT_INTERRUPTED

    @property
    def code(self) -> int:
        """Return what it says: its report's exit code, or that nothing is known without one.

        Reads the report.
        """
        return self.code_of(self.load())

    def code_of(self, report: Report | None) -> int:
        """Return what it says, given what `load` returned."""
        if self.interrupted:
            return self.exit_code
        return EXIT_INCONCLUSIVE if report is None else report.exit_code

    def load(self) -> Report | None:
        """Return its report; None where there is none that can be read, or it is another's."""
        if self.report is None:
            return None
        try:
            report = Report.model_validate_json(self.report.read_bytes())
        except (OSError, ValueError):
            return None
        return report if self._is_own(report) else None

    def _is_own(self, report: Report) -> bool:
        """Tell whether a report is of what the cell says: its scenario may change meanwhile."""
        wanted, found = tame(plain_scenario(self.cell.scenario)), report.scenario
        same = all(wanted[key] == found.get(key) for key in DECISIVE)
        cluster, other = wanted["cluster"], found.get("cluster", {})
        return (
            same
            and report.exit_code == self.exit_code
            and all(cluster.get(key) == other.get(key) for key in SET_UP)
        )


def disturbed(report: Report) -> bool:
    """Tell whether the pacing or the clock of a run suffered from what else went on."""
    return any(one.disturbance.lag or one.disturbance.late_senders for one in report.iterations)
