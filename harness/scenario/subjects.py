"""Subjects and their wildcards (NATS docs, Subject-Based Messaging)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

ONE, REST = "*", ">"


# What a pattern is: tokens, each of which may be a wildcard, and the last one the rest.
PATTERN = r"^(?:(?:\*|[^\s.*>]+)\.)*(?:\*|>|[^\s.*>]+)$"


def check_pattern(pattern: str) -> str:
    """Return a pattern of subjects as it is.

    Raises:
        ValueError: it is none, or has a wildcard that the server would take literally.
    """
    tokens = pattern.split(".")
    if not all(tokens) or any(one.isspace() for one in pattern):
        raise ValueError(f"expected tokens between dots, without blanks, found {pattern!r}")
    if REST in tokens[:-1]:
        raise ValueError(f"'>' stands for the rest of a subject, so it comes last in {pattern!r}")
    for token in tokens:
        if len(token) > 1 and {ONE, REST} & set(token):
            raise ValueError(
                f"the server takes {token!r} in {pattern!r} literally: a wildcard is a token of "
                "its own"
            )
    return pattern


def covers(wider: str, narrower: str) -> bool:
    """Tell whether every subject that `narrower` stands for is one that `wider` stands for."""
    wide, narrow = wider.split("."), narrower.split(".")
    for place, token in enumerate(wide):
        if token == REST:
            return len(narrow) > place
        if place >= len(narrow) or narrow[place] == REST:
            return False
        if token not in (ONE, narrow[place]):
            return False
    return len(wide) == len(narrow)


def overlap(one: str, other: str) -> bool:
    """Tell whether there is a subject that both stand for."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if REST in (a, b):
            return True
        if a != b and ONE not in (a, b):
            return False
    return len(left) == len(right)


class Patterns:
    """Many patterns, as a tree of their tokens; `overlapping` finds one without trying each."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._root = _Branch()
        for pattern in patterns:
            branch = self._root
            for token in pattern.split("."):
                branch = branch.after.setdefault(token, _Branch())
            branch.pattern = pattern

    def overlapping(self, other: str) -> str | None:
        """Return one of the patterns that overlaps another; None when none does."""
        branches = [self._root]
        for token in other.split("."):
            for branch in branches:
                if REST in branch.after:
                    return branch.after[REST].pattern
            if token == REST:
                return next(
                    (one.first() for branch in branches for one in branch.after.values()), None
                )
            if token == ONE:
                branches = [one for branch in branches for one in branch.after.values()]
            else:
                fitting = (branch.after.get(one) for branch in branches for one in (token, ONE))
                branches = [one for one in fitting if one is not None]
        return next((one.pattern for one in branches if one.pattern is not None), None)


@dataclass
class _Branch:
    """What patterns have in common up to a token, and the one that ends there, if one does."""

    after: dict[str, _Branch] = field(default_factory=dict)
    pattern: str | None = None

    def first(self) -> str | None:
        """Return a pattern that ends here or further on."""
        branch = self
        while branch.pattern is None:
            branch = next(iter(branch.after.values()))
        return branch.pattern


def concrete(pattern: str, word: str) -> str:
    """Return a subject that `pattern` stands for, with `word` in the place of each wildcard."""
    return ".".join(word if token in (ONE, REST) else token for token in pattern.split("."))


def taken_by(stream: str, subjects: Sequence[str]) -> tuple[str, ...]:
    """Return what a stream takes: the `subjects` it is given, else its name in lower case."""
    return tuple(subjects) or (stream.lower(),)


def published_by(workload: str, subject: str | None, taken: Sequence[str]) -> str:
    """Return what a workload publishes on to a stream: the `subject` it is given, else a default.

    That is the first subject that is `taken`, with the workload's name in the place of each
    wildcard.
    """
    return subject or concrete(taken[0], workload)
