"""Sum up the runs of a release and of the one before: pure, from reports alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.release.model import (
    Broken,
    ProofLine,
    SideName,
    ThresholdLine,
)
from harness.report.model import Finding, Report

# A count of these above what a scenario allows is a promise broken, not a price paid.
PROMISES = frozenset(
    {
        "stream_lost",
        "replica_lost",
        "consumer_lost",
        "sequence_conflicts",
        "health_lied",
        "corrupted",
        "unexpected",
        "duplicates",
        "out_of_order",
        "kv_lost",
        "kv_conflicts",
        "kv_violations",
        "watch_gaps",
        "object_lost",
        "object_corrupted",
    }
)
THRESHOLDS = "thresholds"
SIDES: tuple[SideName, SideName] = ("candidate", "baseline")


@dataclass(frozen=True)
class Judged:
    """A run of the check: which side and scenario, and its report; None where it left none."""

    side: SideName
    scenario: str
    report: Report | None


def find_broken(runs: Sequence[Judged]) -> list[Broken]:
    """Return every promise that the candidate broke, each scenario's in the order of its findings.

    A promise is what a check asserts whatever the scenario says, or a threshold on one of
    `PROMISES`. One run is enough.
    """
    broken: dict[tuple[str, str], list[tuple[Report, Finding]]] = defaultdict(list)
    baseline: dict[tuple[str, str], set[int]] = defaultdict(set)
    for number, run in enumerate(runs):
        for finding in run.report.findings if run.report is not None else ():
            what = _promise(finding)
            if finding.verdict != "fail" or what is None or run.report is None:
                continue
            key = (run.scenario, what)
            if run.side == "candidate":
                broken[key].append((run.report, finding))
            else:
                baseline[key].add(number)
    return [
        Broken(
            scenario=scenario,
            what=what,
            detail=seen[0][1].detail,
            runs=len({report.run_id for report, _ in seen}),
            of=_count(runs, "candidate", scenario),
            baseline_runs=len(baseline[scenario, what]),
            baseline_of=_count(runs, "baseline", scenario),
            reproduce=seen[0][0].reproduce,
        )
        for (scenario, what), seen in broken.items()
    ]


def _promise(finding: Finding) -> str | None:
    """Return what a finding is about, if that is a promise."""
    if finding.check != THRESHOLDS:
        return finding.check
    metric = finding.metric or ""
    return metric if metric.partition("{")[0] in PROMISES else None


def _count(runs: Iterable[Judged], side: SideName, scenario: str) -> int:
    return sum(
        run.side == side and run.scenario == scenario and run.report is not None for run in runs
    )


def sum_thresholds(runs: Sequence[Judged]) -> list[ThresholdLine]:
    """Return a line for each condition of each scenario, over all runs of the candidate."""
    by_side: dict[SideName, dict[tuple[str, str, str], list[tuple[Report, Finding]]]]
    by_side = {side: defaultdict(list) for side in SIDES}
    for run in runs:
        for finding in run.report.findings if run.report is not None else ():
            if finding.check == THRESHOLDS and finding.metric and finding.condition:
                assert run.report is not None
                key = (run.scenario, finding.metric, finding.condition)
                by_side[run.side][key].append((run.report, finding))
    return [
        _sum_condition(key, found, by_side["baseline"].get(key, []))
        for key, found in by_side["candidate"].items()
    ]


def _sum_condition(
    key: tuple[str, str, str],
    found: Sequence[tuple[Report, Finding]],
    baseline: Sequence[tuple[Report, Finding]],
) -> ThresholdLine:
    scenario, metric, condition = key
    verdicts = [finding.verdict for _, finding in found]
    # The worst run is one with the worst verdict, and of those one with the least margin.
    report, worst = min(
        found,
        key=lambda one: (
            ("fail", "inconclusive", "pass").index(one[1].verdict),
            float("inf") if one[1].margin is None else one[1].margin,
        ),
    )
    return ThresholdLine(
        scenario=scenario,
        metric=metric,
        condition=condition,
        worst=worst,
        broken=verdicts.count("fail"),
        inconclusive=verdicts.count("inconclusive"),
        runs=len(found),
        baseline_broken=sum(finding.verdict == "fail" for _, finding in baseline),
        baseline_runs=len(baseline),
        reproduce=report.reproduce,
    )


def sum_proofs(runs: Sequence[Judged]) -> list[ProofLine]:
    """Return for each fault and side how often it was to happen, and was proven to have."""
    intended: dict[tuple[str, str, str, SideName], int] = defaultdict(int)
    proven: dict[tuple[str, str, str, SideName], list[str]] = defaultdict(list)
    reproduce: dict[tuple[str, str, str, SideName], str] = {}
    for run in runs:
        for iteration in run.report.iterations if run.report is not None else ():
            assert run.report is not None
            faults = {fault.name: fault for fault in iteration.faults}
            for step in iteration.schedule:
                name, action = str(step.get("name")), str(step.get("action"))
                key = (run.scenario, name, action, run.side)
                intended[key] += 1
                fault = faults.get(name)
                if fault is not None and fault.proven:
                    seen = (one.what for one in fault.proof if one.kind == "effect")
                    proven[key].append(next(seen, ""))
                else:
                    reproduce[key] = run.report.reproduce
                reproduce.setdefault(key, run.report.reproduce)
    return [
        ProofLine(
            scenario=key[0],
            fault=key[1],
            action=key[2],
            side=key[3],
            intended=count,
            proven=len(proven[key]),
            example=next(iter(proven[key]), ""),
            reproduce=reproduce[key],
        )
        for key, count in intended.items()
    ]


def settings_of(runs: Sequence[Judged]) -> dict[SideName, Any]:
    """Return what was in force by side: host, clients, and the servers of each scenario."""
    found: dict[SideName, Any] = {}
    for run in runs:
        if run.report is None:
            continue
        environment = run.report.environment
        side = found.setdefault(
            run.side,
            {
                "backend": environment.backend,
                "host": environment.host,
                "python": environment.python,
                "client": environment.client.model_dump(mode="json"),
                "scenarios": {},
            },
        )
        side["scenarios"].setdefault(
            run.scenario, [server.model_dump(mode="json") for server in environment.servers]
        )
    return found
