"""Signals that ask the harness to end, from its first moment to its last.

Until a run listens for them itself, they are only remembered, so that an early Ctrl-C
still ends in a report that says so, instead of a traceback. Ctrl-Z is not heard at all
meanwhile: while the harness stood still, servers and clients would go on, and what it then
measured and healed too late would count as theirs.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_remembered: list[signal.Signals] = []
_held: list[list[int]] = []  # what came in each body of `held` that goes on


def remember() -> None:
    """Remember the ending signals from now on instead of acting on them."""
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    for number in ENDING:
        signal.signal(number, _append)


def act() -> None:
    """Let the ending signals end the process again, and Ctrl-Z stop it, as they do by default."""
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if _remembered:
        signal.raise_signal(_remembered[0])


def interrupt() -> None:
    """Let the first ending signal raise KeyboardInterrupt; later ones do not disturb clean-up."""

    def first(number: int, frame: FrameType | None) -> None:
        del frame
        if _held:
            _held[-1].append(number)
            return
        remember()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    for number in ENDING:
        signal.signal(number, first)
    if _remembered:
        signal.raise_signal(_remembered[0])


@contextmanager
def held() -> Iterator[None]:
    """Let the KeyboardInterrupt of `interrupt` wait until the body has ended.

    For what goes on elsewhere, also when nobody waits for it, and has to be known to be undone.
    """
    came: list[int] = []
    _held.append(came)
    try:
        yield
    finally:
        _held.pop()
        if came:
            remember()
            raise KeyboardInterrupt


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
