"""Rules about faults: what they hit, when, and whether each can be proven."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import inf

from harness.clock import seconds, to_ns
from harness.scenario.model import MAX_FAULTS, FaultStep, Scenario
from harness.scenario.problems import KeyPath, Problem, suggestion
from harness.scenario.schedule import plain_steps
from harness.scenario.stream_rules import check_led
from harness.scenario.targets import Attached, Led, Nodes, Target, TargetError, parse_target
from harness.scenario.vocabulary import Vocabulary
from harness.units import format_duration

PROCESS_ACTIONS = frozenset(
    {
        "stop",
        "kill",
        "pause",
        "restart",
        "lame-duck",
        "rolling-restart",
        "clock-skew",
        "cpu-limit",
        "disconnect",
        "command",
        "corrupt",
        "upgrade",
        "power-loss",
        "rollback",
        "disk-full",
        "slow-disk",
    }
)
PROVEN_S = 0.1  # within which a reset is usually proven
JOINTS = ("gateways", "leafnodes")  # what `between` may ask for that not every cluster has
_GIVEN_BY = {"gateways": "clusters", "leafnodes": "leafnodes"}
_ENDS_BY_ITSELF = frozenset(
    {"rolling-restart", "upgrade"}
)  # takes no duration, so only its start is known


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
    for index, step in _written(scenario):
        path: KeyPath = ("faults", index, "target")
        try:
            target = _parse(step, scenario)
        except TargetError as error:
            yield Problem(path if error.index is None else (*path, error.index), str(error))
            continue
        if isinstance(target, Attached):
            yield from _check_attached(target, scenario, path)
        elif isinstance(target, Led):
            yield from check_led(target, scenario, path)
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
    groups = client_groups(scenario)
    sites = scenario.cluster.sites
    for index, step in _written(scenario):
        for path, message in step.impossibilities(sites.nodes, groups, sites):
            yield Problem(("faults", index, *path), message)
        for path, message in step.unmet(scenario.cluster):
            yield Problem(("faults", index, *path), message)
        if (problem := _unjoined(step, scenario)) is not None:
            yield Problem(("faults", index, "between"), problem)


def client_groups(scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """Return the names of each workload's client groups, by the workload's name."""
    return {
        workload.name: tuple(f"{workload.name}-{role}" for role in workload.roles)
        for workload in scenario.workloads
    }


def _written(scenario: Scenario) -> Iterator[tuple[int, FaultStep]]:
    """Yield the faults as the user wrote them, each with its place; what is drawn is apart."""
    for index, step in enumerate(scenario.faults):
        if isinstance(step, FaultStep):
            yield index, step


def _unjoined(step: FaultStep, scenario: Scenario) -> str | None:
    """Say that no target has a link of the kind that `between` asks for; None when one has."""
    between = getattr(step, "between", None)
    sites = scenario.cluster.sites
    if between not in JOINTS:
        return None
    kinds = {sites.joint(one, other) for one, other in combinations(sites.nodes, 2)}
    if between not in kinds:
        return f"there are no {between} in this cluster; see cluster.{_GIVEN_BY[between]}"
    target = _nodes_of(step, scenario)
    if target is None or any(
        sites.joint(one, other) == between for one in target.names for other in sites.nodes
    ):
        return None
    return f"{', '.join(target.names)} has none of the {between}"


def check_fault_windows(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Faults end, and within the fault phase where the scenario says how long that is."""
    phase = scenario.phases.fault
    if phase is None:
        for index, step in _written(scenario):
            if step.duration is None and not step.self_timed:
                message = f"{step.action} needs a duration, or phases.fault to last until"
                yield Problem(("faults", index), message)
        return
    limit = f"phases.fault ends at {format_duration(phase)}"
    for index, step in _written(scenario):
        if step.duration is None:
            if step.at >= phase:
                message = f"starts at {format_duration(step.at)}, but {limit}"
                yield Problem(("faults", index, "at"), message)
        elif (end_s := _end(step)) > phase:
            end = format_duration(end_s)
            key = "duration" if step.at < phase else "at"
            yield Problem(("faults", index, key), f"the fault ends at {end}, but {limit}")


