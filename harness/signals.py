"""Signals that ask the harness to end, from its first moment to its last.

Until a run listens for them itself, they are only remembered, so that an early Ctrl-C
still ends in a report that says so, instead of a traceback.
"""

from __future__ import annotations

import signal
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_remembered: list[signal.Signals] = []


def remember() -> None:
    """Remember the ending signals from now on instead of acting on them."""
    for number in ENDING:
        signal.signal(number, _append)


def act() -> None:
    """Let the ending signals end the process again, as they do by default."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if _remembered:
        signal.raise_signal(_remembered[0])


def ignore() -> None:
    """Hear nothing any more: the exit code stands, and the interpreter is on its way out."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def remembered() -> signal.Signals | None:
    """Return the first signal that came since `remember`, or None."""
    return _remembered[0] if _remembered else None


def _append(number: int, frame: FrameType | None) -> None:
    del frame
    _remembered.append(signal.Signals(number))
