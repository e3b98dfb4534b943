"""Decide on a release by what its runs add up to, and say why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.comparison.model import Comparison, MetricChange, ScenarioChange
from harness.comparison.one_sided import is_gone, is_new
from harness.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS, EXIT_REGRESSION
from harness.release.judge import PROMISES, SIDES, THRESHOLDS, Judged
from harness.release.model import Broken, Decision, ProofLine, SideName, ThresholdLine
from harness.report.model import Report


def decide(
    broken: Sequence[Broken],
    thresholds: Sequence[ThresholdLine],
    comparison: Comparison | None,
    proofs: Sequence[ProofLine],
    *,
    runs: Sequence[Judged],
    expected: Mapping[SideName, int],
) -> tuple[Decision, int, list[str]]:
    """Return the decision, the exit code and the reasons, the weightiest first.

    Args:
        broken: promises that the candidate broke.
        thresholds: the conditions over its runs.
        comparison: against the baseline; None where there is none.
        proofs: of every fault.
        runs: all runs.
        expected: how many runs were asked for by side.
    """
    hard = [*_broken_reasons(broken), *_threshold_reasons(thresholds)]
    worse = list(_regression_reasons(comparison))
    open_ = [
        *_missing_reasons(runs, expected),
        *_proof_reasons(proofs),
        *_open_thresholds(thresholds),
        *_too_few_reasons(comparison, thresholds),
    ]
    if hard:
        return "no-go", EXIT_FAIL, [*hard, *worse, *open_]
    if worse:
        return "no-go", EXIT_REGRESSION, [*worse, *open_]
    if open_:
        return "not-enough-evidence", EXIT_INCONCLUSIVE, open_
    return "go", EXIT_PASS, [_praise(comparison)]


def _broken_reasons(broken: Iterable[Broken]) -> Iterator[str]:
    for one in broken:
        also = f"; the baseline in {one.baseline_runs} of {one.baseline_of}"
        yield (
            f"{one.scenario}: {one.what} is broken in {one.runs} of {one.of} runs"
            f"{also if one.baseline_runs else ''}: {one.detail}"
        )


def _threshold_reasons(thresholds: Iterable[ThresholdLine]) -> Iterator[str]:
    for one in thresholds:
        if one.broken and one.metric.partition("{")[0] not in PROMISES:
            also = f"; by the baseline in {one.baseline_broken} of {one.baseline_runs}"
            yield (
                f"{one.scenario}: {one.metric} {one.condition} was missed in {one.broken} of "
                f"{one.runs} runs{also if one.baseline_broken else ''}"
            )


def _regression_reasons(comparison: Comparison | None) -> Iterator[str]:
    for scenario in () if comparison is None else comparison.scenarios:
        for metric in scenario.metrics:
            if metric.change == "regressed":
                yield f"{scenario.scenario}: {metric.metric} got worse: {metric.why}"


def _missing_reasons(runs: Sequence[Judged], expected: Mapping[SideName, int]) -> Iterator[str]:
    for side in SIDES:
        there = len({run.report.run_id for run in runs if run.side == side and run.report})
        if there < expected[side]:
            yield f"{expected[side] - there} of {expected[side]} runs of the {side} left no report"
        unsure: dict[str, int] = defaultdict(int)
        unexplained: dict[str, int] = defaultdict(int)
        for run in runs:
            if run.side == side and run.report is not None:
                unsure[run.scenario] += run.report.verdict == "inconclusive"
                if side == "candidate":
                    unexplained[run.scenario] += _is_unexplained(run.report)
        for scenario, count in unsure.items():
            if count:
                yield f"{scenario}: {count} run(s) of the {side} are inconclusive"
        for scenario, count in unexplained.items():
            if count:
                yield (
                    f"{scenario}: {count} run(s) of the {side} did not pass, and nothing that was "
                    "found in them says why"
                )


def _is_unexplained(report: Report) -> bool:
    """Tell whether a run did not pass, and neither is inconclusive nor broke what is no-go."""
    passed = report.passed and report.exit_code == EXIT_PASS and not report.interrupted
    if passed or report.verdict == "inconclusive":
        return False
    return not any(
        one.verdict == "fail" and (one.check != THRESHOLDS or (one.metric and one.condition))
        for one in report.findings
    )


def _proof_reasons(proofs: Iterable[ProofLine]) -> Iterator[str]:
    for one in proofs:
        if one.proven < one.intended:
            yield (
                f"{one.scenario}: {one.fault} is not proven in {one.intended - one.proven} of "
                f"{one.intended} runs of the {one.side}"
            )


def _open_thresholds(thresholds: Iterable[ThresholdLine]) -> Iterator[str]:
    for one in thresholds:
        if one.inconclusive and not one.broken:
            yield (
                f"{one.scenario}: {one.metric} {one.condition} could not be judged in "
                f"{one.inconclusive} of {one.runs} runs"
            )


def _too_few_reasons(
    comparison: Comparison | None, thresholds: Sequence[ThresholdLine]
) -> Iterator[str]:
    """Yield what has a limit that it might miss, since too few runs say how it changed.

    That a metric got worse by no more than what matters takes many runs to show. What decides
    is whether it may have got so much worse as to miss its limit: its median in the baseline
    and the far end of the shift's confidence interval, together.
    """
    if comparison is None:
        yield "the two releases were not compared"
        return
    yield from (f"not compared: {one}" for one in comparison.missing)
    limits = _limits(thresholds)
    for scenario in comparison.scenarios:
        told, every = _count_told([scenario])
        if not told:
            yield (
                f"{scenario.scenario}: too few runs to tell of any of {every} metrics whether it "
                "got worse"
            )
            continue
        for metric in scenario.metrics:
            if metric.change not in ("too-few-runs", "not-comparable"):
                continue
            if metric.change == "not-comparable" and is_gone(metric, scenario):
                yield f"{scenario.scenario}: no run of the candidate has {metric.metric}"
                continue
            if metric.change == "not-comparable" and is_new(metric, scenario):
                yield f"{scenario.scenario}: no run of the baseline has {metric.metric}"
                continue
            limit = limits.get((scenario.scenario, metric.metric, _kind(metric.statistic)))
            if limit is None or _stays_within(metric, limit):
                continue
            needed = f"; about {metric.runs_needed} would do" if metric.runs_needed else ""
            yield (
                f"{scenario.scenario}: too few runs to tell whether {metric.metric} "
                f"({metric.statistic}) got worse{needed}"
            )


def _count_told(scenarios: Iterable[ScenarioChange]) -> tuple[int, int]:
    """Return of how many statistics the runs tell whether they changed, and of how many in all."""
    changes = [metric.change for one in scenarios for metric in one.metrics]
    return sum(one in ("regressed", "improved", "unchanged") for one in changes), len(changes)


def _praise(comparison: Comparison | None) -> str:
    told, every = (0, 0) if comparison is None else _count_told(comparison.scenarios)
    rest = "" if told == every else "; the others would keep their limits at worst"
    return (
        f"no promise was broken, every limit was kept in every run, and none of {told} metrics "
        f"(of {every}) of which the runs tell got worse{rest}"
    )


def _limits(thresholds: Iterable[ThresholdLine]) -> dict[tuple[str, str, str], float]:
    """Return the least upper limit by scenario, metric and kind of statistic."""
    limits: dict[tuple[str, str, str], float] = {}
    for one in thresholds:
        statistic, operator, *_ = one.condition.split()
        limit = one.worst.limit
        if operator.startswith("<") and statistic not in ("n", "censored") and limit is not None:
            key = (one.scenario, one.metric, _kind(statistic))
            limits[key] = min(limit, limits.get(key, limit))
    return limits


def _kind(statistic: str) -> str:
    """Return what a statistic's values are: ``count``, ``ratio``, a ``share``, or a ``time``.

    The share of clients beyond a mode has no limit of its own: a shift of it shows in the
    times, which have.
    """
    if statistic in ("count", "ratio"):
        return statistic
    return "share" if statistic.startswith(("share", "any")) else "time"


def _stays_within(metric: MetricChange, limit: float) -> bool:
    """Tell whether the worst shift that the runs allow for still keeps the limit."""
    usual = metric.baseline.p50
    return usual is not None and metric.shift_high is not None and usual + metric.shift_high < limit
