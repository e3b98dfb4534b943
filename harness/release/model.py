"""What a release check says, version 1: what release.json holds."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from harness.comparison.model import Comparison, Side
from harness.report.model import Count, Finding, Part, VerdictName

VERSION: Literal["1"] = "1"

Decision = Literal["go", "no-go", "not-enough-evidence"]
SideName = Literal["candidate", "baseline"]


class Broken(Part):
    """A promise that the candidate broke in at least one run, with a run that shows it.

    `baseline_runs` say in how many of its runs the baseline broke the same.
    """

    scenario: str
    what: str
    detail: str
    runs: Count
    of: Count
    baseline_runs: Count
    baseline_of: Count
    reproduce: str


class ThresholdLine(Part):
    """A condition of a scenario over all runs of the candidate.

    `worst` is the finding of the run that kept it least, `reproduce` the command of that run.
    `baseline_broken` counts likewise for the baseline, of `baseline_runs`.
    """

    scenario: str
    metric: str
    condition: str
    worst: Finding
    broken: Count
    inconclusive: Count
    runs: Count
    baseline_broken: Count
    baseline_runs: Count
    reproduce: str


class ProofLine(Part):
    """A fault over all runs of a side: how often it was to happen, and was proven to have."""

    scenario: str
    fault: str
    action: str
    side: SideName
    intended: Count
    proven: Count
    example: str
    reproduce: str


class RunLine(Part):
    """One run: how it went; `report` is relative to the folder of the check."""

    scenario: str
    side: SideName
    seed: int
    verdict: VerdictName | Literal["none"]
    disturbed: bool
    report: str | None
    trouble: str
    reproduce: str


class ReleaseCheck(Part):
    """The whole: decided by what is broken first, then by what changed, then by what is missing.

    Attributes:
        decision: ``no-go`` for a broken promise, a broken threshold or a regression; without one,
            ``not-enough-evidence`` for runs that are inconclusive or missing, or too few to tell;
            else ``go``.
        exit_code: 0 go, 1 no-go, 4 no-go for a regression alone, 3 not enough evidence.
        reasons: why, the weightiest first, each a sentence.
        settings: the effective configuration by side: servers by scenario, clients, host.
        started_at: when its first run started.
        took_s: how long all runs took together.
    """

    schema_version: Literal["1"] = VERSION
    nats_harness_version: str
    decision: Decision
    exit_code: int
    reasons: list[str]
    candidate: Side
    baseline: Side
    suite: list[str]
    runs_each: Count
    broken: list[Broken]
    thresholds: list[ThresholdLine]
    comparison: Comparison | None
    proofs: list[ProofLine]
    runs: list[RunLine]
    settings: dict[SideName, Any] = Field(default_factory=dict)
    started_at: str
    took_s: float
    reproduce: str
