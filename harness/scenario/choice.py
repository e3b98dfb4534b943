"""Find the class of a step by the key that names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.scenario.model import Model
from harness.scenario.problems import KeyPath, Problem, suggestion
from harness.scenario.tree import Entries, Node, describe, find, to_plain


def choose(
    root: Node, item: Node, path: KeyPath, chooser: str, known: Mapping[str, type[Any]]
) -> type[Model] | Problem:
    """Return the class that `item` names by its key `chooser`, or what is wrong with that."""
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
