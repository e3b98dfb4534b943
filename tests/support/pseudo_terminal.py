"""A pseudo terminal with somebody in front of it: reads what is written, or leaves it lying."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pyte


def resize(descriptor: int, columns: int, lines: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@dataclass
class Frame:
    """What the screen showed, and when (monotonic seconds)."""

    at: float
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Terminal:
    """A command on a pseudo terminal of a size; every change of its screen is kept."""

    arguments: tuple[str, ...]
    folder: Path
    columns: int = 100
    lines: int = 30
    environment: dict[str, str] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    raw: bytes = b""

    def __post_init__(self) -> None:
        self.master, slave = pty.openpty()
        resize(self.master, self.columns, self.lines)
        left_out = ("CI", "NO_COLOR", "COLUMNS", "LINES", "GITHUB_STEP_SUMMARY")
        kept = {key: one for key, one in os.environ.items() if key not in left_out}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness", *self.arguments],
            cwd=self.folder, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**kept, "TERM": "xterm-256color", **self.environment},
        )  # fmt: skip
        os.close(slave)
        self.screen = pyte.Screen(self.columns, self.lines)
        self.stream = pyte.ByteStream(self.screen)

    def read(self, limit_s: float = 0.05) -> bool:
        """Take in what was written, waiting for it for a while; tell whether more may come."""
        if not select.select([self.master], [], [], limit_s)[0]:
            return True
        try:
            said = os.read(self.master, 65536)
        except OSError:
            return False  # nobody has it open any more
        self.raw += said
        self.stream.feed(said)
        self.frames.append(Frame(time.monotonic(), [one.rstrip() for one in self.screen.display]))
        return True

    def until(self, text: str, limit_s: float = 60) -> Frame:
        """Read until the screen shows the text."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            more = self.read()
            if self.frames and text in self.frames[-1].text:
                return self.frames[-1]
            assert more, f"ended without {text!r}: {self.raw[-2000:]!r}"
        raise AssertionError(f"no {text!r} in:\n{self.frames[-1].text if self.frames else ''}")

    def resize(self, columns: int, lines: int) -> None:
        resize(self.master, columns, lines)
        self.screen.resize(lines, columns)

    def finish(self, limit_s: float = 60) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + limit_s
        while self.read() and time.monotonic() < deadline:
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
