"""Judges of a history: one file per judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from harness.checks import (
    accounting,
    buckets,
    completion,
    consumption,
    coverage,
    disturbance,
    expectation,
    failover,
    holding,
    integrity,
    kv,
    latency,
    leadership,
    ledger,
    named,
    notice,
    objects,
    proof,
    recovery,
    stalls,
    stream_audit,
    stream_integrity,
    stream_loss,
    stream_order,
    thresholds,
    traffic,
    watchdog,
)
from harness.checks.base import Case, Check, Finding, Result, Verdict, worst
from harness.checks.judgement import IterationJudgement, Judgement
from harness.checks.messages import summarise_messages, summarise_rate
from harness.checks.thresholds import Evidence, find_measured, judge_thresholds
from harness.history.connections import closed_under_load
from harness.history.facts import Iteration
from harness.history.model import History
from harness.scenario.metrics import METRICS
from harness.stats.labelled import PooledSamples, PooledTally, Tally

CHECKS: tuple[ModuleType, ...] = (
    completion,
    ledger,
    proof,
    holding,
    traffic,
    coverage,
    integrity,
    kv,
    objects,
    buckets,
    accounting,
    named,
    stream_audit,
    stream_integrity,
    stream_loss,
    stream_order,
    consumption,
    failover,
    notice,
    watchdog,
    recovery,
    leadership,
    stalls,
    expectation,
    latency,
    disturbance,
    thresholds,
)
ITERATION_CHECKS: tuple[Check, ...] = tuple(
    module.CHECK for module in CHECKS if module is not thresholds
)


@dataclass(frozen=True)
class _Judged:
    """One iteration after all its checks but the thresholds."""

    iteration: Iteration
    results: tuple[Result, ...]
    messages: Mapping[str, Mapping[str, int]]
    rate: tuple[float, float, list[int]]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(
            replace(finding, iteration=self.iteration.index)
            for result in self.results
            for finding in result.findings
        )

    @property
    def stalled(self) -> frozenset[str]:
        return frozenset().union(*(result.stalled for result in self.results))

    @property
    def facts(self) -> dict[str, Any]:
        return {name: fact for result in self.results for name, fact in result.facts.items()}


def judge(history: History, checks: Sequence[Check] = ITERATION_CHECKS) -> Judgement:
    """Judge a run. Pure: the same history always gives the same judgement.

    Distributions are pooled over the iterations and counters are summed; thresholds are
    judged on that, and where only some iterations have values for one, its finding and a
    note say how many. An iteration's own verdict is the worst of what was found in it and of
    the thresholds that are broken over the run and by its own values as well. The run's
    verdict is the worst of all. A check that raises makes the run inconclusive.
    """
    judged = [_judge_iteration(one, history.scenario, checks) for one in history.iterations]
    evidence = _gather(judged, history.scenario)
    apart = [evidence] if len(judged) == 1 else [_gather([one], history.scenario) for one in judged]
    over_all = judge_thresholds(history.scenario, evidence) if judged else ()
    over_all = _keep_failures(history.scenario, over_all, judged)
    over_all, gaps = _name_gaps(history.scenario, over_all, apart)
    interrupted = bool(history.of_kind("run.interrupted"))
    run_findings = tuple(_judge_run(history))
    findings = (
        *run_findings,
        *over_all,
        *(finding for one in judged for finding in one.findings),
    )
    return Judgement(
        verdict=worst(finding.verdict for finding in findings),
        findings=findings,
        metrics=evidence.metrics,
        iterations=tuple(
            _conclude(
                one,
                own.metrics,
                over_all if len(judged) == 1 else judge_thresholds(history.scenario, own),
                over_all,
            )
            for one, own in zip(judged, apart, strict=True)
        ),
        interrupted=interrupted,
        notes=(*_collect_notes(history, judged), *gaps),
    )


def _keep_failures(
    scenario: Mapping[str, Any], findings: Sequence[Finding], judged: Sequence[_Judged]
) -> tuple[Finding, ...]:
    """Return the findings, but as a fail where the iterations without a stall fail as well."""
    sound = [one for one in judged if not one.stalled]
    if not sound or len(sound) == len(judged):
        return tuple(findings)
    apart = judge_thresholds(scenario, _gather(sound, scenario))
    return tuple(
        own if own.verdict is Verdict.FAIL else over_all
        for own, over_all in zip(apart, findings, strict=True)
    )


def _name_gaps(
    scenario: Mapping[str, Any], findings: Sequence[Finding], apart: Sequence[Evidence]
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Return the findings, and notes, that say so where only some iterations have values.

    Args:
        scenario: whose thresholds were judged.
        findings: the thresholds judged over the run.
        apart: the evidence of each iteration by itself.
    """
    if not findings:
        return (), ()
    named, notes = [], []
    by_condition = zip(*(find_measured(scenario, one) for one in apart), strict=True)
    for finding, measured in zip(findings, by_condition, strict=True):
        if any(measured) and not all(measured):
            gap = f"values from {sum(measured)} of {len(measured)} iterations"
            named.append(replace(finding, detail=f"{finding.detail}; {gap}"))
            notes.append(f"{finding.metric}: {finding.condition}: {gap}")
        else:
            named.append(finding)
    return tuple(named), tuple(notes)


