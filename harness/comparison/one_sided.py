"""What only one side has values of: by chance, or because a release lost or brought it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.comparison.metrics import lower_is_better
from harness.comparison.model import MetricChange, ScenarioChange
from harness.comparison.runs import Run
from harness.stats.sequential import Trials, exceeds

BY_CHANCE = 0.01  # less probable than this is not by chance


def matters(change: MetricChange, scenario: ScenarioChange) -> bool:
    """Tell whether something was not compared that should have been.

    Labels that only one side has are of thresholds.
    """
    if change.change != "not-comparable":
        return False
    return change.p_value is not None or is_gone(change, scenario) or is_new(change, scenario)


def is_gone(change: MetricChange, scenario: ScenarioChange) -> bool:
    """Tell whether the candidate lacks a metric, and not by chance.

    Some have a value only where something happened that need not happen, such as an outcome
    that stayed unknown and could be found out. Where the baseline has it in some iterations
    only, none on the other side is chance, unless Fisher's exact test says that it is not.
    """
    if change.candidate.n or "{" in change.metric:
        return False
    baseline, candidate = scenario.baseline.iterations, scenario.candidate.iterations
    seen = min(change.baseline.n, baseline)
    return seen == baseline or _chance(seen, baseline, candidate) < BY_CHANCE


def is_new(change: MetricChange, scenario: ScenarioChange) -> bool:
    """Tell whether only the candidate has some of what is better not to have, and not by chance.

    What the baseline's harness could not measure is new for another reason.
    """
    if change.baseline.n or "{" in change.metric or not lower_is_better(change.metric):
        return False
    if change.metric in scenario.unmeasured:
        return False
    baseline, candidate = scenario.baseline.iterations, scenario.candidate.iterations
    some = sum(value is None or value > 0 for value in change.candidate.values)
    return _chance(min(some, candidate), candidate, baseline) < BY_CHANCE


def _chance(seen: int, n: int, others: int) -> float:
    """Return how likely all of `seen` are among n iterations, and none among the others."""
    return exceeds(Trials(0, others), Trials(seen, n - seen))


def find_unmeasured(baseline: Sequence[Run], candidate: Sequence[Run]) -> list[str]:
    """Return the candidate's metrics that the harness of some run of the baseline did not know.

    A report names what it found nothing of as well. A run that was stored without those names
    knew what its version of the harness knows.
    """
    names = {name for run in candidate for one in run.iterations for name in one.metrics}
    versions = {run.nats_harness_version for run in candidate}
    return sorted(
        name for name in names if not all(_could_measure(run, name, versions) for run in baseline)
    )


def _could_measure(run: Run, name: str, versions: set[str]) -> bool:
    if run.measured is None:
        return {run.nats_harness_version} == versions
    return name in run.measured
