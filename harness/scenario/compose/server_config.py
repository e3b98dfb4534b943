"""A nats-server's configuration file, read as far as ports, routes and logins go.

Source: NATS docs, Configuration file format. What is not understood is left out; the
server itself refuses what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SPACE = re.compile(r"(?:[\s,;]+|#[^\n]*|//[^\n]*)+")
_GAP = re.compile(r"(?:[ \t]+|#[^\n]*|//[^\n]*)*[:=]?\s*")  # between a key and its value
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'', re.DOTALL)
_KEY = re.compile(r"[^\s,;:={}\[\]\"'#]+")
_BARE = re.compile(r"[^\s,;{}\[\]\"'#][^\s,;{}\[\]]*")
_WHOLE = re.compile(r"[0-9]{1,18}")
_MAX_DEPTH = 30


class ConfigurationError(ValueError):
    """Say that a text is no configuration file that can be read here."""


def parse_configuration(text: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a configuration file, all keys in lower case.

    Args:
        text: the file.
        variables: the environment of the server, for references such as ``$PORT``.

    Raises:
        ConfigurationError: the text cannot be read.
    """
    return _Parser(text, variables).block("", 0)


class _Parser:
    """Read a text from its start to its end into mappings and lists."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text = text
        self._at = 0
        self._variables = variables

    def block(self, end: str, depth: int) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        while not self._closes(end, depth):
            key = self._take(_QUOTED) or self._take(_KEY)
            if key is None:
                raise self._unreadable("expected a key")
            if _inner(key).lower() == "include":
                raise self._unreadable("it includes another file")
            self._skip(_GAP)
            settings[_inner(key).lower()] = self._value(depth)
        return settings

    def _list(self, depth: int) -> list[Any]:
        items: list[Any] = []
        while not self._closes("]", depth):
            items.append(self._value(depth))
        return items

    def _value(self, depth: int) -> Any:
        opening = self._text[self._at : self._at + 1]
        if opening in ("{", "["):
            self._at += 1
            return self.block("}", depth + 1) if opening == "{" else self._list(depth + 1)
        if (quoted := self._take(_QUOTED)) is not None:
            return _inner(quoted)
        bare = self._take(_BARE)
        if bare is None:
            raise self._unreadable("expected a value")
        text = bare[0]
        if text.startswith("$"):
            value = self._variables.get(text[1:])
            if value is None:
                raise self._unreadable("this variable has no value")
            text = value.strip("\"'")
        return int(text) if _WHOLE.fullmatch(text) else text

    def _closes(self, end: str, depth: int) -> bool:
        """Go to the next thing, and past it if it is what ends this block or list."""
        self._skip(_SPACE)
        if depth > _MAX_DEPTH:
            raise self._unreadable("it is nested too deep")
        if self._at >= len(self._text):
            if end:
                raise self._unreadable(f"expected {end!r}")
            return True
        if end and self._text[self._at] == end:
            self._at += 1
            return True
        return False

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if (match := pattern.match(self._text, self._at)) is not None:
            self._at = match.end()

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return match

    def _unreadable(self, why: str) -> ConfigurationError:
        line = self._text.count("\n", 0, self._at) + 1
        return ConfigurationError(f"line {line}: {why}")


def _inner(match: re.Match[str]) -> str:
    """Return a match without its quotes."""
    return next((group for group in match.groups() if group is not None), match[0])
