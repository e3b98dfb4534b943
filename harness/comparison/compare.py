"""Compare two sets of runs, scenario by scenario."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import __version__
from harness.comparison.judge import ALPHA, CONFIDENCE, Case, Rules, judge, refuse
from harness.comparison.metrics import base_of, lag_statistic
from harness.comparison.model import Comparison, MetricChange, Outcome, ScenarioChange, Side
from harness.comparison.notes import find_essential, left_out_unevenly, write_notes
from harness.comparison.one_sided import find_unmeasured, matters
from harness.comparison.runs import Run, RunIteration
from harness.comparison.samples import find_samples, read_lag
from harness.comparison.sources import Source, read_runs
from harness.errors import (
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
    EXIT_REGRESSION,
    ReportError,
    UsageError,
)
from harness.report.model import Report
from harness.stats.shift import compare_ranks
from harness.units import human_duration

EXIT_CODES: Mapping[Outcome, int] = {
    "no-regression": EXIT_PASS,
    "regression": EXIT_REGRESSION,
    "too-few-runs": EXIT_INCONCLUSIVE,
}
LAG_OF = ("p50", "p99", "max")
PROCESSES = 4  # sender, the servers on the way, receiver: each waits for a busy machine


@dataclass(frozen=True)
class _Pair:
    """The runs of one scenario on both sides."""

    name: str
    baseline: Sequence[Run]
    candidate: Sequence[Run]

    @property
    def sides(self) -> tuple[Sequence[Run], Sequence[Run]]:
        return self.baseline, self.candidate


def compare_runs(
    baseline: Iterable[Source],
    candidate: Iterable[Source],
    *,
    alpha: float = ALPHA,
    practical: Mapping[str, float] | None = None,
    labels: tuple[str | None, str | None] = (None, None),
    reproduce: str | None = None,
) -> Comparison:
    """Compare two sets of runs; the same runs always give the same comparison.

    Args:
        baseline: reports, or paths of reports, run folders, folders of run folders or stored
            baselines.
        candidate: the same, of what is to be judged.
        alpha: the chance of one false change or more in the whole comparison, at most.
        practical: by metric, and under ``""`` for all others, the share of the baseline up
            to which a shift does not matter, instead of the default.
        labels: what to call the sides; by default their releases, if those differ.
        reproduce: the command line that gives the same comparison.

    Raises:
        ReportError: a source cannot be read or holds no run, or no run has counted iterations.
        UsageError: the sides have no scenario in common.
    """
    given = _listed(baseline), _listed(candidate)
    read = read_runs(given[0]), read_runs(given[1])
    for name, runs in zip(("baseline", "candidate"), read, strict=True):
        if not runs:
            raise ReportError(f"the {name} holds no runs")
    grouped = _group(read[0]), _group(read[1])
    common = [name for name in grouped[0] if name in grouped[1]]
    if not common:
        raise UsageError(
            f"no scenario is on both sides: {', '.join(grouped[0])} in the baseline, "
            f"{', '.join(grouped[1])} in the candidate"
        )
    pairs = [_Pair(name, grouped[0][name], grouped[1][name]) for name in common]
    called = _call(read, given, labels)
    if shared := {run.run_id for run in read[0]} & {run.run_id for run in read[1]}:
        raise UsageError(f"run {min(shared)} is on both sides: there is nothing to compare")
    scenarios, compared = _compare(pairs, called, Rules(alpha, practical))
    vanished = [name for name in grouped[0] if name not in grouped[1]]
    outcome = _conclude(scenarios, pairs, vanished)
    return Comparison(
        nats_harness_version=__version__,
        outcome=outcome,
        exit_code=EXIT_CODES[outcome],
        baseline=_describe(read[0], called[0]),
        candidate=_describe(read[1], called[1]),
        scenarios=scenarios,
        missing=[
            *(f"{name}: only in the baseline" for name in vanished),
            *(f"{name}: only in the candidate" for name in grouped[1] if name not in grouped[0]),
        ],
        compared=compared,
        alpha=alpha,
        reproduce=reproduce or _write_command(given),
    )


def _listed(sources: Iterable[Source] | Path | str | Report) -> list[Source]:
    return [sources] if isinstance(sources, Path | str | Report | Run) else list(sources)


def _group(runs: Sequence[Run]) -> dict[str, list[Run]]:
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.name].append(run)
    return dict(sorted(groups.items()))


def _compare(
    pairs: Sequence[_Pair], called: tuple[str, str], rules: Rules
) -> tuple[list[ScenarioChange], int]:
    """Judge the metrics of all scenarios together, since the correction is over all of them."""
    found = [_find_cases(pair) for pair in pairs]
    cases = [ones for ones, _ in found]
    comparable = [not find_essential(pair.sides) for pair in pairs]
    together = [case for ones, fit in zip(cases, comparable, strict=True) if fit for case in ones]
    judged = iter(judge(together, rules))
    scenarios = [
        ScenarioChange(
            scenario=pair.name,
            baseline=_describe(pair.baseline, called[0]),
            candidate=_describe(pair.candidate, called[1]),
            metrics=[next(judged) if fit else refuse(case, DIFFERENT) for case in ones],
            notes=[*write_notes(pair.sides), *notes],
            unmeasured=find_unmeasured(pair.baseline, pair.candidate),
        )
        for pair, (ones, notes), fit in zip(pairs, found, comparable, strict=True)
    ]
    compared = sum(one.p_value is not None for scenario in scenarios for one in scenario.metrics)
    return scenarios, compared


DIFFERENT = "cannot be compared: the scenarios are not the same"
BUSIER = (
    "the harness itself was later on one side: its machine was busier there, and times of single "
    "events may be off by {}"
)


def _find_cases(pair: _Pair) -> tuple[list[Case], list[str]]:
    """Return what is to be judged of a scenario, and what is to be noted of the machines."""
    first, second = ([one for run in side for one in run.iterations] for side in pair.sides)
    resolution: dict[str, float] = {}
    for run in (*pair.baseline, *pair.candidate):
        for name, seconds in run.resolution.items():
            resolution[name] = max(seconds, resolution.get(name, 0.0))
    lags, busier = _find_lags(first, second)
    cases = []
    for sample in find_samples((first, second), resolution):
        timed = sample.unit == "s"
        lag = lags[lag_statistic(sample.statistic)] if timed else 0.0
        looks = resolution.get(base_of(sample.metric), 0.0) if timed else 0.0
        cases.append(Case(sample, looks, lag))
    notes = [BUSIER.format(human_duration(lags["max"]))] if busier else []
    return cases, notes


def _find_lags(
    baseline: Sequence[RunIteration], candidate: Sequence[RunIteration]
) -> tuple[dict[str, float], bool]:
    """Return by how much the harness's own lateness may shift times, by statistic, in seconds.

    And whether it differs by more than chance.

    Lateness that is in both sides alike does not matter. Where it does not differ by more than
    chance, it is by how much it seems to. Where it does, one machine was busier, and every
    process on the way of a message or a reconnect was later, not only the harness: then it is
    several times the farther end of the confidence interval.
    """
    found = {name: (read_lag(baseline, name), read_lag(candidate, name)) for name in LAG_OF}
    if not all(len(side) for sides in found.values() for side in sides):
        return dict.fromkeys(LAG_OF, 0.0), False
    shifts = {name: compare_ranks(*sides, CONFIDENCE) for name, sides in found.items()}
    busier = any(one.test.p_value <= 1 - CONFIDENCE for one in shifts.values())
    return {
        name: PROCESSES * max(abs(one.low), abs(one.high)) if busier else abs(one.estimate)
        for name, one in shifts.items()
    }, busier


def _conclude(
    scenarios: Sequence[ScenarioChange], pairs: Sequence[_Pair], vanished: Sequence[str]
) -> Outcome:
    changes: set[str] = {one.change for scenario in scenarios for one in scenario.metrics}
    if "regressed" in changes:
        return "regression"
    untold = any(not _tells(scenario.metrics) for scenario in scenarios)
    untold |= not all(_is_trusted(side) for pair in pairs for side in pair.sides)
    uneven = any(left_out_unevenly(pair.sides) for pair in pairs)
    refused = any(matters(one, scenario) for scenario in scenarios for one in scenario.metrics)
    if "too-few-runs" in changes or untold or uneven or refused or vanished:
        return "too-few-runs"
    return "no-regression"


def _tells(metrics: Sequence[MetricChange]) -> bool:
    return any(one.p_value is not None for one in metrics)


def _is_trusted(side: Sequence[Run]) -> bool:
    """Tell whether any iteration counts in full: broken guarantees alone tell nothing of times."""
    return any(one.trust == "all" for run in side for one in run.iterations)


def _describe(runs: Sequence[Run], label: str) -> Side:
    verdicts = Counter(run.verdict for run in runs)
    return Side(
        label=label,
        servers=sorted({version for run in runs for version in run.servers}),
        clients=sorted({run.client for run in runs}),
        runs=len(runs),
        iterations=sum(one.trust != "none" for run in runs for one in run.iterations),
        verdicts={
            name: verdicts[name] for name in ("pass", "inconclusive", "fail") if verdicts[name]
        },
        sources=[run.source for run in runs],
    )


def _call(
    read: tuple[Sequence[Run], Sequence[Run]],
    given: tuple[Sequence[Source], Sequence[Source]],
    labels: tuple[str | None, str | None],
) -> tuple[str, str]:
    releases = [", ".join(sorted({one for run in side for one in run.servers})) for side in read]
    if releases[0] == releases[1]:
        releases = [_name(sources, default) for sources, default in zip(given, SIDES, strict=True)]
    return labels[0] or releases[0], labels[1] or releases[1]


SIDES = ("baseline", "candidate")


def _name(sources: Sequence[Source], default: str) -> str:
    paths = [Path(one) for one in sources if isinstance(one, Path | str)]
    if len(paths) != 1:
        return default
    return paths[0].name if paths[0].name != "report.json" else paths[0].absolute().parent.name


def _write_command(given: tuple[Sequence[Source], Sequence[Source]]) -> str:
    texts = [str(one) for side in given for one in side if isinstance(one, Path | str)]
    return shlex.join(["nats-harness", "compare", *texts])
