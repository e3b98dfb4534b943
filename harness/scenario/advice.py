"""What is allowed in a scenario but is probably not what its author wants."""

from __future__ import annotations

from collections.abc import Iterator

from harness.scenario.client_options import effective_options
from harness.scenario.model import FaultStep, Phases, Scenario
from harness.scenario.problems import Problem
from harness.scenario.random_step import RandomStep
from harness.units import format_duration


def advise(scenario: Scenario) -> tuple[Problem, ...]:
    """Return what is doubtful in a scenario that breaks no rule."""
    return (
        *_advise_detection(scenario),
        *_advise_phases(scenario),
        *_advise_listed(scenario),
        *_advise_workloads(scenario),
        *_advise_thresholds(scenario),
    )


def _advise_detection(scenario: Scenario) -> Iterator[Problem]:
    """Compare silent faults with the time that the client needs to notice silence.

    nats-py sends a ping every `ping_interval` and gives up at the tick that finds
    `max_outstanding_pings` of them unanswered; a fault begins anywhere between two
    ticks, so that the bound is an interval, open below.
    """
    options = effective_options(scenario.client.adapter, scenario.client.options)
    interval_s = float(options["ping_interval"] or 0)
    pings = int(options["max_outstanding_pings"] or 0)
    for index, step in enumerate(scenario.faults):
        if isinstance(step, RandomStep):
            yield from _advise_draw(step, index, interval_s, pings)
            continue
        assert isinstance(step, FaultStep)
        held_s = _held_s(step, scenario.phases)
        noticeable = step.silent and step.reaches_clients(scenario.cluster.sites)
        if noticeable and held_s < (pings + 1) * interval_s:
            message = _detection_message(step.name, held_s, interval_s, pings)
            yield Problem(("faults", index, "duration"), message)


def _advise_draw(step: RandomStep, index: int, interval_s: float, pings: int) -> Iterator[Problem]:
    """Tell of a silent action that nobody can notice, however long is drawn."""
    for number, action in enumerate(step.actions):
        longest_s = step.duration[1] if action.duration is None else action.duration
        if action.silent and action.strikes_clients and longest_s <= pings * interval_s:
            message = _detection_message(action.action, longest_s, interval_s, pings)
            yield Problem(("faults", index, "actions", number), message)


def _held_s(step: FaultStep, phases: Phases) -> float:
    """Return how long a fault is held: as asked, else to the end of the fault phase."""
    if step.duration is not None:
        return step.duration
    return max(0.0, (phases.fault or 0.0) - step.at)


def _detection_message(name: str, held_s: float, interval_s: float, pings: int) -> str:
    low_s, high_s = pings * interval_s, (pings + 1) * interval_s
    bound = f"({format_duration(low_s)}, {format_duration(high_s)}]"
    outcome = "will" if held_s <= low_s else "may"
    return (
        f"clients {outcome} not notice {name!r} by its silence: nats-py needs "
        f"({pings}, {pings + 1}] x ping_interval = ({pings}, {pings + 1}] x "
        f"{format_duration(interval_s)} = {bound} > duration {format_duration(held_s)}; "
        "hold it longer, or set client.options.ping_interval lower"
    )


def _advise_phases(scenario: Scenario) -> Iterator[Problem]:
    """Compare the phases after a fault with the wait between two connection attempts."""
    options = effective_options(scenario.client.adapter, scenario.client.options)
    wait_s = float(options["reconnect_time_wait"] or 0)
    if not scenario.faults or not options["allow_reconnect"]:
        return
    for phase in ("recovery", "drain"):
        length_s: float = getattr(scenario.phases, phase)
        if length_s < wait_s:
            message = (
                f"shorter than the client's wait between two connection attempts: {phase} "
                f"{format_duration(length_s)} < reconnect_time_wait {format_duration(wait_s)}; "
                "clients may not be back before it ends"
            )
            yield Problem(("phases", phase), message)


def _advise_listed(scenario: Scenario) -> Iterator[Problem]:
    """Tell where a few messages at stated times leave a phase empty that must not be."""
    if any(workload.paced for workload in scenario.workloads):
        return
    beside = "put a workload with a rate beside them"
    if not any(workload.due_in("steady") for workload in scenario.workloads):
        message = f"no message is due in steady, so the run will be inconclusive; {beside}"
        yield Problem(("workloads",), message)
    if scenario.faults and scenario.phases.recovery > 0:
        message = (
            "no message is due in recovery, where none can be named, so the run will be "
            f"inconclusive; {beside}, or set phases.recovery to 0s"
        )
        yield Problem(("workloads",), message)


def _advise_workloads(scenario: Scenario) -> Iterator[Problem]:
    for index, workload in enumerate(scenario.workloads):
        for path, message in workload.doubts(scenario):
            yield Problem(("workloads", index, *path), message)


def _advise_thresholds(scenario: Scenario) -> Iterator[Problem]:
    if not scenario.thresholds:
        message = "there are none, so that only the built-in guarantees are judged"
        yield Problem(("thresholds",), message)
