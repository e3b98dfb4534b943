from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.errors import ReportError
from harness.history.events import EventLog, read_events


def test_events_come_back_in_order_with_their_facts(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path, iteration=2) as record:
        record("phase.started", at_ns=5, phase="steady")
        record("run.started", at_ns=1, iteration=-1, seed=42)
    assert read_events(path) == (
        [
            {"at_ns": 5, "kind": "phase.started", "iteration": 2, "phase": "steady"},
            {"at_ns": 1, "kind": "run.started", "iteration": -1, "seed": 42},
        ],
        None,
    )


def test_an_event_is_in_the_file_before_the_call_returns(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as record:
        record("one")
        assert json.loads(path.read_text())["kind"] == "one"


def test_a_log_goes_on_where_another_left_off(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for kind in ("one", "two"):
        with EventLog(path) as record:
            record(kind)
    assert [event["kind"] for event in read_events(path)[0]] == ["one", "two"]


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"^cannot write .*events.jsonl: No such file"):
        EventLog(tmp_path / "no" / "events.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_line() -> None:
    with EventLog(Path("/dev/full")) as record, pytest.raises(ReportError) as caught:
        record("one")
    assert str(caught.value) == "cannot write /dev/full: No space left on device"


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_cut_last_line_is_left_out_and_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as record:
        record("first", at_ns=1)
        record("last", at_ns=2)
    os.truncate(path, path.stat().st_size - 1 - cut)
    events, problem = read_events(path)
    assert [event["kind"] for event in events] == ["first"]
    assert problem == "events.jsonl: 1 broken line(s): the last line is cut short"


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b"\xff\xfe", b"null", b'{"kind": "x"}', b'{"at_ns": 1.5, "kind": "x"}',
     b'{"at_ns": true, "kind": "x", "iteration": 0}', b'{"at_ns": 1, "kind": 2, "iteration": 0}',
     b"[" * 100_000, b""],
)  # fmt: skip
def test_a_broken_line_in_the_middle_is_left_out_and_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "events.jsonl"
    good = b'{"at_ns": 1, "kind": "x", "iteration": 0}\n'
    path.write_bytes(good + line + b"\n" + good)
    events, problem = read_events(path)
    assert len(events) == 2
    assert problem == "events.jsonl: 1 broken line(s): line 2"


def test_a_last_line_without_its_end_counts_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"at_ns": 1, "kind": "x", "iteration": 0}')
    assert read_events(path)[1] is None


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"^cannot read .*: No such file or directory$"):
        read_events(tmp_path / "events.jsonl")
