"""Rules about thresholds: each names something the run will measure, and can be broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.errors import ScenarioError
from harness.scenario.metrics import LABEL_VALUES, Metric, Need
from harness.scenario.model import Phases, Scenario, WorkloadSpec
from harness.scenario.problems import KeyPath, Problem, suggestion
from harness.scenario.thresholds import Selector, Threshold, parse_selector, parse_threshold
from harness.scenario.vocabulary import Vocabulary

_NEEDS: Mapping[Need, str] = {
    "fault": "a fault",
    "core": "a core workload",
    "request": "a request workload",
}
_ConditionKey = tuple[str, tuple[tuple[str, str], ...], str, str, float]


def parsed_thresholds(scenario: Scenario, metrics: Mapping[str, Metric]) -> tuple[Threshold, ...]:
    """Return every threshold of a scenario, in its order.

    Raises:
        ScenarioError: a threshold that the loader would have refused.
    """
    thresholds = []
    for text, conditions in scenario.thresholds.items():
        for condition in conditions:
            try:
                thresholds.append(_parse(text, condition, metrics))
            except ValueError as error:
                raise ScenarioError(f"thresholds.{text}: {error}") from error
    return tuple(thresholds)


def _parse(text: str, condition: str, metrics: Mapping[str, Metric]) -> Threshold:
    selector = parse_selector(text)
    metric = metrics.get(selector.metric)
    if metric is None:
        raise ValueError(_unknown_metric(selector, metrics))
    return parse_threshold(selector, condition, metric)


def _unknown_metric(selector: Selector, metrics: Mapping[str, Metric]) -> str:
    return f"unknown metric {selector.metric!r}{suggestion(selector.metric, metrics)}"


def check_thresholds(scenario: Scenario, vocabulary: Vocabulary) -> Iterator[Problem]:
    """Thresholds name metrics, labels and statistics that this scenario can produce."""
    seen: set[_ConditionKey] = set()
    for text, conditions in scenario.thresholds.items():
        path: KeyPath = ("thresholds", text)
        try:
            selector = parse_selector(text)
        except ValueError as error:
            yield Problem(path, str(error), at_key=True)
            continue
        metric = vocabulary.metrics.get(selector.metric)
        if metric is None:
            yield Problem(path, _unknown_metric(selector, vocabulary.metrics), at_key=True)
            continue
        messages = list(_check_selector(selector, metric, scenario))
        for message in messages or _check_possible(selector, metric, scenario):
            yield Problem(path, message, at_key=True)
        if not conditions:
            yield Problem(path, "expected at least one condition, found an empty list")
        for index, condition in enumerate(conditions):
            for message in _check_condition(selector, condition, metric, seen):
                yield Problem((*path, index), message)


def _check_condition(
    selector: Selector, condition: str, metric: Metric, seen: set[_ConditionKey]
) -> Iterator[str]:
    try:
        threshold = parse_threshold(selector, condition, metric)
    except ValueError as error:
        yield str(error)
        return
    if threshold.operator == ">=" and threshold.limit == 0:
        yield f"{condition!r} always holds, so it checks nothing"
    key = (
        metric.name,
        tuple(sorted(selector.labels.items())),
        threshold.statistic,
        threshold.operator,
        threshold.limit,
    )
    if key in seen:
        yield f"the condition {condition!r} is given twice"
    seen.add(key)


def _check_selector(selector: Selector, metric: Metric, scenario: Scenario) -> Iterator[str]:
    for label, value in selector.labels.items():
        if label not in metric.labels:
            yield f"{metric.name} has no label {label!r}{suggestion(label, metric.labels)}"
            continue
        values = _values_of(label, scenario)
        if value not in values:
            yield f"label {label!r} has no value {value!r}{suggestion(value, values)}"


def _values_of(label: str, scenario: Scenario) -> tuple[str, ...]:
    if label == "workload":
        return tuple(workload.name for workload in scenario.workloads)
    if label == "fault":
        return tuple(step.name for step in scenario.faults)
    return LABEL_VALUES[label] or ()


def _check_possible(selector: Selector, metric: Metric, scenario: Scenario) -> Iterator[str]:
    """Yield why the run could never produce what is selected: a count of it is always zero."""
    chosen = [
        workload
        for workload in scenario.workloads
        if selector.labels.get("workload") in (None, workload.name)
    ]
    kinds = {workload.kind for workload in chosen}
    for need in metric.needs:
        if need == "fault" and not scenario.faults:
            yield f"{metric.name} needs a fault, and the scenario has none"
        elif need != "fault" and need not in kinds:
            where = (
                f"workload {chosen[0].name!r} is not one"
                if "workload" in selector.labels
                else ("the scenario has none")
            )
            yield f"{metric.name} needs {_NEEDS[need]}, and {where}"
    role = selector.labels.get("role")
    if role is not None and role not in _client_roles(chosen):
        yield f"no client has the role {role!r} here"
    phase = selector.labels.get("phase")
    if phase is not None and not _has_traffic(phase, scenario.phases, faults=len(scenario.faults)):
        yield f"no message is due in phase {phase!r} here, so this would always hold"


def _client_roles(workloads: list[WorkloadSpec]) -> set[str]:
    """Return what one client of each role is called: roles are plurals."""
    return {role.removesuffix("s") for workload in workloads for role in workload.roles}


def _has_traffic(phase: str, phases: Phases, *, faults: int) -> bool:
    if phase == "drain":
        return False  # it begins when traffic stops
    if phase == "fault":
        return bool(faults or phases.fault)
    length_s: float = getattr(phases, phase)
    return length_s > 0
