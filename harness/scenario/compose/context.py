"""What all readers of a Compose file share: its variables, its problems and its notes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from harness.scenario.compose.redaction import redact_text
from harness.scenario.compose.substitution import Substitution, SubstitutionError
from harness.scenario.problems import KeyPath, Position, Problem, format_path, shorten
from harness.scenario.tree import Entries, Entry, Items, Node, Scalar

T = TypeVar("T")

_CUTS = ";&|<>"  # Compose ends a command at the first of these that is not quoted


@dataclass(frozen=True)
class Note:
    """A remark about one key of one service, or of the file."""

    position: Position
    path: KeyPath
    message: str


@dataclass
class Context:
    """A Compose file that is being read.

    Attributes:
        source: how messages name the file.
        folder: what relative paths start from.
        variables: the values of variables.
        problems: what is wrong, in the order it was found.
        notes: what is remarkable.
    """

    source: str
    folder: Path
    variables: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    _unreadable: set[Position] = field(default_factory=set)  # told already: their variables

    def refuse(self, where: Node | Position, path: KeyPath, message: str) -> None:
        """Keep a problem."""
        position = where if isinstance(where, Position) else where.position
        if position in self._unreadable:
            return
        self.problems.append(
            Problem(path, printable(message), position=position, source=self.source)
        )

    def note(self, where: Node | Position, path: KeyPath, message: str) -> None:
        """Keep a note."""
        position = where if isinstance(where, Position) else where.position
        self.notes.append(Note(position, path, printable(message)))

    def told(self) -> tuple[str, ...]:
        """Return the notes, one line each; services of which the same is said share a line."""
        together: dict[tuple[str, str], list[Note]] = {}
        for note in sorted(self.notes, key=lambda note: note.position):
            below = note.path[2:] if note.path[:1] == ("services",) else note.path
            together.setdefault((format_path(below), note.message), []).append(note)
        return tuple(self._tell(notes) for notes in together.values())

    def _tell(self, notes: list[Note]) -> str:
        first = notes[0]
        places = dict.fromkeys(str(note.path[1]) for note in notes if len(note.path) > 1)
        others = tuple(places)[1:] if first.path[:1] == ("services",) else ()
        also = f" (also {', '.join(others)})" if others else ""
        key = f"{format_path(first.path)}{also}: " if first.path else ""
        return f"{self.source}:{first.position.line}:{first.position.column}: {key}{first.message}"

    def substitute(self, node: Node, path: KeyPath) -> Node:
        """Return a tree with the variables of its values replaced."""
        if isinstance(node, Items):
            items = tuple(
                self.substitute(item, (*path, index)) for index, item in enumerate(node.items)
            )
            return Items(items, node.weight, node.position)
        if isinstance(node, Entries):
            entries = {
                key: Entry(entry.key_position, self.substitute(entry.value, (*path, key)))
                for key, entry in node.entries.items()
            }
            return Entries(entries, node.weight, node.position)
        if not isinstance(node.value, str) or "$" not in node.value:
            return node
        substitution = Substitution(self.variables)
        try:
            text = substitution.apply(node.value)
        except SubstitutionError as error:
            self.refuse(node, path, str(error))
            self._unreadable.add(node.position)
            return Scalar("unset", "unset", node.plain, node.position)
        for name in sorted(substitution.unset):
            self.note(node, path, f"the variable {name!r} is not set; it counts as empty")
        return Scalar(text or (None if node.plain else ""), text, node.plain, node.position)

    def text(self, node: Node, path: KeyPath) -> str | None:
        """Return a single value as text; None, and a problem, where it is none."""
        if isinstance(node, Scalar) and node.value is not None:
            return node.value if isinstance(node.value, str) else node.text
        self.refuse(node, path, f"expected text, found {name_of(node)}")
        return None

    def convert(self, node: Node, path: KeyPath, read: Callable[[str], T]) -> T | None:
        """Return what `read` makes of a text; None, and a problem, where it cannot."""
        text = self.text(node, path)
        if text is None:
            return None
        try:
            return read(text)
        except (ValueError, OverflowError) as error:
            self.refuse(node, path, f"{error}, found {shown(text)}")
            return None

    def file(self, node: Node, path: KeyPath, text: str) -> Path | None:
        """Return the absolute path of a file that is named from the Compose file's folder."""
        try:
            return (self.folder / Path(text).expanduser()).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # ~nobody, a NUL byte, a loop
            self.refuse(node, path, f"this is no path that can be used: {shorten(str(error))}")
            return None

    def texts(self, node: Node, path: KeyPath) -> tuple[str, ...]:
        """Return a list of texts; a single text counts as a list of one."""
        if isinstance(node, Items):
            found = (self.text(item, (*path, index)) for index, item in enumerate(node.items))
            return tuple(text for text in found if text is not None)
        if isinstance(node, Scalar) and node.value is not None:
            return (node.text if not isinstance(node.value, str) else node.value,)
        self.refuse(node, path, f"expected a list of texts, found {name_of(node)}")
        return ()

    def words(self, node: Node, path: KeyPath) -> tuple[str, ...] | None:
        """Return a command; one text is split as a shell would. None for the image's own."""
        if isinstance(node, Items):
            return self.texts(node, path)
        if isinstance(node, Scalar) and node.value is None:
            return None
        text = self.text(node, path)
        if text is None:
            return None
        try:
            cut = _cut_at(text)
            if cut is None:
                return tuple(shlex.split(text))
        except ValueError:
            self.refuse(node, path, "a quote in this command is not closed")
        else:
            message = f"Compose ends a command at {cut!r}; quote it, or write the words as a list"
            self.refuse(node, path, message)
        return ()

    def pairs(self, node: Node, path: KeyPath) -> dict[str, str | None]:
        """Return a mapping, or a list of ``name=value``; None for a name without a value."""
        if isinstance(node, Entries):
            return {
                key: None if is_null(entry.value) else self.text(entry.value, (*path, key))
                for key, entry in node.entries.items()
            }
        if not isinstance(node, Items):
            message = f"expected a mapping or a list of name=value, found {name_of(node)}"
            self.refuse(node, path, message)
            return {}
        found: dict[str, str | None] = {}
        for text in self.texts(node, path):
            name, equals, value = text.partition("=")
            found[name] = value if equals else None
        return found

    def mapping(self, node: Node, path: KeyPath) -> Mapping[str, Entry]:
        """Return the entries of a mapping without ``x-`` extensions; none where it is empty."""
        if isinstance(node, Entries):
            kept = node.entries.items()
            return {key: entry for key, entry in kept if not key.startswith("x-")}
        if not is_null(node):
            self.refuse(node, path, f"expected a mapping, found {name_of(node)}")
        return {}

    def items(self, node: Node, path: KeyPath) -> Iterator[tuple[KeyPath, Node]]:
        """Yield the items of a list with their paths."""
        if isinstance(node, Items):
            for index, item in enumerate(node.items):
                yield (*path, index), item
        elif not is_null(node):
            self.refuse(node, path, f"expected a list, found {name_of(node)}")


def printable(text: str) -> str:
    """Return a text on one line, with what cannot be printed written as escapes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def is_null(node: Node) -> bool:
    """Tell whether nothing is written there."""
    return isinstance(node, Scalar) and node.value is None


def name_of(node: Node) -> str:
    """Return how to name what stands there; never the value of a text, it may be a secret."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Entries):
        return "a mapping"
    if node.value is None:
        return "nothing"
    return "a text" if isinstance(node.value, str) else shorten(node.text)


def shown(text: str) -> str:
    """Return how a text is quoted in a message."""
    return shorten(repr(redact_text(text)))


def _cut_at(text: str) -> str | None:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=_CUTS)
    lexer.whitespace_split = True
    lexer.commenters = ""
    return next((token for token in lexer if token and not token.strip(_CUTS)), None)
