"""The environment of a service, and the variables of a whole file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.scenario.compose.context import Context, is_null, printable
from harness.scenario.compose.quantities import to_flag
from harness.scenario.compose.substitution import parse_variables
from harness.scenario.problems import KeyPath, Position, Problem, suggestion
from harness.scenario.reading import position_of
from harness.scenario.tree import Entries, Entry, Items, Node

ENV_FILE = ".env"
MAX_BYTES = 1024 * 1024
_START = Position(1, 1)
_FILE_KEYS = ("path", "required", "format")


class UnreadableError(ValueError):
    """Say why a file cannot be read, and where in it that shows."""

    def __init__(self, message: str, position: Position = _START) -> None:
        super().__init__(message)
        self.position = position


def exists(path: Path) -> bool:
    """Tell whether a file or folder is there, as far as this user can see."""
    try:
        path.stat()
    except (OSError, ValueError):  # ValueError: a path with a NUL byte
        return False
    return True


def read_text(path: Path) -> str:
    """Return the text of a small UTF-8 file; UnreadableError where it is none."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableError(f"cannot be read: {reason}") from error
    if len(raw) > MAX_BYTES:
        raise UnreadableError(f"it has more than {MAX_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig")
        message = f"expected UTF-8 text, found the byte 0x{raw[error.start]:02X}"
        raise UnreadableError(message, position_of(before, len(before))) from error


def read_variables(
    folder: Path, environment: Mapping[str, str], problems: list[Problem]
) -> dict[str, str]:
    """Return what variables stand for: the environment, then the ``.env`` file in `folder`."""
    path = folder / ENV_FILE
    if not exists(path):
        return dict(environment)
    place = str(path)

    def complain(line: int, message: str) -> None:
        problems.append(Problem((), printable(message), position=Position(line, 1), source=place))

    try:
        found = parse_variables(read_text(path), environment, complain)
    except UnreadableError as error:
        complain(error.position.line, str(error))
        found = {}
    return {**{name: value or "" for name, value in found.items()}, **environment}


def read_environment(
    context: Context, entries: Mapping[str, Entry], path: KeyPath
) -> dict[str, str]:
    """Return the variables of a service: those of ``env_file``, then ``environment``."""
    found: dict[str, str | None] = {}
    if "env_file" in entries and not is_null(entries["env_file"].value):
        found.update(_read_files(context, entries["env_file"].value, (*path, "env_file")))
    if "environment" in entries and not is_null(entries["environment"].value):
        node = entries["environment"].value
        found.update(context.pairs(node, (*path, "environment")))
    known = context.variables  # a name without a value takes it from there, or is left out
    return {
        name: known.get(name, "") if value is None else value
        for name, value in found.items()
        if value is not None or name in known
    }


def _read_files(context: Context, node: Node, path: KeyPath) -> Iterator[tuple[str, str | None]]:
    items = list(context.items(node, path)) if isinstance(node, Items) else [(path, node)]
    for place, item in items:
        required = True
        name_node: Node = item
        if isinstance(item, Entries):
            entries = context.mapping(item, place)
            for key in set(entries) - set(_FILE_KEYS):
                message = f"unknown key{suggestion(key, _FILE_KEYS)}"
                context.refuse(entries[key].key_position, (*place, key), message)
            if "path" not in entries:
                context.refuse(item, (*place, "path"), "this key is missing")
                continue
            name_node = entries["path"].value
            if "required" in entries:
                below = (*place, "required")
                required = context.convert(entries["required"].value, below, to_flag) is not False
        name = context.text(name_node, place)
        if name is None:
            continue
        file = context.file(name_node, place, name)
        if file is None:
            continue
        if not required and not exists(file):
            context.note(item, place, "the file does not exist; it is not required")
            continue
        yield from _read_file(context, item, place, file, name)


def _read_file(
    context: Context, node: Node, path: KeyPath, file: Path, name: str
) -> Iterator[tuple[str, str | None]]:
    def complain(line: int, message: str) -> None:
        context.refuse(node, path, f"{name}:{line}: {message}")

    try:
        yield from parse_variables(read_text(file), context.variables, complain).items()
    except UnreadableError as error:
        context.refuse(node, path, f"{name}: {error}")
