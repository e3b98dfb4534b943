"""Tell the end that a server was asked for from one that came of itself."""

from __future__ import annotations

import signal
from collections.abc import Collection

BY_ITSELF = frozenset({0, 1})  # on SIGTERM up to 2.10 with 1, since then with 0
SHELL = 128  # a shell ends with this and the number of the signal that ended its child
_ENDS = {
    signal.SIGKILL: frozenset({-signal.SIGKILL}),
    signal.SIGUSR2: BY_ITSELF,
    signal.SIGQUIT: frozenset({2, -signal.SIGQUIT}),  # so Go ends, with all its stacks
}


def is_asked(returncode: int, asked: Collection[int]) -> bool:
    """Tell whether one of these signals ends a server like that.

    What asks it to stop may also meet a program that has no handler yet, or a shell around it.

    Args:
        returncode: how it ended, -N for signal N.
        asked: the signals by which the harness asked it to end.
    """
    return any(
        returncode in _ENDS.get(signal.Signals(number), {*BY_ITSELF, -number, SHELL + number})
        for number in asked
    )
