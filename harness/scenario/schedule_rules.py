"""Rules about steps that repeat, are drawn or are held: each has something to do, in time."""

from __future__ import annotations

from collections.abc import Iterator

from harness.scenario.draw import LEAST_PACE_S, misfit, pool
from harness.scenario.fault_rules import client_groups
from harness.scenario.model import MAX_FAULTS, FaultStep, Scenario, Step
from harness.scenario.problems import KeyPath, Problem
from harness.scenario.random_step import RandomStep
from harness.scenario.schedule import family, how_often, schedule
from harness.scenario.targets import TargetError
from harness.scenario.vocabulary import Vocabulary
from harness.units import format_duration

LEAST_REPEAT_S = 0.1
MOST_LOOKED_AT = 10  # iterations whose draw is tried while loading
HELD_FOR_NOTHING = "expected more than 0s: a fault that is undone at once shows nothing"
MOST_CHARACTERS = 59  # of a name that gets a number


def check_occurrence_names(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Occurrences are numbered by their step's name, and no other step is called so."""
    numbered = {step.name: step for step in scenario.faults if _is_numbered(step)}
    for index, step in enumerate(scenario.faults):
        path: KeyPath = ("faults", index, "name")
        if family(step.name) in numbered:
            message = f"the occurrences of {family(step.name)!r} are called so; choose another name"
            yield Problem(path, message)
        if step.name in numbered and len(step.name) > MOST_CHARACTERS:
            message = f"its occurrences get a number; expected at most {MOST_CHARACTERS} characters"
            yield Problem(path, message)


def _is_numbered(step: Step) -> bool:
    return isinstance(step, RandomStep) or (
        isinstance(step, FaultStep) and step.repeat_every is not None
    )


def check_repeats(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """A step that repeats ends before it begins again, and at some time ends for good."""
    total = 0
    for index, step in enumerate(scenario.faults):
        if not isinstance(step, FaultStep):
            continue
        path: KeyPath = ("faults", index)
        if step.repeat_every is None:
            total += 1
            if step.times is not None:
                message = "says how often at most, so it needs repeat_every beside it"
                yield Problem((*path, "times"), message, at_key=True)
        else:
            path = (*path, "repeat_every")
            message = _repeat_problem(step, scenario.phases.fault)
            if message:
                yield Problem(path, message)
                continue
            total += how_often(step, scenario.phases.fault)
        if total > MAX_FAULTS:
            yield Problem(path, f"{total} faults in one run; a scenario has at most {MAX_FAULTS}")
            return


def _repeat_problem(step: FaultStep, phase_s: float | None) -> str:
    every_s = step.repeat_every or 0.0
    every = format_duration(every_s)
    if every_s < LEAST_REPEAT_S:
        return f"expected at least {format_duration(LEAST_REPEAT_S)}, found {every}"
    if phase_s is None and step.times is None:
        return "needs phases.fault to last until, or times to say how often"
    if step.duration is None:
        if step.self_timed:
            return ""
        return f"each occurrence needs an end: give {step.name!r} a duration below {every}"
    if step.duration >= every_s:
        held = format_duration(step.duration)
        return f"{step.name!r} holds for {held} and would begin again after {every}; leave a gap"
    return ""


def check_holds(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """What is held is held for some time: undone at once it would show nothing."""
    for index, step in enumerate(scenario.faults):
        path: KeyPath = ("faults", index)
        if isinstance(step, RandomStep):
            if step.duration[1] == 0:
                yield Problem((*path, "duration"), HELD_FOR_NOTHING)
            for number, action in enumerate(step.actions):
                if _holds_for_nothing(action):
                    yield Problem((*path, "actions", number, "duration"), HELD_FOR_NOTHING)
        elif isinstance(step, FaultStep) and _holds_for_nothing(step):
            yield Problem((*path, "duration"), HELD_FOR_NOTHING)


def _holds_for_nothing(step: FaultStep) -> bool:
    return step.duration == 0 and not step.self_timed


def check_random_steps(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Random steps draw from nodes that exist, and whatever is in them can be drawn."""
    groups = client_groups(scenario)
    sites = scenario.cluster.sites
    for index, step in enumerate(scenario.faults):
        if not isinstance(step, RandomStep):
            continue
        problems = list(_step_problems(step, index, scenario))
        yield from problems
        for number, action in enumerate(step.actions):
            path: KeyPath = ("faults", index, "actions", number)
            impossible = [
                *action.impossibilities(sites.nodes, groups, sites),
                *action.unmet(scenario.cluster),
            ]
            for below, message in impossible:
                yield Problem((*path, *below), message)
            if problems or impossible:
                continue  # what does not fit would only repeat it in other words
            if (reason := misfit(step, action, scenario)) is not None:
                yield Problem(path, reason)


def _step_problems(step: RandomStep, index: int, scenario: Scenario) -> Iterator[Problem]:
    if scenario.phases.fault is None:
        yield Problem(("faults", index), "random needs phases.fault to last until")
    elif step.at >= scenario.phases.fault:
        end = format_duration(scenario.phases.fault)
        message = f"starts at {format_duration(step.at)}, but phases.fault ends at {end}"
        yield Problem(("faults", index, "at"), message)
    try:
        pool(step, scenario.cluster.sites)
    except TargetError as error:
        path: KeyPath = ("faults", index, "targets")
        yield Problem(path if error.index is None else (*path, error.index), str(error))
    if step.pace[0] < LEAST_PACE_S:
        found = format_duration(step.pace[0])
        message = f"expected at least {format_duration(LEAST_PACE_S)}, found {found}"
        yield Problem(("faults", index, "pace"), message)


def check_draws(scenario: Scenario, vocabulary: Vocabulary) -> Iterator[Problem]:
    """Each random step draws something in each iteration: a draw of nothing tests nothing."""
    steps = [
        (place, step) for place, step in enumerate(scenario.faults) if isinstance(step, RandomStep)
    ]
    if not steps or any(check_random_steps(scenario, vocabulary)):
        return
    if any(check_repeats(scenario, vocabulary)):
        return
    for index in range(min(scenario.repeat, MOST_LOOKED_AT)):
        families = {family(one.name) for one in schedule(scenario, index)}
        for place, step in [one for one in steps if one[1].name not in families]:
            message = (
                f"nothing of {step.name!r} fits beside the other faults in iteration {index}: "
                f"they leave no time, or no servers by `keep: {step.keep}`"
            )
            yield Problem(("faults", place), message)
            steps.remove((place, step))
