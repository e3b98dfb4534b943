"""Commands that a user supplies for what a backend cannot do by itself."""

from __future__ import annotations

from dataclasses import dataclass

from harness.scenario.argv import hide_in, hide_secrets

CANNOT_RUN = frozenset({126, 127})  # what shells, ssh and others say of a missing program
TAIL_CHARACTERS = 400


@dataclass(frozen=True)
class UserCommand:
    """A command of the user's that is to be run for one node.

    Attributes:
        fault: the fault's name.
        step: what it is for: ``inject``, ``observe`` or ``heal``.
        argv: the program and its arguments; no shell is involved.
        limit_s: how long it may take, in seconds.
    """

    fault: str
    step: str
    argv: tuple[str, ...]
    limit_s: float

    @property
    def shown(self) -> str:
        """Return the command as it may be repeated."""
        return " ".join(hide_secrets(self.argv))


def describe_end(returncode: int, output: str) -> str:
    """Return how a command ended and what it said last, without secrets."""
    ended = f"ended by signal {-returncode}" if returncode < 0 else f"ended with code {returncode}"
    said = " ".join(hide_in(output).split())
    if not said:
        return f"{ended} and said nothing"
    cut = said if len(said) <= TAIL_CHARACTERS else f"... {said[-TAIL_CHARACTERS:]}"
    return f"{ended} and said: {cut}"
