"""Load a scenario: YAML in, a checked scenario out, or every problem with its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import ScenarioError
from harness.scenario.advice import advise
from harness.scenario.compose_source import read_project
from harness.scenario.model import Scenario
from harness.scenario.planting import NOWHERE, plant
from harness.scenario.problems import KeyPath, Position, Problem, format_path
from harness.scenario.reading import MAX_BYTES, Reading, position_of, read_tree
from harness.scenario.rules import check_rules
from harness.scenario.tree import Entries, Node, describe, locate
from harness.scenario.validation import draft_scenario
from harness.scenario.vocabulary import Vocabulary

MAX_PROBLEMS = 20
_START = Position(1, 1)


@dataclass(frozen=True)
class Loaded:
    """A scenario, what is doubtful in it (one line each, with its place), and its source."""

    scenario: Scenario
    warnings: tuple[str, ...]
    source: str
    root: Node | None = field(default=None, repr=False, compare=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what is remarkable about a Compose file, one line each."""
        compose = self.scenario.cluster.compose
        return () if compose is None else compose.notes

    def line(self, path: KeyPath, message: str, *, at_key: bool = False) -> str:
        """Return the line that says what is wrong at a key, with its place in the file."""
        return _lines([Problem(path, message, at_key)], self.root, self.source)[0]


def load(path: Path, vocabulary: Vocabulary) -> Loaded:
    """Return the scenario in a file.

    Raises:
        ScenarioError: the file cannot be read, or its text is no scenario; as `loads`.
    """
    source = _one_line(str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ScenarioError(f"{source}: cannot be read: {reason}") from error
    if len(raw) > MAX_BYTES:
        raise ScenarioError(f"{source}:1:1: a scenario has at most {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        place = position_of(before, len(before))
        byte = raw[error.start]
        message = f"expected UTF-8 text, found the byte 0x{byte:02X}"
        raise ScenarioError(f"{source}:{place.line}:{place.column}: {message}") from error
    return loads(text, source, vocabulary, folder=path.parent)


def loads(text: str, source: str, vocabulary: Vocabulary, *, folder: Path | None = None) -> Loaded:
    """Return the scenario that `text` describes.

    Args:
        text: one YAML document.
        source: what to call it in messages, usually its path.
        vocabulary: the actions, kinds and metrics that exist.
        folder: what the path of a Compose file starts from; None for the working folder.

    Raises:
        ScenarioError: one line for each problem, each with line and column.
    """
    return _understand(
        read_tree(text.removeprefix("\ufeff")), _one_line(source), vocabulary, folder or Path()
    )


def load_data(data: Mapping[str, Any], vocabulary: Vocabulary, *, source: str = "") -> Loaded:
    """Return the scenario that plain data describe: what YAML would hold, as Python has it.

    Args:
        data: mappings with text keys, lists or tuples, texts, numbers, booleans and None.
        vocabulary: the actions, kinds and metrics that exist.
        source: what to begin each line of a message with; nothing if empty.

    Raises:
        ScenarioError: one line for each problem, each with the key at fault.
    """
    return _understand(plant(data), source, vocabulary, Path())


def _understand(reading: Reading, source: str, vocabulary: Vocabulary, folder: Path) -> Loaded:
    if not isinstance(reading.root, Entries):
        problems = reading.problems
        if reading.root is not None:
            found = describe(reading.root, ())
            message = f"expected a mapping with keys such as name and workloads, found {found}"
            problems = (*problems, Problem((), message, position=reading.root.position))
        raise ScenarioError("\n".join(_lines(problems, reading.root, source)))
    compose = read_project(reading.root, source, folder)
    draft = draft_scenario(reading.root, vocabulary, compose)
    unreadable = {problem.path for problem in reading.problems}
    unsound = draft.unsound | {str(path[0]) for path in unreadable if path}
    found_later = [
        *draft.problems,
        *check_rules(draft.scenario, vocabulary, unsound),
    ]
    # what could not be read has been reported; what stands in its place is not the user's
    problems = (
        *reading.problems,
        *(
            problem
            for problem in found_later
            if problem.source is not None or problem.path not in unreadable
        ),
    )
    if problems:
        raise ScenarioError("\n".join(_lines(problems, reading.root, source)))
    warnings = _lines(advise(draft.scenario), reading.root, source)
    return Loaded(draft.scenario, tuple(warnings), source, reading.root)


def _lines(problems: Iterable[Problem], root: Node | None, source: str) -> list[str]:
    placed = sorted(
        ((_place(problem, root), problem) for problem in problems),
        key=lambda pair: (pair[1].source or "", pair[0]),
    )
    lines = []
    for index, (place, problem) in enumerate(placed):
        start = _start(_one_line(problem.source or source), place)
        if index == MAX_PROBLEMS:
            lines.append(f"{start}and {len(placed) - index} more from here on")
            break
        key = f"{format_path(problem.path)}: " if problem.path else ""
        lines.append(f"{start}{key}{problem.message}")
    return list(dict.fromkeys(lines))


def _start(source: str, place: Position) -> str:
    if place == NOWHERE:
        return f"{source}: " if source else ""
    return f"{source}:{place.line}:{place.column}: "


def _place(problem: Problem, root: Node | None) -> Position:
    if problem.position is not None:
        return problem.position
    return _START if root is None else locate(root, problem.path, at_key=problem.at_key)


def _one_line(source: str) -> str:
    return source if source.isprintable() else repr(source)