def check_fault_pasts(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """What a fault goes back to is a time at which the run has begun to look ahead."""
    steady = scenario.phases.steady
    for index, step in _written(scenario):
        back = getattr(step, "back", None)
        if back is not None and step.lead_s > steady + step.at:
            path: KeyPath = ("faults", index, "back")
            room = format_duration(seconds(to_ns(steady) + to_ns(step.at)))
            message = f"{format_duration(back)} before that, phases.steady has not begun: it is "
            yield Problem(path, f"{message}{room} from there to `at`, and 100ms more are needed")


def check_fault_overlaps(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Process faults do not share a node at one time: they could not each be proven.

    Only what is certain before the run is refused; a draw that collides is for the run
    to tell.
    """
    plain = tuple(plain_steps(scenario))
    if len(plain) > MAX_FAULTS:
        return  # a problem of its own
    known = []
    for index, step in plain:
        target = _nodes_of(step, scenario) if step.action in PROCESS_ACTIONS else None
        if target is not None:
            known.append((index, step, target))
    told: set[tuple[int, int]] = set()
    for (first, one, hit), (second, other, also_hit) in combinations(known, 2):
        if first == second or (first, second) in told or not _together(one, other):
            continue  # occurrences of one step have a rule of their own
        shared = _surely_shared(hit, also_hit)
        if shared is not None:
            told.add((first, second))
            yield Problem(("faults", second, "at"), _overlap_message(one, other, shared))


def check_fault_doors(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Nothing is reset behind a door that is shut: who resets has to see new connections taken.

    Only what is certain before the run is refused.
    """
    plain = tuple(plain_steps(scenario))
    if len(plain) > MAX_FAULTS:
        return  # a problem of its own
    shut = [one for _, one in plain if one.action == "refuse"]
    told: set[int] = set()
    for index, step in plain:
        if step.action != "reset" or index in told:
            continue
        for door in shut:
            if _within(step, door) and (shared := _surely_reset(step, door, scenario)) is not None:
                told.add(index)
                until = "" if door.duration is None else f" until {format_duration(_end(door))}"
                message = (
                    f"{step.name!r} is proven by new connections to {shared}, which {door.name!r} "
                    f"refuses{until}; leave a gap"
                )
                yield Problem(("faults", index, "at"), message)
                break


def _within(step: FaultStep, door: FaultStep) -> bool:
    return door.at < step.at and step.at + PROVEN_S < _end(door)


def _surely_reset(step: FaultStep, door: FaultStep, scenario: Scenario) -> str | None:
    """Return how to name what is surely both reset and shut to the same; None if it may not be."""
    whose = {getattr(step, "between", "all"), getattr(door, "between", "all")}
    hit, kept = _nodes_of(step, scenario), _nodes_of(door, scenario)
    if len(whose - {"all"}) > 1 or hit is None or kept is None:
        return None
    return _surely_shared(hit, kept)


def _nodes_of(step: FaultStep, scenario: Scenario) -> Nodes | None:
    try:
        target = _parse(step, scenario)
    except TargetError:
        return None  # already a problem of its own
    return target if isinstance(target, Nodes) else None


def _parse(step: FaultStep, scenario: Scenario) -> Target:
    spec = scenario.cluster
    return parse_target(step.target, step.count, spec.nodes, spec.sites.names)


def _surely_shared(one: Nodes, other: Nodes) -> str | None:
    """Return how to name what both hit whatever is drawn, or None if they may miss each other."""
    pool = set(one.names) | set(other.names)
    if one.size + other.size <= len(pool):
        return None
    both = [name for name in one.names if name in other.names]
    return both[0] if len(both) == 1 else f"at least one of {', '.join(both)}"


def _together(one: FaultStep, other: FaultStep) -> bool:
    return one.at - one.lead_s <= _end(other) and other.at - other.lead_s <= _end(one)


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
