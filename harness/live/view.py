"""Follow a run on a terminal: what is told of it goes into a queue, a thread draws from it.

The run's own loop, which also times faults, does no more for it than to append to a queue.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any

from rich.console import Console
from rich.text import Text

from harness.clock import now_ns
from harness.live.draw import draw
from harness.live.picture import Picture
from harness.live.screen import LEAVE, NoTerminalError, Screen
from harness.progress import Narrator

PERIOD_S = 0.25
JOIN_LIMIT_S = 2.0
RECENT = 100
DUMB = frozenset({"", "dumb", "unknown"})

Told = tuple[str, int, Mapping[str, Any]]


@contextmanager
def followed(narrator: Narrator) -> Iterator[Callable[[str, int, dict[str, Any]], None]]:
    """Give what is to be told of every event: a live view on a terminal, else the narrator.

    On leaving the view is gone, and the terminal is as it was. Should the view break down
    before, the terminal is given back at once and the narrator goes on.
    """
    console = narrator.console
    if narrator.quiet or not wanted(console):
        yield narrator
        return
    try:
        screen = Screen(console.file.fileno(), color=not console.no_color)
    except (NoTerminalError, OSError):
        yield narrator
        return
    view = _View(narrator, screen)
    view.start()
    try:
        yield view.tell
    finally:
        view.stop()


def restore(console: Console) -> None:
    """Give the terminal back as it was, also after a view that was killed."""
    with suppress(OSError):  # there is nobody to give it back to
        console.file.write(LEAVE)
        console.file.flush()


def wanted(console: Console) -> bool:
    """Tell whether somebody may look at a screen: a terminal that can be drawn on, and no CI."""
    try:
        terminal = os.isatty(console.file.fileno())
    except (OSError, ValueError):
        return False
    ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
    return terminal and not ci and os.environ.get("TERM", "").lower() not in DUMB


class _View:
    """The picture, and the thread that owns it."""

    def __init__(self, narrator: Narrator, screen: Screen) -> None:
        self._narrator = narrator
        self._screen = screen
        self._picture = Picture(narrator.scenario)
        self._told: deque[Told] = deque()
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._ending = Event()
        self._failure: Exception | None = None
        self._left = False
        # A daemon, so that nothing here can keep the process from ending.
        self._thread = Thread(target=self._follow, name="live-view", daemon=True)

    def tell(self, kind: str, at_ns: int, facts: Mapping[str, Any]) -> None:
        """Take note of an event; called by the run's loop, so it does no more while drawn."""
        self._told.append((kind, at_ns, facts))
        if self._failure is not None:
            self._narrate(self._failure)

    def start(self) -> None:
        """Begin to draw."""
        self._thread.start()

    def stop(self) -> None:
        """Draw no more, and give the terminal back."""
        self._ending.set()
        self._thread.join(JOIN_LIMIT_S)
        self._screen.close()
        if self._failure is not None:
            self._narrate(self._failure)
        self._leave()

    def _follow(self) -> None:
        try:
            while not self._ending.wait(PERIOD_S):
                self._take_in()
                columns, lines = self._screen.size
                self._screen.show(
                    draw(self._picture, tuple(self._recent), now_ns(), columns, lines)
                )
        except Exception as error:  # noqa: BLE001 - a defect of the view must not cost the run
            self._failure = error  # from here on all is the run's loop's: this thread ends

    def _take_in(self) -> None:
        while self._told:
            event = self._told.popleft()
            # Lines first: what the picture breaks down over is narrated all the same.
            self._recent.extend(line.plain for line in self._narrator.lines(*event))
            self._picture.take(*event)

    def _narrate(self, failure: Exception) -> None:
        """Print in plain lines what the view, which has ended, shows no more."""
        with suppress(OSError):  # the terminal itself may be gone; the run goes on
            if not self._left:
                self._leave()
                said = f"nats-harness: the live view ended: {failure!r}"
                print(said, file=sys.stderr)  # noqa: T201 - the console may be what broke
                for line in self._recent:
                    self._narrator.console.print(Text(line), soft_wrap=True)
            while self._told:
                self._narrator(*self._told.popleft())

    def _leave(self) -> None:
        """Give the terminal back once: leaving again would move its cursor."""
        if self._screen.entered and not self._left:
            restore(self._narrator.console)
        self._left = True
