"""Commands that a user supplies: words, and what of them must not be repeated."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from harness.scenario.problems import REDACTED

MAX_WORDS = 1000

_LEAST_SECRET = 4  # shorter ones would be found everywhere
_NAMES = r"(?:password|passwd|pass|token|secret|nkey|api[-_]?key)"
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s'\"]+(?=@)")
_ASSIGNED = re.compile(rf"([\w-]*{_NAMES}(?:=|:\s*))([^\s'\",;&|]+)", re.IGNORECASE)
_FOLLOWED = re.compile(rf"(--?[\w-]*{_NAMES}\s+)([^\s'\",;&|-][^\s'\",;&|]*)", re.IGNORECASE)
_NAMED = re.compile(_NAMES, re.IGNORECASE)
_FLAG = re.compile(rf"--?[\w-]*{_NAMES}", re.IGNORECASE)


def read_words(value: object) -> tuple[str, ...]:
    """Return the words of a command: a list as it is, text as a shell would split it.

    No shell is involved: nothing is expanded, and ``|``, ``>`` and ``&&`` are plain words.

    Raises:
        ValueError: there is no program in it, or a secret was left out of it.
    """
    wanted = "a command: a list of words, or text that is split as a shell would"
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"{wanted}; {str(error).lower()}") from error
    elif isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
        words = list(value)
    else:
        raise ValueError(f"expected {wanted}")
    if not words or not words[0]:
        raise ValueError(f"expected {wanted}; this one is empty")
    if len(words) > MAX_WORDS:
        raise ValueError(f"a command has at most {MAX_WORDS} words")
    if any("\0" in word for word in words):
        raise ValueError("a command has no NUL characters")
    if any(REDACTED in word for word in words):
        raise ValueError(f"{REDACTED} stands where a secret was left out; write it again")
    return tuple(words)


def hide_secrets(words: Sequence[str]) -> list[str]:
    """Return the words without passwords in URLs and in what looks like an option for one."""
    hidden, after_flag = [], False
    for word in words:
        hidden.append(REDACTED if after_flag else hide_in(word))
        after_flag = _FLAG.fullmatch(word) is not None
    return hidden


def hide_in(text: str, secrets: Collection[str] = ()) -> str:
    """Return a text without passwords in URLs, in what looks like an option, and these."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    text = _USER_IN_URL.sub(REDACTED, text)
    text = _ASSIGNED.sub(rf"\g<1>{REDACTED}", text)
    return _FOLLOWED.sub(rf"\g<1>{REDACTED}", text)


def find_secrets(words: Sequence[str]) -> frozenset[str]:
    """Return what `hide_secrets` hides, so that it can be hidden elsewhere too."""
    found: set[str] = set()
    after_flag = False
    for word in words:
        if after_flag:
            found.add(word)
        for login in _USER_IN_URL.findall(word):
            user, _, password = login.partition(":")
            found |= {login, password or user}
        found |= {secret for _, secret in (*_ASSIGNED.findall(word), *_FOLLOWED.findall(word))}
        after_flag = _FLAG.fullmatch(word) is not None
    return frozenset(one for one in found if len(one) >= _LEAST_SECRET)


def secrets_among(variables: Mapping[str, str]) -> frozenset[str]:
    """Return the values of environment variables whose names say that they are secret."""
    return frozenset(
        value
        for name, value in variables.items()
        if len(value) >= _LEAST_SECRET and _NAMED.search(name) is not None
    )


Argv = Annotated[
    tuple[str, ...],
    BeforeValidator(read_words),
    PlainSerializer(hide_secrets),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "minItems": 1, "items": {"type": "string"}},
            ],
            "examples": ["systemctl stop nats", ["ssh", "n1", "systemctl", "stop", "nats"]],
        }
    ),
]
