"""What the judges say about a run, ready for a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.checks.base import Finding, Verdict
from harness.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED, EXIT_PASS
from harness.stats.labelled import PooledSamples, PooledTally

EXIT_CODES = {
    Verdict.PASS: EXIT_PASS,
    Verdict.INCONCLUSIVE: EXIT_INCONCLUSIVE,
    Verdict.FAIL: EXIT_FAIL,
}


@dataclass(frozen=True)
class IterationJudgement:
    """What the judges say about one iteration.

    Attributes:
        verdict: the worst of its own findings and of the thresholds that it is to blame
            for.
        findings: its own; thresholds are judged over all iterations.
        messages: counts by phase, ``all`` first; empty when they could not be made.
        rate: (first bin's start, bin width, first arrivals by bin), in seconds.
        facts: what checks hand to the report, by name.
        metrics: its own values, by name.
    """

    index: int
    verdict: Verdict
    findings: tuple[Finding, ...]
    messages: Mapping[str, Mapping[str, int]]
    rate: tuple[float, float, list[int]]
    facts: Mapping[str, Any]
    metrics: Mapping[str, PooledSamples | PooledTally]


@dataclass(frozen=True)
class Judgement:
    """What the judges say about a run.

    Attributes:
        verdict: the worst of all.
        findings: of the run, of all iterations, and one for each threshold.
        metrics: by name, pooled over the iterations.
        interrupted: somebody stopped the run.
        notes: what a reader should know, without weight in the verdict.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    metrics: Mapping[str, PooledSamples | PooledTally]
    iterations: tuple[IterationJudgement, ...]
    interrupted: bool
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Return the code the command ends with: 0 pass, 1 fail, 3 inconclusive, 130 cut off."""
        return EXIT_INTERRUPTED if self.interrupted else EXIT_CODES[self.verdict]
