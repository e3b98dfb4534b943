"""What is wrong in a scenario: which key, what was found, what was expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

KeyPath = tuple[str | int, ...]

SECRET_KEYS = frozenset(
    {
        "password",
        "passwd",
        "pass",
        "token",
        "secret",
        "nkey",
        "seed",
        "credentials",
        "ek",  # of JetStream's encryption
        "prev_ek",
    }
)
REDACTED = "***"

_SHOWN_CHARACTERS = 60
_NEAREST_CHARACTERS = 64
_STEM_CHARACTERS = 3
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.{}:$-]{1,64}")
_FOUND = ", found "


class Position(NamedTuple):
    """A place in a file; lines and columns count from one."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong or doubtful.

    `path` leads from the top of the document to the value at fault. `at_key` points at
    the key rather than at its value. `position` is set where no path can say it.
    `source` is set where the problem lies in another file than the scenario's.
    """

    path: KeyPath
    message: str
    at_key: bool = False
    position: Position | None = None
    source: str | None = None


def holds_secret(path: Sequence[str]) -> bool:
    """Tell by the path of keys in a server's configuration whether its value is secret."""
    key = path[-1].lower()
    return key in SECRET_KEYS or (path[0].lower() == "jetstream" and key.endswith("key"))


def format_path(path: KeyPath) -> str:
    """Return a path as people write it, such as ``faults[0].duration``; one line always."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if _PLAIN_KEY.fullmatch(step) else shorten(repr(step))
            text += f".{key}" if text else key
    return text


def shorten(text: str) -> str:
    """Return `text` cut to what fits into a message."""
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def show(value: Any) -> str:
    """Return how a plain value is named in a message; one line always."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return shorten(repr(value))


def is_secret(path: KeyPath) -> bool:
    """Tell whether a value at `path` must not be repeated: a secret's name is on the way."""
    below_top = path[1:]  # the scenario's own `seed` is no secret
    return any(isinstance(step, str) and step.lower() in SECRET_KEYS for step in below_top)


def expectation(error: ValueError | AssertionError) -> tuple[str, bool]:
    """Return what an error's message asked for, and whether it also told what was found.

    Parsers say "expected X, found Y"; only the document knows how Y was written.
    """
    message = str(error)
    head, separator, _ = message.partition(_FOUND)
    if separator and head.startswith("expected "):
        return head.removeprefix("expected "), True
    return message, False


def nearest(word: object, known: Iterable[str]) -> str | None:
    """Return the known name that `word` most likely stands for, or None."""
    if not isinstance(word, str) or len(word) > _NEAREST_CHARACTERS:
        return None
    folded = _fold(word)
    by_folded = {_fold(name): name for name in known}
    close = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.6)
    if not close and len(folded) >= _STEM_CHARACTERS:
        close = [name for name in by_folded if name.startswith(folded)]
    return by_folded[close[0]] if close else None


def suggestion(word: object, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)``, or the known names when none is near."""
    names = tuple(known)
    if (name := nearest(word, names)) is not None:
        return f" (did you mean {name!r}?)"
    return f" (known: {', '.join(names)})" if names else " (there are none)"


def either(alternatives: Sequence[str]) -> str:
    """Return ``a``, ``a or b``, ``a, b or c``."""
    unique = tuple(dict.fromkeys(alternatives))
    if len(unique) == 1:
        return unique[0]
    return f"{', '.join(unique[:-1])} or {unique[-1]}"


def _fold(name: str) -> str:
    return name.lower().replace("_", "-")
