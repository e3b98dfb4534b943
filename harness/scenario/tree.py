"""A YAML document as data that still knows where each piece was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.scenario.problems import KeyPath, Position, is_secret, shorten

Plain = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; `text` is how it was written, `plain` whether without quotes."""

    value: Plain
    text: str
    plain: bool
    position: Position

    @property
    def weight(self) -> int:
        """Return the number of nodes in this part of the tree."""
        return 1


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence of nodes."""

    items: tuple[Node, ...]
    weight: int
    position: Position


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and the position of its key."""

    key_position: Position
    value: Node


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping from text keys to entries, merge keys already resolved."""

    entries: Mapping[str, Entry]
    weight: int
    position: Position


Node = Scalar | Items | Entries


def child(node: Node, step: str | int) -> Node | None:
    """Return the node one step below, or None where there is none."""
    if isinstance(node, Entries) and isinstance(step, str) and step in node.entries:
        return node.entries[step].value
    if isinstance(node, Items) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def find(root: Node, path: KeyPath) -> Node | None:
    """Return the node at `path`, or None."""
    node: Node | None = root
    for step in path:
        node = None if node is None else child(node, step)
    return node


def locate(root: Node, path: KeyPath, *, at_key: bool) -> Position:
    """Return where `path` was written: the deepest part of it that exists.

    So a missing key is placed at the mapping that lacks it.
    """
    node = root
    position = root.position
    for index, step in enumerate(path):
        below = child(node, step)
        if below is None:
            break
        position = below.position
        if at_key and index == len(path) - 1 and isinstance(node, Entries):
            position = node.entries[str(step)].key_position
        node = below
    return position


def to_plain(node: Node) -> Any:
    """Return dicts, lists and plain values; fresh ones at every call."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Items):
        return [to_plain(item) for item in node.items]
    return {key: to_plain(entry.value) for key, entry in node.entries.items()}


def describe(root: Node, path: KeyPath) -> str:
    """Return how to name what stands at `path`, as it was written and without secrets."""
    node = find(root, path)
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return "nothing"
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Entries):
        return "a mapping"
    if is_secret(path):
        return "a value that is not shown"
    return shorten(repr(node.value) if isinstance(node.value, str) else node.text)
