"""Read YAML 1.2 into a tree with positions, within bounds.

Accepts the core schema only: null, booleans, whole and decimal numbers, text, lists
and mappings with text keys (YAML 1.2.2, chapter 10.3). Anchors, aliases and merge keys
are resolved; tags, further documents, duplicate keys and numbers that are not finite
are refused. Size, depth and what aliases expand to are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from harness.scenario.problems import KeyPath, Position, Problem, shorten, show
from harness.scenario.tree import Entries, Entry, Items, Node, Plain, Scalar

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 20_000
_MAX_NUMBER_CHARACTERS = 40

_START = Position(1, 1)
_MERGE = "<<"
_CORE_TAG = "tag:yaml.org,2002:"
_BREAK = re.compile(r"\r\n|\r|\n")
_FORBIDDEN = re.compile(
    r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"  # c-printable
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_REWORDED = (
    (re.compile(r"character '\\t'"), "a tab cannot indent or separate; use spaces"),
    (
        re.compile(r"character (.+) that cannot start any token"),
        r"text cannot begin with \1 here; quote it",
    ),
    (
        re.compile("mapping values are not allowed"),
        "a ':' cannot start a mapping here; check the indentation, or quote the text",
    ),
    (re.compile("could not find expected ':'"), "expected a ':' after a key before this line"),
    (
        re.compile("undefined alias"),
        "this alias stands for an anchor that is not defined before it",
    ),
    (
        re.compile("expected '?<(?:block end|document start)>"),
        "this belongs to nothing above it; check the indentation and the quotes",
    ),
    (re.compile(r"(expected .+), but (?:got|found) '<.*"), r"not valid YAML: \1"),
)


@dataclass(frozen=True)
class Reading:
    """A tree, or None where the text is no YAML at all, and every problem met."""

    root: Node | None
    problems: tuple[Problem, ...]


class _UnreadableError(Exception):
    """Carry the problem after which reading cannot go on."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read_tree(text: str, noun: str = "scenario") -> Reading:
    """Return the tree of one YAML document with every problem found on the way.

    Args:
        text: the document.
        noun: what messages call it.
    """
    if (forbidden := _FORBIDDEN.search(text)) is not None:
        message = f"a {noun} cannot hold the character U+{ord(forbidden[0]):04X}"
        return Reading(None, (_at(position_of(text, forbidden.start()), message),))
    if len(text) > MAX_BYTES:
        return Reading(None, (_at(_START, f"a {noun} has at most {MAX_BYTES} bytes"),))
    reader = _Reader(text, noun)
    try:
        root = reader.read_document()
    except _UnreadableError as stop:
        return Reading(None, (*reader.problems, stop.problem))
    return Reading(root, tuple(reader.problems))


def position_of(text: str, index: int) -> Position:
    """Return the position of the character at `index`."""
    line, start = 1, 0
    for match in _BREAK.finditer(text, 0, index):
        line, start = line + 1, match.end()
    return Position(line, index - start + 1)


