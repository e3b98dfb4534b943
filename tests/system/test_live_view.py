from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from command_line import SHORT, eventually
from pseudo_terminal import Frame, Terminal

LONGER = SHORT.replace("recovery: 700ms", "recovery: 1500ms").replace(
    "duration: 500ms", "duration: 1500ms"
)
ALTERNATE = b"\x1b[?1049h"


@pytest.fixture
def arguments(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "short.yaml"
    path.write_text(LONGER.format(name="short"), encoding="utf-8")
    return ("run", str(path))


def report(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "reports").glob("*/report.json")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def events(folder: Path) -> list[dict[str, Any]]:
    (path,) = (folder / "reports").glob("*/events.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def at(folder: Path, kind: str, **facts: Any) -> float:
    """Return when, by the same clock as frames, the first such event was."""
    wanted = facts.items()
    return next(
        one["at_ns"] / 1e9
        for one in events(folder)
        if one["kind"] == kind and wanted <= one.items()
    )


def saying(frames: list[Frame], pattern: str) -> list[Frame]:
    return [one for one in frames if re.search(pattern, one.text)]


def test_what_is_shown_is_what_happens_and_then_it_is_gone(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with Terminal(arguments, tmp_path) as terminal:
        terminal.until("[steady]")
        held = terminal.until("holding for 0.")
        assert "servers n1 down, n2 up, n3 up" in terminal.until("n1 down").text
        assert "kill-seed (kill n1)" in held.text
        assert re.search(r"next  kill-seed heals in [01]\.\d s", held.text)
        terminal.resize(60, 12)
        small = terminal.until("healed")
        assert max(len(line) for line in small.lines) <= 60
        assert small.lines[0].startswith("short")
        code = terminal.finish()
        frames, raw, screen = terminal.frames, terminal.raw, terminal.screen.display
    assert code in (0, 1, 3)
    assert code == report(tmp_path)["exit_code"]
    injected, healed = at(tmp_path, "fault.injected"), at(tmp_path, "fault.healed")
    slack_s = 0.6  # of a frame each 250 ms, on a machine that is shared
    for phase in ("steady", "recovery"):
        begun = at(tmp_path, "phase.started", phase=phase)
        ended = at(tmp_path, "phase.ended", phase=phase)
        for frame in saying(frames, rf"\[{phase}\]"):
            assert begun <= frame.at <= ended + slack_s
    for frame in saying(frames, r"\(kill n1\): holding"):
        assert injected <= frame.at <= at(tmp_path, "fault.heal_started") + slack_s
        (gone,) = re.findall(r"holding for (\d+\.\d) s", frame.text)
        assert abs(frame.at - injected - float(gone)) <= slack_s
    for frame in saying(frames, r"\(kill n1\): healed"):
        assert frame.at >= healed
    assert saying(frames, r"clients \d of 6 connected")
    assert saying(frames, r"rates   (1\d\d|2\d\d)/s published")
    assert raw.count(ALTERNATE) == raw.count(b"\x1b[?1049l") == 1
    after = raw.rpartition(b"\x1b[?1049l")[2].decode()
    assert re.match(r"(\x1b\[[0-9;]*m)*(PASS|FAIL|INCONCLUSIVE)", after)
    assert after.rstrip().endswith("report.json")
    assert "kill-seed" not in raw.partition(ALTERNATE)[0].decode()
    assert screen


def test_a_terminal_that_takes_nothing_delays_no_fault(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with Terminal(arguments, tmp_path) as terminal:
        terminal.until("[steady]")  # warm-up is shorter than the time between frames
        # Nobody reads from here to the end, as after Ctrl-S.
        assert eventually(lambda: bool(list((tmp_path / "reports").glob("*/report.json"))), 60)
        code = terminal.finish()
    assert code == report(tmp_path)["exit_code"]
    (iteration,) = report(tmp_path)["iterations"]
    begun = at(tmp_path, "phase.started", phase="fault")
    struck = at(tmp_path, "fault.hit")
    assert 0.1 <= struck - begun < 0.6
    assert iteration["faults"][0]["heal_done"] is not None
    held = at(tmp_path, "fault.heal_started") - at(tmp_path, "fault.injected")
    assert 1.5 <= held < 2.0


def test_an_interrupt_takes_the_view_away_and_still_reports(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with Terminal(arguments, tmp_path) as terminal:
        terminal.until("[steady]")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 130
        raw = terminal.raw
    after = raw.rpartition(b"\x1b[?1049l")[2].decode()
    assert "(INTERRUPTED)" in after
    assert after.rstrip().endswith("report.json")


@pytest.mark.parametrize(
    ("environment", "more"),
    [({"CI": "true"}, ()), ({"TERM": "dumb"}, ()), ({}, ("--quiet",))],
    ids=["ci", "dumb", "quiet"],
)
def test_elsewhere_there_are_plain_lines(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], more: tuple[str, ...]
) -> None:
    with Terminal((*arguments, *more), tmp_path, environment=environment) as terminal:
        terminal.finish()
        raw = terminal.raw
    assert b"\x1b[?" not in raw
    assert (b"kill-seed: effect observed" in raw) is (not more)


def test_no_color_is_respected_in_the_view(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with Terminal(arguments, tmp_path, environment={"NO_COLOR": "1"}) as terminal:
        terminal.until("[fault]")
        view = terminal.raw.partition(ALTERNATE)[2]
        terminal.finish()
    assert not re.search(rb"\x1b\[[0-9;]+m", view)
