"""Read a random step: each action it may draw is a fault of its own, less what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from harness.scenario.choice import choose
from harness.scenario.model import NODES, FaultStep, Model
from harness.scenario.problems import KeyPath, Problem, suggestion
from harness.scenario.random_step import DRAWN_KEYS, RandomStep
from harness.scenario.tree import Entries, Items, Node, Scalar, describe, find, to_plain
from harness.scenario.vocabulary import Vocabulary
from harness.scenario.wording import word_errors

_UNNAMED = "drawn"
_STAND_IN = FaultStep(name=_UNNAMED, action="none")


def read_random_step(
    root: Node,
    item: Node,
    path: KeyPath,
    vocabulary: Vocabulary,
    nodes: Sequence[str] = (),
) -> tuple[Model | None, list[Problem]]:
    """Return the random step at `path`, or None, and every problem in it.

    An action is its name where it needs no keys, else a mapping with `action` and its keys.
    `nodes` are the names of all nodes, where a file says them.
    """
    data = to_plain(item)
    actions: list[FaultStep] = []
    problems: list[Problem] = []
    listed = find(item, ("actions",))
    if isinstance(listed, Items):
        for index, node in enumerate(listed.items):
            found = _read_action(root, node, (*path, "actions", index), vocabulary, nodes)
            if isinstance(found, FaultStep):
                actions.append(found)
            else:
                problems.extend(found)
        data["actions"] = actions or ([_STAND_IN] if problems else [])
    try:
        step = RandomStep.model_validate(data)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        problems.extend(word_errors(errors, root, path, RandomStep))
        return None, problems
    return (None if problems else step), problems


def _read_action(
    root: Node, node: Node, path: KeyPath, vocabulary: Vocabulary, nodes: Sequence[str]
) -> FaultStep | list[Problem]:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return _named(node.value, path, vocabulary)
    if not isinstance(node, Entries):
        found = describe(root, path)
        return [Problem(path, f"expected an action or a mapping with one, found {found}")]
    cls = choose(root, node, path, "action", vocabulary.faults)
    if isinstance(cls, Problem):
        return [cls]
    assert issubclass(cls, FaultStep)
    data: dict[str, Any] = to_plain(node)
    drawn = [key for key in DRAWN_KEYS if key in data]
    if drawn:
        return [
            Problem((*path, key), "this is drawn, so it is not given here", at_key=True)
            for key in drawn
        ]
    try:
        action = cls.model_validate({**data, "name": _UNNAMED}, context={NODES: nodes})
    except ValidationError as error:
        return word_errors(error.errors(include_url=False, include_input=False), root, path, cls)
    return action if "count" in data else _one_at_a_time(action)


def _named(name: str, path: KeyPath, vocabulary: Vocabulary) -> FaultStep | list[Problem]:
    cls = vocabulary.faults.get(name)
    if cls is None:
        return [Problem(path, f"unknown action {name!r}{suggestion(name, vocabulary.faults)}")]
    try:
        return _one_at_a_time(cls.model_validate({"action": name, "name": _UNNAMED}))
    except ValidationError:
        message = f"{name} needs keys of its own; write a mapping with action: {name} and these"
        return [Problem(path, message)]


def _one_at_a_time(action: FaultStep) -> FaultStep:
    """Return the action for one node of the pool, unless it decides by itself whom it strikes."""
    return action.model_copy(update={"count": "one"}) if action.takes_target else action
