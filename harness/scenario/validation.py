"""Turn a tree into a scenario, collecting every problem on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from harness.scenario.model import FaultStep, Model, Scenario, WorkloadSpec
from harness.scenario.problems import KeyPath, Problem, suggestion
from harness.scenario.tree import Entries, Items, Node, describe, find, to_plain
from harness.scenario.vocabulary import Vocabulary
from harness.scenario.wording import word_errors

_STAND_IN_NAME = "unnamed"
_STAND_IN_WORKLOAD = WorkloadSpec(name=_STAND_IN_NAME, kind="none")


@dataclass(frozen=True)
class Draft:
    """A scenario as far as it could be understood.

    `unsound` are the top-level keys that have problems; stand-ins take their place.
    """

    scenario: Scenario
    unsound: frozenset[str]
    problems: tuple[Problem, ...]


def draft_scenario(root: Entries, vocabulary: Vocabulary) -> Draft:
    """Return the scenario that `root` describes, with stand-ins for what is wrong."""
    workloads = _read_steps(root, "workloads", "kind", vocabulary.workloads)
    faults = _read_steps(root, "faults", "action", vocabulary.faults)
    problems = [*workloads.problems, *faults.problems]
    data = to_plain(root)
    for key, steps in (("workloads", workloads.steps), ("faults", faults.steps)):
        if steps is not None:
            data[key] = steps
    unsound = {str(problem.path[0]) for problem in problems}
    if "workloads" in unsound:
        data["workloads"] = (_STAND_IN_WORKLOAD,)
    try:
        return Draft(Scenario.model_validate(data), frozenset(unsound), tuple(problems))
    except ValidationError as error:
        found = word_errors(
            error.errors(include_url=False, include_input=False), root, (), Scenario
        )
    problems.extend(found)
    unsound |= {str(problem.path[0]) for problem in found}
    sound = {
        key: value
        for key, value in data.items()
        if key in Scenario.model_fields and key not in unsound
    }
    stand_ins = {"name": _STAND_IN_NAME, "workloads": (_STAND_IN_WORKLOAD,)}
    scenario = Scenario.model_validate({**stand_ins, **sound})
    return Draft(scenario, frozenset(unsound), tuple(problems))


@dataclass(frozen=True)
class _Steps:
    """The steps that are sound; `steps` is None where the document has no list of them."""

    steps: tuple[Model, ...] | None
    problems: tuple[Problem, ...]


def _read_steps(
    root: Entries,
    section: str,
    chooser: str,
    known: Mapping[str, type[FaultStep]] | Mapping[str, type[WorkloadSpec]],
) -> _Steps:
    node = find(root, (section,))
    if not isinstance(node, Items):
        return _Steps(None, ())  # missing or not a list: the scenario itself says so
    steps: list[Model] = []
    problems: list[Problem] = []
    for index, item in enumerate(node.items):
        path: KeyPath = (section, index)
        cls = _choose(root, item, path, chooser, known)
        if isinstance(cls, Problem):
            problems.append(cls)
            continue
        try:
            steps.append(cls.model_validate(to_plain(item)))
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
            problems.extend(word_errors(errors, root, path, cls))
    return _Steps(tuple(steps), tuple(problems))


def _choose(
    root: Node, item: Node, path: KeyPath, chooser: str, known: Mapping[str, type[Any]]
) -> type[Model] | Problem:
    if not isinstance(item, Entries):
        return Problem(path, f"expected a mapping, found {describe(root, path)}")
    names = ", ".join(known)
    node = find(item, (chooser,))
    if node is None:
        return Problem((*path, chooser), f"this key is missing; expected one of {names}")
    name = to_plain(node)
    if not isinstance(name, str):
        found = describe(root, (*path, chooser))
        return Problem((*path, chooser), f"expected one of {names}, found {found}")
    cls: type[Model] | None = known.get(name)
    if cls is None:
        found = describe(root, (*path, chooser))
        return Problem((*path, chooser), f"unknown {chooser} {found}{suggestion(name, known)}")
    return cls
