from __future__ import annotations

import pytest


def test_a_good_scenario_needs_no_advice(read, good):
    assert read(good).warnings == ()


def silent(edited, duration: str, ping: str = "2s") -> str:
    return edited(("action: stop", "action: pause"), ("duration: 4s", f"duration: {duration}"),
                  ("ping_interval: 1s", f"ping_interval: {ping}"))  # fmt: skip


def test_a_silent_fault_shorter_than_the_detection_bound_is_doubted(read, edited):
    (line,) = read(silent(edited, "3s")).warnings
    assert line.startswith("s.yaml:19:70: faults[0].duration: clients will not notice 'stop-seed'")
    assert "(2, 3] x ping_interval = (2, 3] x 2s = (4s, 6s] > duration 3s" in line


def test_a_silent_fault_inside_the_bound_may_be_missed(read, edited):
    (line,) = read(silent(edited, "5s")).warnings
    assert "clients may not notice" in line


@pytest.mark.parametrize("duration", ["6s", "7s"])
def test_a_silent_fault_as_long_as_the_bound_is_fine(read, edited, duration):
    assert read(silent(edited, duration)).warnings == ()


def test_a_silent_fault_without_a_duration_is_held_to_the_end_of_its_phase(read, edited):
    unheld = silent(edited, "~")
    (line,) = read(
        unheld.replace("at: 0s", "at: 1s").replace("warmup", "fault: 5s, warmup")
    ).warnings
    assert "> duration 4s" in line
    assert read(unheld.replace("warmup", "fault: 6s, warmup")).warnings == ()


def test_the_defaults_of_the_library_count(read, edited):
    text = silent(edited, "10s").replace("ping_interval: 2s, max_outstanding_pings: 2, ", "")
    (line,) = read(text).warnings
    assert "(2, 3] x 2m = (4m, 6m] > duration 10s" in line


def test_a_fault_that_closes_connections_needs_no_pings(read, edited):
    assert read(edited(("ping_interval: 1s", "ping_interval: 1h"))).warnings == ()


@pytest.mark.parametrize("phase", ["recovery: 5s", "drain: 2s"])
def test_phases_shorter_than_the_wait_between_attempts_are_doubted(read, edited, phase):
    name = phase.split(":", maxsplit=1)[0]
    (line,) = read(edited((phase, f"{name}: 100ms"))).warnings
    assert f"phases.{name}: shorter than the client's wait" in line
    assert f"{name} 100ms < reconnect_time_wait 250ms" in line


def test_short_phases_without_a_fault_or_a_reconnect_are_fine(read, edited, good):
    no_reconnect = edited(
        ("recovery: 5s", "recovery: 1ms"), ("max_outstanding_pings: 2", "allow_reconnect: false")
    )
    assert read(no_reconnect).warnings == ()
    head = good[: good.index("faults:")].replace("recovery: 5s", "recovery: 1ms")
    assert read(head + 'thresholds: {lost: ["count == 0"]}\n').warnings == ()


def test_a_scenario_without_thresholds_is_doubted(read, good):
    (line,) = read(good[: good.index("thresholds:")]).warnings
    assert line.startswith("s.yaml:1:1: thresholds: there are none")
