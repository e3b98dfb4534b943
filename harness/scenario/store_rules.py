"""Rules about faults of what servers store: there has to be something on the disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.scenario.model import FaultStep, Scenario, Step
from harness.scenario.problems import KeyPath, Problem, suggestion
from harness.scenario.random_step import RandomStep
from harness.scenario.vocabulary import Vocabulary

_OFF = frozenset({"disabled", "disable", "false", "no", "off"})


def check_stored_data(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """What a fault does to files is possible: JetStream is on, and the stream is not in memory."""
    spec = scenario.cluster
    streams = {one.name: one for one in getattr(scenario, "streams", ())}
    for index, step in enumerate(scenario.faults):
        for path, one in _steps(index, step):
            if not one.needs_files:
                continue
            if spec.compose is None and spec.attach is None and not _switched_on(scenario):
                message = f"{one.action} needs files of JetStream; set cluster.jetstream: true"
                yield Problem((*path, "action"), message)
            name = getattr(one, "stream", None)
            if name is None or not streams:
                continue
            if name not in streams:
                message = f"unknown stream {name!r}{suggestion(name, streams)}"
                yield Problem((*path, "stream"), message)
            elif getattr(streams[name], "storage", None) == "memory":
                message = f"stream {name!r} is kept in memory, so it has no files"
                yield Problem((*path, "stream"), message)


def _steps(index: int, step: Step) -> Iterator[tuple[KeyPath, FaultStep]]:
    if isinstance(step, FaultStep):
        yield ("faults", index), step
    elif isinstance(step, RandomStep):
        for number, action in enumerate(step.actions):
            yield ("faults", index, "actions", number), action


def _switched_on(scenario: Scenario) -> bool:
    spec = scenario.cluster
    if spec.jetstream is not False:
        return True
    free = {str(key).lower(): value for key, value in spec.config.items()}.get("jetstream", False)
    if isinstance(free, str):
        return free.lower() not in _OFF
    return isinstance(free, Mapping) or bool(free)
