"""Variables in a Compose file, and the files that give them values.

Source: Compose Specification, Interpolation and Env_file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:[=:]\s*(.*))?")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$"}
_ESCAPED = re.compile(r"\\([nrt\"\\$])")
_MAX_NESTING = 20


class SubstitutionError(ValueError):
    """Say what is wrong with a variable; carries no value of any."""


@dataclass
class Substitution:
    """Put values in place of variables; `unset` gathers those that had none.

    A variable without a value and a default becomes empty, as Compose has it.
    """

    values: Mapping[str, str]
    unset: set[str] = field(default_factory=set)

    def apply(self, text: str) -> str:
        """Return `text` with its variables replaced; SubstitutionError where that cannot be."""
        done, _ = self._run(text, 0, nested=0)
        return done

    def _run(self, text: str, at: int, *, nested: int) -> tuple[str, int]:
        """Return what is made of `text` from `at` on and where that ended: at a brace if nested."""
        if nested > _MAX_NESTING:
            raise SubstitutionError("variables are nested too deep")
        parts: list[str] = []
        while at < len(text):
            if nested and text[at] == "}":
                return "".join(parts), at
            if text[at] != "$":
                parts.append(text[at])
                at += 1
            elif text.startswith("$$", at):
                parts.append("$")
                at += 2
            elif text.startswith("${", at):
                value, at = self._braced(text, at + 2, nested)
                parts.append(value)
            elif (name := _NAME.match(text, at + 1)) is not None:
                parts.append(self._plain(name[0]))
                at = name.end()
            else:
                raise SubstitutionError("a '$' begins no variable here; write '$$' for a dollar")
        if nested:
            raise SubstitutionError("a '${' is not closed by '}'")
        return "".join(parts), at

    def _braced(self, text: str, at: int, nested: int) -> tuple[str, int]:
        name = _NAME.match(text, at)
        if name is None:
            raise SubstitutionError("expected a variable's name after '${'")
        at = name.end()
        if text.startswith("}", at):
            return self._plain(name[0]), at + 1
        operator = _OPERATOR.match(text, at)
        if operator is None:
            raise SubstitutionError(
                f"expected '}}', ':-', ':?' or ':+' after the variable {name[0]!r}"
            )
        value = self.values.get(name[0])
        missing = value is None or (operator[0].startswith(":") and not value)
        kind = operator[0][-1]
        wanted = missing != (kind == "+")  # only then does what follows the operator count
        inner = self if wanted else Substitution(self.values)
        word, end = inner._run(text, operator.end(), nested=nested + 1)  # noqa: SLF001 - itself
        if kind == "+":
            return ("" if missing else word), end + 1
        if missing and kind == "?":
            raise SubstitutionError(f"the variable {name[0]!r} must be set: {word or 'no reason'}")
        return (word if missing else value or ""), end + 1

    def _plain(self, name: str) -> str:
        value = self.values.get(name)
        if value is None:
            self.unset.add(name)
            return ""
        return value


def parse_variables(
    text: str, known: Mapping[str, str], complain: Callable[[int, str], None]
) -> dict[str, str | None]:
    """Return the variables of a ``.env`` file; None for a name without a value.

    Args:
        text: the file; ``NAME=value`` lines, quotes, comments and ``export`` as in a shell.
        known: what variables inside of values stand for, beside those defined before.
        complain: told the line and what is wrong with it.
    """
    found: dict[str, str | None] = {}
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(bare)
        if match is None:
            complain(number, "expected NAME=value")
            continue
        if match[2] is None:
            found[match[1]] = None
            continue
        raw = match[2]
        while raw[:1] in ('"', "'") and _closing(raw) is None:
            more = next(lines, None)
            if more is None:
                break
            raw += "\n" + more[1]
        values = {**{key: one for key, one in found.items() if one is not None}, **known}
        try:
            found[match[1]] = _value(raw, values)
        except SubstitutionError as error:
            complain(number, str(error))
    return found


def _closing(raw: str) -> int | None:
    """Return where the quote that `raw` begins with ends, or None."""
    quote, at = raw[0], 1
    while at < len(raw):
        if raw[at] == "\\" and quote == '"':
            at += 1
        elif raw[at] == quote:
            return at
        at += 1
    return None


def _value(raw: str, values: Mapping[str, str]) -> str:
    if raw[:1] in ('"', "'"):
        end = _closing(raw)
        if end is None:
            raise SubstitutionError("a quote is not closed")
        inside = raw[1:end]
        if raw[0] == "'":
            return inside
        text = _ESCAPED.sub(lambda match: _ESCAPES[match[1]], inside)
        return Substitution(values).apply(text)
    return Substitution(values).apply(_COMMENT.sub("", raw).rstrip())
