"""What commands share: the words of their options, and where they print."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from harness.plain import plain


class BackendName(StrEnum):
    """The backends a user may name."""

    auto = "auto"
    lab = "lab"
    local = "local"
    docker = "docker"
    attach = "attach"


class Page(StrEnum):
    """Of which runs `run` makes a page."""

    always = "always"
    unless_passed = "unless-passed"
    never = "never"


Scenarios = Annotated[
    list[str], typer.Argument(help="Paths, or names of shipped scenarios.", metavar="SCENARIO...")
]


class _Output(Console):
    """Print what can be seen, and for as long as somebody reads.

    Much of what is printed was written by servers or in scenarios: none of it may steer the
    terminal. And `| head` must not change the exit code.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        # Text before it is laid out, since what stands in has a width; all else after that.
        if isinstance(renderable, str):
            renderable = plain(renderable)
        elif isinstance(renderable, Text):
            renderable = renderable.copy()
            renderable.plain = plain(renderable.plain)
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def make_console() -> Console:
    """Return where a command prints."""
    return _Output(highlight=False)