def resolve(text: str) -> Plain:
    """Return what a plain scalar stands for; ValueError for a number that cannot be used."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"expected a finite number, found {text}")
    integer = _INTEGER.fullmatch(text)
    if integer is None and _DECIMAL.fullmatch(text) is None:
        return text
    if len(text) > _MAX_NUMBER_CHARACTERS:
        raise ValueError(f"this number is too long: {shorten(text)}")
    value = _integer(text) if integer else float(text)
    if abs(value) >= 2**63:
        raise ValueError(f"this number is too large: {text}")
    return value


def _integer(text: str) -> int:
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


def _at(position: Position, message: str, path: KeyPath = ()) -> Problem:
    return Problem(path, message, position=position)


class _Reader:
    """Build a tree out of parse events; `problems` grows on the way."""

    def __init__(self, text: str, noun: str) -> None:
        self.problems: list[Problem] = []
        self._noun = noun
        self._events: Iterator[Any] = iter(YAML(typ="safe", pure=True).parse(text))
        self._reached = _START
        self._left = _START  # the end of the event before the latest
        self._anchors: dict[str, Node] = {}
        self._nodes = 0

    def read_document(self) -> Node:
        self._next()  # the start of the stream
        start = self._next()
        if isinstance(start, StreamEndEvent):
            raise _UnreadableError(_at(_START, f"the {self._noun} is empty"))
        if isinstance(start, DocumentStartEvent) and start.version not in (None, (1, 2)):
            raise _UnreadableError(_at(_position(start), "expected YAML 1.2 or no %YAML line"))
        root = self._node(self._next(), (), 1)
        self._next()  # the end of the document
        after = self._next()
        if not isinstance(after, StreamEndEvent):
            message = f"a {self._noun} is one document; a second one starts here"
            raise _UnreadableError(_at(_position(after), message))
        return root

    def _next(self) -> Any:
        try:
            event = next(self._events)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            position = self._reached if mark is None else Position(mark.line + 1, mark.column + 1)
            message = _reword(error.problem or error.context)
            raise _UnreadableError(_at(position, message)) from error
        except (YAMLError, ValueError, ArithmeticError, LookupError) as error:
            # ruamel.yaml lets escapes such as "\UFFFFFFFF" through to chr()
            message = f"not valid YAML after this point: {shorten(' '.join(str(error).split()))}"
            raise _UnreadableError(_at(self._reached, message)) from error
        self._left = self._reached
        self._reached = Position(event.end_mark.line + 1, event.end_mark.column + 1)
        return event

    def _node(self, event: Any, path: KeyPath, depth: int) -> Node:
        position = _position(event)
        if isinstance(event, AliasEvent):
            return self._alias(event, position)
        if depth > MAX_DEPTH:
            message = f"a {self._noun} nests at most {MAX_DEPTH} levels deep"
            raise _UnreadableError(_at(position, message))
        self._count(1, position)
        if event.tag is not None:
            tag = shorten(event.tag.replace(_CORE_TAG, "!!"))
            self.problems.append(_at(position, f"tags such as {tag} are not used", path))
        node: Node
        if isinstance(event, ScalarEvent):
            node = self._scalar(event, path)
        elif isinstance(event, SequenceStartEvent):
            node = self._items(position, path, depth)
        else:
            assert isinstance(event, MappingStartEvent)
            node = self._entries(position, path, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, position: Position) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise _UnreadableError(_at(position, _reword("found undefined alias")))
        self._count(node.weight, position)
        return node

    def _count(self, nodes: int, position: Position) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            message = f"a {self._noun} has at most {MAX_NODES} values, aliases written out"
            raise _UnreadableError(_at(position, message))

    def _scalar(self, event: Any, path: KeyPath) -> Scalar:
        plain = bool(event.implicit[0])
        is_empty = plain and not event.value
        position = self._left if is_empty else _position(event)  # nothing stands after its key
        value: Plain = event.value
        if plain:
            try:
                value = resolve(event.value)
            except ValueError as error:
                self.problems.append(_at(position, str(error), path))
        elif (surrogate := _SURROGATE.search(event.value)) is not None:
            message = f"\\u{ord(surrogate[0]):04X} is half a character"
            self.problems.append(_at(position, message, path))
        return Scalar(value, event.value, plain, position)

    def _items(self, position: Position, path: KeyPath, depth: int) -> Items:
        items: list[Node] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            items.append(self._node(event, (*path, len(items)), depth + 1))
        return Items(tuple(items), 1 + sum(item.weight for item in items), position)

    def _entries(self, position: Position, path: KeyPath, depth: int) -> Entries:
        entries: dict[str, Entry] = {}
        merged: Node | None = None
        while not isinstance(event := self._next(), MappingEndEvent):
            key_position = _position(event)
            key = self._node(event, path, depth + 1)
            name = self._key(key, key_position, path)
            is_merge = isinstance(key, Scalar) and key.plain and name == _MERGE
            below = path if name is None or is_merge else (*path, name)
            value = self._node(self._next(), below, depth + 1)
            if name is None:
                continue
            if name in entries or (is_merge and merged is not None):
                message = "this key is given twice in the same mapping"
                self.problems.append(_at(key_position, message, below))
            elif is_merge:
                merged = value
            else:
                entries[name] = Entry(key_position, value)
        if merged is not None:
            self._merge(entries, merged, path)
        weight = 1 + sum(1 + entry.value.weight for entry in entries.values())
        return Entries(entries, weight, position)

    def _key(self, key: Node, position: Position, path: KeyPath) -> str | None:
        if isinstance(key, Scalar) and isinstance(key.value, str):
            return key.value
        if isinstance(key, Scalar) and key.value is not None:
            message = f"expected a text key, found {shorten(key.text)} (quote it)"
            self.problems.append(_at(position, message, (*path, key.text)))
            return key.text
        found = "nothing" if isinstance(key, Scalar) else show([] if isinstance(key, Items) else {})
        self.problems.append(_at(position, f"expected a text key, found {found}", path))
        return None

    def _merge(self, entries: dict[str, Entry], merged: Node, path: KeyPath) -> None:
        sources = merged.items if isinstance(merged, Items) else (merged,)
        for source in sources:
            if not isinstance(source, Entries):
                message = "expected a mapping or a list of mappings to merge"
                self.problems.append(_at(source.position, message, path))
                continue
            self._count(source.weight, source.position)
            for name, entry in source.entries.items():
                entries.setdefault(name, entry)


def _position(event: Any) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def _reword(problem: str | None) -> str:
    text = " ".join(str(problem).split())
    for theirs, ours in _REWORDED:
        if (match := theirs.search(text)) is not None:
            return match.expand(ours)
    return f"not valid YAML: {shorten(text)}"
