"""What a lane of the wire does to packets, without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise

import pytest

from harness.backends.lab import wire
from harness.backends.lab.wire import Lane, Turns

MS = 1_000_000


def admitted(lane: Lane, count: int = 4000, gap_ns: int = MS, size: int = 100) -> list[int | None]:
    """Return the (first) due time of each packet, or None, counted from when it was sent."""
    found = []
    for place in range(count):
        now = 10**12 + place * gap_ns
        due = lane.admit(now, size)
        found.append(due[0] - now if due else None)
    return found


def delayed(lane: Lane, gap_ns: int = MS) -> list[int]:
    """Return the due time of each packet of a lane that lets every one out."""
    found = admitted(lane, gap_ns=gap_ns)
    kept = [due for due in found if due is not None]
    assert len(kept) == len(found)
    return kept


def test_a_plain_lane_lets_packets_out_at_once() -> None:
    assert set(admitted(Lane("p"))) == {0}


def test_a_delay_is_exact() -> None:
    assert set(admitted(Lane("p", delay_s=0.005))) == {5 * MS}


def test_jitter_wanders_within_its_bounds_and_nothing_is_overtaken() -> None:
    delays = delayed(Lane("p", delay_s=0.02, jitter_s=0.005, seed="a"), gap_ns=MS // 10)
    assert min(delays) >= 15 * MS
    assert max(delays) <= 25 * MS
    assert max(delays) - min(delays) > 5 * MS
    dues = [place * MS // 10 + delay for place, delay in enumerate(delays)]
    assert dues == sorted(dues)


def test_jitter_goes_on_after_a_long_silence() -> None:
    lane = Lane("p", delay_s=0.02, jitter_s=0.005)
    (first,) = lane.admit(10**12, 100)
    (second,) = lane.admit(2 * 10**12, 100)
    assert 15 * MS <= first - 10**12 <= 25 * MS
    assert 15 * MS <= second - 2 * 10**12 <= 25 * MS


def test_loss_and_duplicates_come_in_the_share_asked_for() -> None:
    lane = Lane("p", loss=0.2, duplicate=0.5, seed="b")
    counts = [len(lane.admit(now, 100)) for now in range(20_000)]
    assert counts.count(0) / 20_000 == pytest.approx(0.2, abs=0.02)
    assert counts.count(2) / (20_000 - counts.count(0)) == pytest.approx(0.5, abs=0.03)


def test_the_same_seed_throws_the_same_dice() -> None:
    one, same, other = (admitted(Lane("p", loss=0.5, seed=seed)) for seed in ("a", "a", "b"))
    assert one == same
    assert one != other


def test_a_reordered_packet_is_not_held_and_overtakes() -> None:
    delays = admitted(Lane("p", delay_s=0.01, reorder=0.25, seed="c"))
    assert set(delays) == {0, 10 * MS}
    assert delays.count(0) / len(delays) == pytest.approx(0.25, abs=0.04)


def test_a_rate_spaces_packets_and_a_full_queue_loses_them() -> None:
    lane = Lane("p", rate_bytes_s=1e6, queue_bytes=10_000)
    dues = [due for _ in range(50) for due in lane.admit(10**12, 1000)]
    assert len(dues) == 10
    assert [after - before for before, after in pairwise(dues)] == [MS] * 9
    assert lane.admit(10**12 + 20 * MS, 1000) == (10**12 + 21 * MS,)


def test_a_packet_larger_than_the_queue_passes_when_the_link_is_free() -> None:
    assert Lane("p", rate_bytes_s=1e6, queue_bytes=100).admit(0, 1000) == (MS,)


def test_a_loop_that_does_not_turn_tells_each_stall_once() -> None:
    turns = Turns()
    for now_ns in (0, 20 * MS, 80 * MS, 1080 * MS, 1100 * MS):
        turns.turn(now_ns)
    assert turns.take_stalls() == [(100 * MS, 1080 * MS)]
    assert turns.take_stalls() == []
    for turn in range(200):
        turns.turn((2 + turn) * 1000 * MS)
    assert len(turns.take_stalls()) == 100


def test_an_alarm_rings_for_the_earliest_time_it_was_set_to() -> None:
    alarm = wire.Alarm()
    try:
        alarm.set(10**18)
        alarm.set(1)
        alarm.set(10**18)
        assert len(os.read(alarm.descriptor, 8)) == 8
        alarm.hush()
    finally:
        os.close(alarm.descriptor)


def test_it_is_a_script_that_needs_nothing_installed() -> None:
    code = f"import runpy; print(sorted(runpy.run_path({wire.__file__!r}))[0])"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert json.dumps(done.stdout)
    assert done.stderr == ""
