"""From what the user wrote to plain fault steps: one at a time, each at its own time.

Pure: a scenario and the number of an iteration always give the same schedule, so that it
can be known before anything starts, and written down to be run again by itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice

from harness.clock import seconds, to_ns
from harness.scenario.draw import draw
from harness.scenario.model import MAX_FAULTS, ClusterSpec, FaultStep, Scenario
from harness.scenario.random_step import RandomStep
from harness.scenario.targets import Nodes, parse_target

_MEMBER = re.compile(r"(?P<family>.+)\.[1-9][0-9]*")

# From the start of the fault phase to the zero of the faults' times: what is on its way when
# the first fault strikes, or late, belongs to the fault phase.
FAULT_EDGE_S = 0.1


def schedule(scenario: Scenario, index: int) -> tuple[FaultStep, ...]:
    """Return the plain faults of iteration `index` of a run (from 0), in the scenario's order.

    A step that repeats becomes ``NAME.1``, ``NAME.2`` and so on, and so does a random one.
    Random steps are drawn one after the other, each beside all that is known before it.
    """
    known: dict[int, tuple[FaultStep, ...]] = {}
    for place, step in enumerate(scenario.faults):
        if isinstance(step, FaultStep):
            known[place] = occurrences(step, scenario.phases.fault)
    for place, step in enumerate(scenario.faults):
        if isinstance(step, RandomStep):
            others = tuple(one for steps in known.values() for one in steps)
            dice = f"{scenario.seed}/{scenario.first_iteration + index}/{step.name}"
            known[place] = draw(step, others, scenario, dice)
    return tuple(one for place in sorted(known) for one in known[place])


def plain_steps(scenario: Scenario) -> Iterator[tuple[int, FaultStep]]:
    """Yield the faults that do not depend on the dice, each with its place in `faults`.

    Where there are more than a scenario may have, one too many.
    """
    plain = (
        (place, one)
        for place, step in enumerate(scenario.faults)
        if isinstance(step, FaultStep)
        for one in occurrences(step, scenario.phases.fault)
    )
    return islice(plain, MAX_FAULTS + 1)


def certain_fault_s(scenario: Scenario) -> float:
    """Return how long the fault phase lasts for certain, as long as no fault fails.

    Healing takes longer than that, which nobody knows beforehand.
    """
    if scenario.phases.fault is not None:
        return scenario.phases.fault
    ends_ns = (to_ns(step.at) + to_ns(step.duration or 0.0) for _, step in plain_steps(scenario))
    return seconds(max(ends_ns, default=0))


def possible_steps(scenario: Scenario) -> Iterator[FaultStep]:
    """Yield every fault that a run may carry out; of a random step, whatever it may draw."""
    for step in scenario.faults:
        if isinstance(step, RandomStep):
            yield from step.actions
        else:
            assert isinstance(step, FaultStep)
            yield step


def watched_nodes(steps: Iterable[FaultStep], cluster: ClusterSpec) -> frozenset[str]:
    """Return the nodes whose disks some of these faults may strike, so that they are watched."""
    return _reached((step for step in steps if step.watches_disk), cluster)


def nodes_on_devices(steps: Iterable[FaultStep], cluster: ClusterSpec) -> frozenset[str]:
    """Return the nodes whose stores have to be on devices of their own, for the same reason."""
    return _reached((step for step in steps if step.cuts_devices), cluster)


def _reached(steps: Iterable[FaultStep], cluster: ClusterSpec) -> frozenset[str]:
    """Return the nodes that some of these faults may strike."""
    found: set[str] = set()
    for step in steps:
        target = parse_target(step.target, step.count, cluster.nodes, cluster.sites.names)
        found.update(target.names if isinstance(target, Nodes) else cluster.nodes)
    return frozenset(found)


def is_drawn(scenario: Scenario) -> bool:
    """Tell whether the seed decides what happens, and not only to whom."""
    return any(isinstance(step, RandomStep) for step in scenario.faults)


def replays(scenario: Scenario) -> dict[str, Scenario]:
    """Return, by file name, scenarios that do alone what each iteration of this one does.

    Each has the plain list of faults and throws the same dice; there is none where nothing
    is drawn.
    """
    if not is_drawn(scenario):
        return {}
    return {
        "replay.yaml" if scenario.repeat == 1 else f"replay-{index}.yaml": scenario.model_copy(
            update={
                "repeat": 1,
                "first_iteration": scenario.first_iteration + index,
                "faults": schedule(scenario, index),
            }
        )
        for index in range(scenario.repeat)
    }


def occurrences(step: FaultStep, phase_s: float | None) -> tuple[FaultStep, ...]:
    """Return a step as it occurs: itself, or as often as it fits and is asked for.

    Args:
        step: the step.
        phase_s: how long the fault phase is to last; None when the faults decide.
    """
    if step.repeat_every is None:
        return (step,)
    return tuple(
        step.model_copy(
            update={
                "name": f"{step.name}.{turn + 1}",
                "at": seconds(to_ns(step.at) + turn * to_ns(step.repeat_every)),
                "repeat_every": None,
                "times": None,
            }
        )
        for turn in range(min(how_often(step, phase_s), MAX_FAULTS))
    )


def how_often(step: FaultStep, phase_s: float | None) -> int:
    """Return how often a step that repeats occurs; at least once."""
    every_ns = to_ns(step.repeat_every or 0.0)
    if every_ns <= 0:
        return 1
    if phase_s is None:
        return step.times or 1
    room_ns = to_ns(phase_s) - to_ns(step.at) - to_ns(step.duration or 0.0)
    if step.duration is None:
        room_ns -= 1  # it must start before the end
    fitting = max(1, room_ns // every_ns + 1)
    return fitting if step.times is None else min(step.times, fitting)


def family(name: str) -> str | None:
    """Return the step that the name of an occurrence comes from: ``flap`` for ``flap.3``."""
    match = _MEMBER.fullmatch(name)
    return None if match is None else match["family"]


def members(label: str, names: Collection[str]) -> frozenset[str]:
    """Return which faults a label means: the one of that name, else all its occurrences."""
    if label in names:
        return frozenset({label})
    return frozenset(name for name in names if family(name) == label)


def resolve_labels(
    labels: Mapping[str, str], names: Collection[str]
) -> dict[str, str | frozenset[str]]:
    """Return labels with the fault that one means replaced by the faults that were scheduled.

    Args:
        labels: a selector's labels.
        names: the names of all faults of the run.
    """
    return {
        label: members(value, names) if label == "fault" else value
        for label, value in labels.items()
    }
