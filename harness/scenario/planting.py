"""Make a tree of plain data, as if it had been read from YAML, but written nowhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.scenario.problems import KeyPath, Position, Problem
from harness.scenario.reading import MAX_DEPTH, MAX_NODES, Reading
from harness.scenario.tree import Entries, Entry, Items, Node, Scalar

NOWHERE = Position(0, 0)


def plant(data: Any) -> Reading:
    """Return the tree of what is made of mappings, lists, tuples, texts, numbers and None.

    What YAML could not hold becomes a problem, and nothing stands in its place.
    """
    problems: list[Problem] = []
    root = _node(data, (), problems)
    if root.weight > MAX_NODES:
        problems.append(Problem((), f"a scenario has at most {MAX_NODES} values"))
    return Reading(root, tuple(problems))


def _node(data: Any, path: KeyPath, problems: list[Problem]) -> Node:
    if len(path) > MAX_DEPTH:
        problems.append(Problem(path, f"nested more than {MAX_DEPTH} levels deep"))
        return _nothing()
    if isinstance(data, Mapping):
        return _entries(data, path, problems)
    if isinstance(data, list | tuple):
        items = tuple(_node(item, (*path, index), problems) for index, item in enumerate(data))
        return Items(items, 1 + sum(item.weight for item in items), NOWHERE)
    if isinstance(data, float) and not math.isfinite(data):
        problems.append(Problem(path, f"expected a finite number, found {data}"))
        return _nothing()
    if data is None or isinstance(data, str | int | float):
        return Scalar(data, str(data), not isinstance(data, str), NOWHERE)
    found = type(data).__name__
    problems.append(
        Problem(path, f"expected a mapping, a list, text, a number or None, found {found}")
    )
    return _nothing()


def _entries(data: Mapping[Any, Any], path: KeyPath, problems: list[Problem]) -> Entries:
    entries: dict[str, Entry] = {}
    for key, value in data.items():
        if isinstance(key, str):
            entries[key] = Entry(NOWHERE, _node(value, (*path, key), problems))
        else:
            problems.append(Problem(path, f"expected text as key, found {key!r}"))
    return Entries(entries, 1 + sum(one.value.weight for one in entries.values()), NOWHERE)


def _nothing() -> Scalar:
    return Scalar(None, "", plain=True, position=NOWHERE)
