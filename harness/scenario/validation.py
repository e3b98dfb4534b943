"""Turn a tree into a scenario, collecting every problem on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from harness.scenario.choice import choose
from harness.scenario.compose.project import Outcome
from harness.scenario.model import NODES, Model, Scenario, Step, WorkloadSpec
from harness.scenario.problems import KeyPath, Problem
from harness.scenario.random_step import RandomStep
from harness.scenario.random_validation import read_random_step
from harness.scenario.tree import Entries, Items, find, to_plain
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


def draft_scenario(root: Entries, vocabulary: Vocabulary, compose: Outcome | None = None) -> Draft:
    """Return the scenario that `root` describes, with stand-ins for what is wrong.

    Args:
        root: the document.
        vocabulary: the names that exist.
        compose: what `cluster.compose` stands for, where it is a Compose file.
    """
    data = to_plain(root)
    nodes = () if compose is None else _put_project(data, compose)
    workloads = _read_steps(
        root, "workloads", "kind", vocabulary.workloads, vocabulary=vocabulary, nodes=nodes
    )
    faults = _read_steps(
        root, "faults", "action", vocabulary.steps, vocabulary=vocabulary, nodes=nodes
    )
    problems = [*workloads.problems, *faults.problems]
    for key, steps in (("workloads", workloads.steps), ("faults", faults.steps)):
        if steps is not None:
            data[key] = steps
    unsound = {str(problem.path[0]) for problem in problems}
    if compose is not None and compose.problems:
        problems.extend(compose.problems)
        unsound.add("cluster")
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


def _put_project(data: dict[str, Any], compose: Outcome) -> tuple[str, ...]:
    """Put a project in its place, let clients start at its seed, and return its nodes."""
    data["cluster"]["compose"] = compose.project
    if compose.project is None:
        return ()
    client = data.setdefault("client", {})
    if isinstance(client, dict):
        client.setdefault("servers", [compose.project.seed])
    return compose.project.nodes


@dataclass(frozen=True)
class _Steps:
    """The steps that are sound; `steps` is None where the document has no list of them."""

    steps: tuple[Model, ...] | None
    problems: tuple[Problem, ...]


def _read_steps(
    root: Entries,
    section: str,
    chooser: str,
    known: Mapping[str, type[Step]] | Mapping[str, type[WorkloadSpec]],
    *,
    vocabulary: Vocabulary,
    nodes: Sequence[str],
) -> _Steps:
    node = find(root, (section,))
    if not isinstance(node, Items):
        return _Steps(None, ())  # missing or not a list: the scenario itself says so
    steps: list[Model] = []
    problems: list[Problem] = []
    for index, item in enumerate(node.items):
        path: KeyPath = (section, index)
        cls = choose(root, item, path, chooser, known)
        if isinstance(cls, Problem):
            problems.append(cls)
            continue
        if cls is RandomStep:
            step, found = read_random_step(root, item, path, vocabulary, nodes)
            problems.extend(found)
            steps.extend([] if step is None else [step])
            continue
        try:
            steps.append(cls.model_validate(to_plain(item), context={NODES: nodes}))
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
            problems.extend(word_errors(errors, root, path, cls))
    return _Steps(tuple(steps), tuple(problems))
