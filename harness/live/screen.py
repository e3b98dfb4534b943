"""A terminal that is written to without ever waiting for it.

The terminal is opened anew, so that not to wait is a property of this opening alone, and not
of the shell's or of our own standard output. A terminal that takes nothing (Ctrl-S) gets
what it has begun to get once it takes something again, and misses the frames meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from harness.errors import HarnessError
from harness.live.draw import Row

# Another screen, so that resizing cannot mix frames with what was there, and leaving restores it.
ENTER = "\x1b[?1049h\x1b[?7l\x1b[?25l"
# CAN ends an escape sequence that was cut short.
LEAVE = "\x18\x1b[?25h\x1b[?7h\x1b[?1049l"
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_SMALLEST = (20, 3)


class NoTerminalError(HarnessError):
    """Say that there is no terminal to draw on."""


class Screen:
    """A terminal's other screen, by the descriptor of one that is open.

    `entered` tells whether anything was written; only then there is something to leave.
    """

    def __init__(self, descriptor: int, *, color: bool) -> None:
        try:
            path = os.ttyname(descriptor)
        except OSError:
            path = f"/proc/self/fd/{descriptor}"
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            raise NoTerminalError(f"{path}: {error.strerror}") from error
        if not os.isatty(self._file):
            os.close(self._file)
            raise NoTerminalError(f"{path} is not a terminal")
        self._color = color
        self._left = ENTER.encode()
        self._shown = b""
        self.entered = False

    @property
    def size(self) -> tuple[int, int]:
        """Return columns and lines, as they are now."""
        try:
            columns, lines = os.get_terminal_size(self._file)
        except OSError:
            columns, lines = 0, 0
        return (columns or 80, lines or 24)

    def show(self, rows: Sequence[Row]) -> None:
        """Show a frame, unless the one before is still on its way; OSError: it is gone."""
        if not self._flush():
            return
        frame = self._compose(rows)
        if frame != self._shown:
            self._shown, self._left = frame, frame
            self._flush()

    def close(self) -> None:
        """Let go of the terminal; if it was entered, somebody who may wait writes `LEAVE`."""
        os.close(self._file)

    def _flush(self) -> bool:
        """Write what is left as far as it goes, and tell whether that was all."""
        while self._left:
            try:
                written = os.write(self._file, self._left)
            except BlockingIOError:
                return False
            self.entered = True
            self._left = self._left[written:]
        return True

    def _compose(self, rows: Sequence[Row]) -> bytes:
        lines = [f"{self._paint(one)}\x1b[K" for one in rows]
        return ("\x1b[H" + "\r\n".join(lines) + "\x1b[J").encode(errors="replace")

    def _paint(self, row: Row) -> str:
        codes = ";".join(_CODES[word] for word in row.style.split())
        return f"\x1b[{codes}m{row.text}\x1b[0m" if codes and self._color else row.text
