from __future__ import annotations

import io
from typing import Literal

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import cli_options
from harness.cli_options import make_console
from harness.plain import plain

ESC, C1_CSI, RIGHT_TO_LEFT, ISOLATE, MARK = "\x1b", "\x9b", "\u202e", "\u2066", "\u200f"
STEERING = [ESC, C1_CSI, RIGHT_TO_LEFT, ISOLATE, MARK, "\x00", "\x07", "\r", "\x7f", "\u2028"]


@pytest.mark.parametrize("character", [*STEERING, "\ud800"], ids=ascii)
def test_what_steers_a_terminal_is_replaced_character_by_character(character: str) -> None:
    assert plain(f"a{character}[31mb") == "a?[31mb"


@pytest.mark.parametrize(
    "text", ["", "plain", "a\n\tb", "é 漢字 💥", "a\u00a0b\u3000c", "क\u094d\u200dष"], ids=ascii
)
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_layout_goes_where_it_is_not_wanted() -> None:
    assert plain("a\n\tb", keep="") == "a??b"


def console(*, color: bool = False, width: int = 40) -> tuple[Console, io.StringIO]:
    """Return the console of commands, on a terminal where colour is wanted, else on a pipe."""
    said = io.StringIO()
    system: Literal["standard"] | None = "standard" if color else None
    made = cli_options._Output(
        highlight=False, file=said, width=width, force_terminal=color, color_system=system
    )
    return made, said


def test_commands_print_on_a_console_that_lets_no_escape_through() -> None:
    assert isinstance(make_console(), cli_options._Output)
    shown, said = console()
    table = Table("head", title=f"t{ESC}]0;pwned\x07")
    table.add_row(Text(f"cell {C1_CSI}2J"))
    table.add_row(f"markup {ESC}c")
    shown.print(Text(f"line {ESC}[2J{RIGHT_TO_LEFT}\tend\nnext"), soft_wrap=True)
    shown.print(f"as it is {ESC}[31m")
    shown.print(table)
    text = said.getvalue()
    assert not set(text) & {ESC, C1_CSI, RIGHT_TO_LEFT, "\x07"}
    assert text.startswith("line ?[2J?")
    assert text.splitlines()[1] == "next"
    words = text.split()
    for kept in ("t?]0;pwned", "?2J", "?c", "?[31m"):
        assert kept in words


def test_our_own_styles_still_reach_a_terminal() -> None:
    shown, said = console(color=True)
    shown.print(Text("FAIL", style="bold red").append(f" {ESC}[32mPASS"))
    assert said.getvalue() == "\x1b[1;31mFAIL ?[32mPASS\x1b[0m\n"


def test_what_stands_in_for_escapes_pushes_nothing_out_of_sight() -> None:
    shown, said = console(width=20)
    shown.print(Text(f"{ESC * 15} the server lies"))
    assert said.getvalue().split() == ["?" * 15, "the", "server", "lies"]
