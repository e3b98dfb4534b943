"""Rules about faults: what they hit, when, and whether each can be proven."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import inf

from harness.clock import seconds, to_ns
from harness.scenario.model import FaultStep, Scenario
from harness.scenario.problems import KeyPath, Problem, suggestion
from harness.scenario.targets import Attached, Nodes, Target, TargetError, parse_target
from harness.scenario.vocabulary import Vocabulary
from harness.units import format_duration

PROCESS_ACTIONS = frozenset({"stop", "kill", "pause", "restart", "lame-duck", "rolling-restart"})
_ENDS_BY_ITSELF = frozenset({"rolling-restart"})  # takes no duration, so only its start is known


def check_fault_names(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Faults have different names: thresholds and proofs refer to them."""
    names: set[str] = set()
    for index, step in enumerate(scenario.faults):
        if step.name in names:
            message = f"another fault is called {step.name!r} already"
            yield Problem(("faults", index, "name"), message)
        names.add(step.name)


def check_fault_targets(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Targets exist, and are not empty sets."""
    for index, step in enumerate(scenario.faults):
        path: KeyPath = ("faults", index, "target")
        try:
            target = parse_target(step.target, step.count, scenario.cluster.nodes)
        except TargetError as error:
            yield Problem(path if error.index is None else (*path, error.index), str(error))
            continue
        if isinstance(target, Attached):
            yield from _check_attached(target, scenario, path)
        elif target.size == 0:
            message = f"a minority of {len(target.names)} is no node at all; expected 3 or more"
            yield Problem(path if step.count == "all" else ("faults", index, "count"), message)


def _check_attached(target: Attached, scenario: Scenario, path: KeyPath) -> Iterator[Problem]:
    workloads = {workload.name: workload for workload in scenario.workloads}
    workload = workloads.get(target.workload)
    if workload is None:
        hint = suggestion(target.workload, workloads)
        yield Problem(path, f"unknown workload {target.workload!r}{hint}")
    elif target.role is not None and target.role not in workload.roles:
        hint = suggestion(target.role, workload.roles)
        yield Problem(path, f"workload {workload.name!r} has no role {target.role!r}{hint}")


def check_fault_places(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Each fault is possible in this cluster, as far as the fault itself can tell."""
    groups = {
        workload.name: tuple(f"{workload.name}-{role}" for role in workload.roles)
        for workload in scenario.workloads
    }
    for index, step in enumerate(scenario.faults):
        for path, message in step.impossibilities(scenario.cluster.nodes, groups):
            yield Problem(("faults", index, *path), message)


def check_fault_windows(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Faults end, and within the fault phase where the scenario says how long that is."""
    phase = scenario.phases.fault
    if phase is None:
        for index, step in enumerate(scenario.faults):
            if step.duration is None and not step.self_timed:
                message = f"{step.action} needs a duration, or phases.fault to last until"
                yield Problem(("faults", index), message)
        return
    limit = f"phases.fault ends at {format_duration(phase)}"
    for index, step in enumerate(scenario.faults):
        if step.duration is None:
            if step.at >= phase:
                message = f"starts at {format_duration(step.at)}, but {limit}"
                yield Problem(("faults", index, "at"), message)
        elif (end_s := _end(step)) > phase:
            end = format_duration(end_s)
            key = "duration" if step.at < phase else "at"
            yield Problem(("faults", index, key), f"the fault ends at {end}, but {limit}")


def check_fault_overlaps(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Process faults do not share a node at one time: they could not each be proven.

    Only what is certain before the run is refused; a draw that collides is for the run
    to tell.
    """
    known = []
    for index, step in enumerate(scenario.faults):
        target = _nodes_of(step, scenario)
        if step.action in PROCESS_ACTIONS and target is not None:
            known.append((index, step, target))
    for (_first, one, hit), (second, other, also_hit) in combinations(known, 2):
        shared = _surely_shared(hit, also_hit)
        if shared is not None and _together(one, other):
            yield Problem(("faults", second, "at"), _overlap_message(one, other, shared))


def _nodes_of(step: FaultStep, scenario: Scenario) -> Nodes | None:
    try:
        target: Target = parse_target(step.target, step.count, scenario.cluster.nodes)
    except TargetError:
        return None  # already a problem of its own
    return target if isinstance(target, Nodes) else None


def _surely_shared(one: Nodes, other: Nodes) -> str | None:
    """Return how to name what both hit whatever is drawn, or None if they may miss each other."""
    pool = set(one.names) | set(other.names)
    if one.size + other.size <= len(pool):
        return None
    both = [name for name in one.names if name in other.names]
    return both[0] if len(both) == 1 else f"at least one of {', '.join(both)}"


def _together(one: FaultStep, other: FaultStep) -> bool:
    return one.at <= _end(other) and other.at <= _end(one)


def _end(step: FaultStep) -> float:
    if step.duration is None:
        return step.at if step.action in _ENDS_BY_ITSELF else inf
    return seconds(to_ns(step.at) + to_ns(step.duration))  # in whole ns: 0.1 + 0.2 is 0.3 here


def _overlap_message(one: FaultStep, other: FaultStep, shared: str) -> str:
    early, late = sorted((one, other), key=lambda step: step.at)
    message = f"{one.name!r} and {other.name!r} both act on {shared}: "
    if early.action in _ENDS_BY_ITSELF:
        return f"{message}start {late.name!r} after {early.name!r} has ended"
    if early.duration is None:
        return f"{message}give {early.name!r} a duration, so that its end is known"
    end = format_duration(_end(early))
    start = format_duration(late.at)
    return f"{message}{early.name!r} ends at {end} and {late.name!r} starts at {start}; leave a gap"
