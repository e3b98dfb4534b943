from __future__ import annotations

import os
import pty
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyte
import pytest
from command_line import eventually
from pseudo_terminal import resize
from rich.console import Console

from harness.api import load
from harness.errors import EXIT_INCONCLUSIVE
from harness.live.draw import Row
from harness.live.screen import ENTER, LEAVE, NoTerminalError, Screen
from harness.live.view import followed
from harness.progress import Narrator
from harness.scenario.load import load as load_path
from harness.session import Options, Session
from harness.shipped import find_scenario
from harness.vocabulary import VOCABULARY


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    resize(slave, 60, 10)
    os.set_blocking(master, False)
    yield master, slave
    os.close(master)
    os.close(slave)


def taken(master: int) -> bytes:
    said = b""
    while True:
        try:
            said += os.read(master, 65536)
        except BlockingIOError:
            return said


def shown(said: bytes) -> list[str]:
    screen = pyte.Screen(60, 10)
    pyte.ByteStream(screen).feed(said)
    return [one.rstrip() for one in screen.display]


def test_a_frame_replaces_the_one_before(ends: tuple[int, int]) -> None:
    master, slave = ends
    screen = Screen(slave, color=True)
    assert screen.size == (60, 10)
    screen.show([Row("a long first line", "bold"), Row("second", "bold red"), Row("third")])
    screen.show([Row("short"), Row("")])
    screen.close()
    said = taken(master)
    assert said.startswith(ENTER.encode())
    assert shown(said) == ["short", *[""] * 9]
    assert b"\x1b[1;31msecond\x1b[0m" in said


def test_without_colour_there_is_none(ends: tuple[int, int]) -> None:
    master, slave = ends
    screen = Screen(slave, color=False)
    screen.show([Row("x", "bold red")])
    screen.close()
    assert b"m" not in taken(master).removeprefix(ENTER.encode())


def test_the_same_frame_is_not_written_twice(ends: tuple[int, int]) -> None:
    master, slave = ends
    screen = Screen(slave, color=True)
    screen.show([Row("x")])
    taken(master)
    screen.show([Row("x")])
    screen.close()
    assert taken(master) == b""


def test_a_terminal_that_takes_nothing_misses_frames_and_none_is_torn(
    ends: tuple[int, int],
) -> None:
    master, slave = ends
    screen = Screen(slave, color=True)
    for number in range(5000):  # far more than any terminal holds
        screen.show([Row(f"frame {number} {'x' * 40}")] * 9)
    said = taken(master)
    screen.show([Row("last")])
    said += taken(master)
    screen.show([Row("last of all")])
    screen.close()
    said += taken(master)
    assert shown(said)[0] == "last of all"
    assert said.count(b"frame") % 9 == 0
    assert said.count(b"frame") < 5000


def test_our_own_output_still_waits_for_the_terminal(ends: tuple[int, int]) -> None:
    _, slave = ends
    screen = Screen(slave, color=True)
    assert os.get_blocking(slave)
    screen.close()


def test_a_run_that_ends_before_the_first_frame_leaves_the_terminal_alone(
    ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("harness.live.view.PERIOD_S", 60)
    master, slave = ends
    with os.fdopen(os.dup(slave), "w") as file:
        narrator = Narrator(load("seed-failover"), Console(file=file))
        with followed(narrator) as narrate:
            assert narrate != narrator
    assert taken(master) == b""


def test_the_terminal_of_a_view_that_was_killed_is_given_back(
    ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    master, slave = ends
    loaded = load_path(find_scenario("seed-failover"), VOCABULARY)
    options = Options("auto", None, None, None, None, tmp_path, quiet=False)
    choice: Any = SimpleNamespace(backend=SimpleNamespace(host=lambda _: 128 + signal.SIGKILL))
    with os.fdopen(os.dup(slave), "w") as file:
        assert Session([loaded], options, choice, Console(file=file)).run() == EXIT_INCONCLUSIVE
    assert taken(master) == LEAVE.encode()


def test_leaving_ends_what_was_cut_short() -> None:
    assert shown(b"\x1b[1;3" + LEAVE.encode() + b"after")[0] == "after"


def test_what_is_no_terminal_is_refused() -> None:
    reading, writing = os.pipe()
    with pytest.raises(NoTerminalError):
        Screen(writing, color=True)
    os.close(reading)
    os.close(writing)


def view_of(narrate: Any) -> Any:
    """Return the view whose method is given to whoever tells it of events."""
    return narrate.__self__


@pytest.mark.parametrize("broken", ["draw", "Screen.show"])
def test_a_view_that_breaks_down_gives_the_terminal_back_and_narrates(
    ends: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken: str,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("harness.live.view.PERIOD_S", 0.001)
    master, slave = ends
    with os.fdopen(os.dup(slave), "w") as file:
        narrator = Narrator(load("seed-failover"), Console(file=file))
        with followed(narrator) as narrate:
            view = view_of(narrate)
            narrate("run.started", 0, {})
            assert eventually(lambda: view._screen.entered, 10)

            def fail(*_: object) -> None:
                raise OSError(5, "out of ink")

            monkeypatch.setattr(f"harness.live.view.{broken}", fail)
            narrate("server.replaced", 0, {"node": "n1"})
            view._thread.join(10)
            assert not view._thread.is_alive()
            narrate("server.replaced", 0, {"node": "n2"})
            assert not view._told
            narrate("server.replaced", 0, {"node": "n3"})
    said = taken(master)
    assert said.count(LEAVE.encode()) == 1
    after = said.partition(LEAVE.encode())[2].decode()
    assert re.findall(r"n\d was restarted", after) == [
        f"{node} was restarted" for node in ("n1", "n2", "n3")
    ]
    assert "out of ink" in capsys.readouterr().err


def test_a_view_that_breaks_down_at_the_end_is_told_after_it_is_gone(
    ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("harness.live.view.PERIOD_S", 0.001)
    master, slave = ends
    with os.fdopen(os.dup(slave), "w") as file:
        narrator = Narrator(load("seed-failover"), Console(file=file))
        with followed(narrator) as narrate:
            narrate("server.replaced", 0, {"node": "n1"})
            view = view_of(narrate)
            assert eventually(lambda: view._screen.entered, 10)
            narrate("phase.started", 0, {})  # it says of no phase: nothing can be made of it
            view._thread.join(10)
            assert not view._thread.is_alive()
    said = taken(master)
    assert said.count(LEAVE.encode()) == 1
    assert "n1 was restarted" in said.partition(LEAVE.encode())[2].decode()
    assert "KeyError('phase')" in capsys.readouterr().err