def _judge_run(history: History) -> Iterator[Finding]:
    """Judge what no iteration can know of itself."""
    name = completion.NAME
    for event in history.of_kind("run.interrupted"):
        yield Finding(
            "interrupted", Verdict.INCONCLUSIVE, f"the run was interrupted by {event.get('by')}"
        )
    for problem in history.problems:
        yield Finding(name, Verdict.INCONCLUSIVE, problem, "what the run left behind is not whole")
    if len(history.iterations) < history.repeat:
        yield Finding(
            name,
            Verdict.INCONCLUSIVE,
            f"{len(history.iterations)} of {history.repeat} iteration(s) were begun",
        )
    for event in history.of_kind("run.failed"):
        if event["iteration"] < 0:
            yield Finding(
                name,
                Verdict.INCONCLUSIVE,
                f"the run broke off: {event.get('error')}: {event.get('message')}",
            )


def _judge_iteration(
    iteration: Iteration, scenario: Mapping[str, Any], checks: Sequence[Check]
) -> _Judged:
    case = Case(iteration, scenario)
    results = [_run(check, case) for check in checks]
    messages: dict[str, dict[str, int]] = {}
    rate: tuple[float, float, list[int]] = (0.0, 0.1, [])
    try:
        tallies: dict[str, Tally] = {}
        for result in results:
            for name, one in result.tallies.items():
                tallies[name] = tallies[name] + one if name in tallies else one
        messages = summarise_messages(case.ledger, tallies)
        rate = summarise_rate(case.ledger, case.streams)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not become a pass
        results.append(_crashed("messages", error))
    return _Judged(iteration, tuple(results), messages, rate)


def _run(check: Check, case: Case) -> Result:
    try:
        return check.run(case)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not become a pass
        return _crashed(check.name, error)


def _crashed(name: str, error: Exception) -> Result:
    what = f"the check itself crashed: {type(error).__name__}: {error}"
    advice = "this is a defect of the harness or a damaged run folder; please report it"
    return Result(findings=(Finding(name, Verdict.INCONCLUSIVE, what, advice),))


def _gather(judged: Sequence[_Judged], scenario: Mapping[str, Any]) -> Evidence:
    metrics: dict[str, PooledSamples | PooledTally] = {}
    for name, metric in METRICS.items():
        if metric.kind == "counter":
            tallies = [result.tallies.get(name) for one in judged for result in one.results]
            metrics[name] = PooledTally(tuple(one for one in tallies if one is not None))
        else:
            samples = [result.samples.get(name) for one in judged for result in one.results]
            metrics[name] = PooledSamples(tuple(one for one in samples if one is not None))
    lags: dict[str, float] = {}
    for one in judged:
        for phase, lag_s in one.facts.get("lags", {}).items():
            lags[phase] = max(lags.get(phase, 0.0), lag_s)
    resolutions: dict[str, float] = {}
    for one in judged:
        for result in one.results:
            for name, resolution_s in result.resolutions.items():
                resolutions[name] = max(resolutions.get(name, 0.0), resolution_s)
    return Evidence(
        metrics=metrics,
        whole=all(one.iteration.whole for one in judged),
        ended=all(one.iteration.collected for one in judged),
        lags=lags,
        gave_up=any(closed_under_load(one.iteration) for one in judged),
        faults=frozenset().union(*(one.iteration.fault_names(scenario) for one in judged)),
        resolutions=resolutions,
        stalled=frozenset().union(*(one.stalled for one in judged)),
    )


def _conclude(
    judged: _Judged,
    metrics: Mapping[str, PooledSamples | PooledTally],
    alone: Sequence[Finding],
    over_all: Sequence[Finding],
) -> IterationJudgement:
    """Give an iteration its verdict; it answers for a threshold only if the run breaks it.

    Args:
        judged: the iteration.
        metrics: its own values.
        alone: the thresholds judged on its own values.
        over_all: the same thresholds judged on those of the whole run.
    """
    blamed = [
        min(own.verdict, whole.verdict, key=lambda verdict: verdict.severity)
        for own, whole in zip(alone, over_all, strict=True)
    ]
    return IterationJudgement(
        index=judged.iteration.index,
        verdict=worst([*blamed, *(finding.verdict for finding in judged.findings)]),
        findings=judged.findings,
        messages=judged.messages,
        rate=judged.rate,
        facts=judged.facts,
        metrics=metrics,
    )


def _collect_notes(history: History, judged: Sequence[_Judged]) -> Iterator[str]:
    yield from history.started.get("warnings", ())
    for one in judged:
        where = f"iteration {one.iteration.index}: " if history.repeat > 1 else ""
        for result in one.results:
            yield from (f"{where}{note}" for note in result.notes)
