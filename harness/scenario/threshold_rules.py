"""Rules about thresholds: each names something the run will measure, and can be broken."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from harness.errors import ScenarioError
from harness.scenario.metrics import LABEL_VALUES, MORE_THAN_CHANCES, Metric, Need
from harness.scenario.model import Phases, Scenario, WorkloadSpec
from harness.scenario.problems import KeyPath, Problem, show, suggestion
from harness.scenario.schedule import family, plain_steps
from harness.scenario.stream_rules import group_names, stream_names
from harness.scenario.thresholds import Selector, Threshold, parse_selector, parse_threshold
from harness.scenario.vocabulary import Vocabulary

# What each need asks for, and the kinds of workload that have it.
_NEEDS: Mapping[Need, tuple[str, frozenset[str]]] = {
    "fault": ("a fault", frozenset()),
    "core": ("a core workload", frozenset({"core"})),
    "request": ("a request workload", frozenset({"request"})),
    "rate": ("a workload with a rate", frozenset({"rate"})),
    "jetstream": ("a jetstream workload", frozenset({"jetstream"})),
    "subscription": ("a core or request workload", frozenset({"core", "request"})),
    "kv": ("a kv workload", frozenset({"kv"})),
    "object": ("an object workload", frozenset({"object"})),
    "answer": (
        "a workload whose messages are answered",
        frozenset({"request", "jetstream", "kv", "object"}),
    ),
    "streams": ("a stream", frozenset()),
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
    return f"unknown metric {show(selector.metric)}{suggestion(selector.metric, metrics)}"


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
    yield from _check_breakable(threshold, metric)
    key = (
        metric.name,
        tuple(sorted(selector.labels.items())),
        threshold.statistic,
        threshold.operator,
        threshold.limit,
    )
    if key in seen:
        yield f"the condition {show(condition)} is given twice"
    seen.add(key)


def _check_breakable(threshold: Threshold, metric: Metric) -> Iterator[str]:
    """Yield why whatever is measured, the condition holds, or does not.

    Nothing that is measured is below zero.
    """
    share = threshold.statistic == "ratio" and metric.name not in MORE_THAN_CHANCES
    most, limit = 1.0 if share else math.inf, threshold.limit
    why = ""
    if share and limit >= most:
        why = f": {metric.name} is at most 100% of what could have been counted"
        if limit > most and not threshold.text.endswith("%"):
            why += f" (did you mean '{limit:g}%'?)"
    always = {"<": limit > most, "<=": limit >= most, ">=": limit <= 0}
    never = {"<": limit <= 0, ">": limit >= most, ">=": limit > most, "==": limit > most}
    if always.get(threshold.operator):
        yield f"{show(threshold.text)} always holds, so it checks nothing{why}"
    elif never.get(threshold.operator):
        yield f"{show(threshold.text)} never holds{why}"


def _check_selector(selector: Selector, metric: Metric, scenario: Scenario) -> Iterator[str]:
    for label, value in selector.labels.items():
        if label not in metric.labels:
            yield f"{metric.name} has no label {show(label)}{suggestion(label, metric.labels)}"
            continue
        values = _values_of(label, scenario)
        if value not in values:
            yield f"label {label!r} has no value {show(value)}{suggestion(value, values)}"


def _values_of(label: str, scenario: Scenario) -> tuple[str, ...]:
    if label == "workload":
        return tuple(workload.name for workload in scenario.workloads)
    if label == "fault":
        steps = [step.name for step in scenario.faults]
        plain = [step.name for _, step in plain_steps(scenario)]
        families = [name for name in map(family, plain) if name is not None]
        return tuple(dict.fromkeys([*steps, *plain, *families]))
    if label == "stream":
        return stream_names(scenario)
    if label == "group":
        return group_names(scenario)
    if label == "server":
        return scenario.cluster.nodes
    return LABEL_VALUES[label] or ()


def _check_possible(selector: Selector, metric: Metric, scenario: Scenario) -> Iterator[str]:
    """Yield why the run could never produce what is selected: a count of it is always zero."""
    chosen = [
        workload
        for workload in scenario.workloads
        if selector.labels.get("workload") in (None, workload.name)
    ]
    kinds = {kind for workload in chosen for kind in (workload.kind, *workload.also)}
    if any(workload.paced for workload in chosen):
        kinds.add("rate")
    for need in metric.needs:
        what, having = _NEEDS[need]
        if need == "fault" and not scenario.faults:
            yield f"{metric.name} needs a fault, and the scenario has none"
        elif need == "streams":
            if not stream_names(scenario):
                yield f"{metric.name} needs {what}, and the scenario has none"
        elif need != "fault" and not kinds & having:
            where = (
                f"workload {chosen[0].name!r} is not one"
                if "workload" in selector.labels
                else ("the scenario has none")
            )
            yield f"{metric.name} needs {what}, and {where}"
    role = selector.labels.get("role")
    if role is not None and role not in _client_roles(chosen):
        yield f"no client has the role {role!r} here"
    if selector.labels.get("explained") == "yes" and not scenario.faults:
        yield "no fault explains a disconnect here, so this would always be zero"
    phase = selector.labels.get("phase")
    if phase is not None and not (
        _has_traffic(phase, scenario.phases, faults=len(scenario.faults))
        and any(workload.due_in(phase) for workload in chosen)
    ):
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
