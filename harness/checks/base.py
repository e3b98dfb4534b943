"""What every check is: a pure function of one iteration, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any

from harness.history.facts import Iteration
from harness.history.ledger import Ledger, open_ledger
from harness.history.stream_join import open_streams
from harness.history.stream_ledger import StreamLedger
from harness.scenario.thresholds import selectors_on
from harness.stats.labelled import Count, Samples, Tally

NS_PER_S = 1e9


class Verdict(StrEnum):
    """What a judge says; the later, the worse."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"

    @property
    def severity(self) -> int:
        """Return 0 for pass, 1 for inconclusive, 2 for fail."""
        return list(Verdict).index(self)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict; pass when there is none."""
    return max(verdicts, key=lambda one: one.severity, default=Verdict.PASS)


def judge_guarantee(broken: Count) -> Verdict:
    """Return fail when a guarantee is broken for sure, inconclusive when it may be."""
    if broken.count > broken.uncertain:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE if broken.count else Verdict.PASS


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        check: the check's name.
        verdict: what it means for the run.
        detail: one sentence with the numbers.
        advice: what a person can do about it; None when there is nothing to do.
        iteration: where it was found; None when it concerns the run as a whole.
        metric, statistic, condition: of a threshold; the metric with its labels.
        value, limit, margin: in the metric's unit; a margin below zero is broken.
        n, censored: how many values stand behind it, and how many are lower bounds.
        at_least: `value` is a lower bound.
    """

    check: str
    verdict: Verdict
    detail: str
    advice: str | None = None
    iteration: int | None = None
    metric: str | None = None
    statistic: str | None = None
    condition: str | None = None
    value: float | None = None
    limit: float | None = None
    margin: float | None = None
    n: int | None = None
    censored: int | None = None
    at_least: bool = False


@dataclass(frozen=True)
class Result:
    """What a check gives back for one iteration.

    Attributes:
        tallies: its counters by metric name.
        samples: its distributions by metric name.
        findings: what it judges by itself.
        notes: what a reader should know, without weight in the verdict.
        facts: what the report shows, by name; see the check's docstring.
        resolutions: by the name of a metric that is sampled, how much less than what was
            measured the true value may be at most, in seconds.
        stalled: the phases in which the harness stood still, or that came after: what went
            wrong in them may be its own doing.
    """

    tallies: Mapping[str, Tally] = field(default_factory=lambda: MappingProxyType({}))
    samples: Mapping[str, Samples] = field(default_factory=lambda: MappingProxyType({}))
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    resolutions: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    stalled: frozenset[str] = frozenset()


class Case:
    """One iteration before the judges, with its ledger opened when first wanted."""

    def __init__(self, iteration: Iteration, scenario: Mapping[str, Any]) -> None:
        self.iteration = iteration
        self.scenario = scenario

    @cached_property
    def ledger(self) -> Ledger:
        """Return the ledger; ValueError when the columns make no sense."""
        return open_ledger(self.iteration)

    @cached_property
    def streams(self) -> tuple[StreamLedger, ...]:
        """Return the ledgers of streams; ValueError when the columns make no sense."""
        return open_streams(self.iteration, self.scenario)

    def left_open(self, metric: str, tally: Tally) -> Count:
        """Return what was counted of a broken guarantee, and no threshold decides about.

        A guarantee of JetStream fails the run by itself, but where the scenario has a
        threshold on the metric, that decides about what it selects.
        """
        selectors = selectors_on(self.scenario.get("thresholds"), metric)
        return tally.outside([one.labels for one in selectors])

    def decides(self, metric: str, labels: Mapping[str, str]) -> bool:
        """Tell whether a threshold of the scenario decides about what has these labels."""
        return not self.left_open(metric, Tally(((labels, Count(1)),))).count


@dataclass(frozen=True)
class Check:
    """A judge: its name, its function, and the metrics that it alone computes.

    `adds` are metrics of another check that it counts more of: there each counts its own.
    """

    name: str
    run: Callable[[Case], Result]
    metrics: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()
