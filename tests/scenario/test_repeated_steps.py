"""Steps that occur again and again: how often, by which names, and what is refused."""

from __future__ import annotations

import time

import pytest

from harness.scenario.dump import dump_yaml
from harness.scenario.schedule import family, members, occurrences, schedule

STOP = "{name: stop-seed, action: stop, target: seed, at: 0s, duration: 4s}"
PHASES = ("recovery: 5s", "fault: 13s, recovery: 5s")
KEEPS_TIME = ("failover_time: ", '"failover_time{fault:stop-seed}": ')


def flap(**keys: str) -> tuple[str, str]:
    facts = {"name": "flap", "action": "stop", "at": "0s", "duration": "1s"} | keys
    written = ", ".join(f"{key}: {value}" for key, value in facts.items() if value)
    return STOP, f"{{{written}}}"


@pytest.mark.parametrize(
    ("keys", "starts"),
    [
        ({"repeat_every": "3s"}, [0.0, 3.0, 6.0, 9.0, 12.0]),
        ({"repeat_every": "4s"}, [0.0, 4.0, 8.0, 12.0]),
        ({"repeat_every": "4s", "duration": "1001ms"}, [0.0, 4.0, 8.0]),
        ({"repeat_every": "3s", "times": "2"}, [0.0, 3.0]),
        ({"repeat_every": "3s", "times": "9", "at": "7s"}, [7.0, 10.0]),
        ({"repeat_every": "1300ms", "at": "100ms", "times": "3"}, [0.1, 1.4, 2.7]),
    ],
)
def test_a_step_occurs_as_often_as_it_fits_and_is_asked_for(read, edited, keys, starts):
    scenario = read(edited(PHASES, flap(**keys))).scenario
    steps = schedule(scenario, 0)
    assert [step.at for step in steps] == starts
    assert [step.name for step in steps] == [f"flap.{turn + 1}" for turn in range(len(starts))]
    assert all(step.repeat_every is None and step.times is None for step in steps)
    assert schedule(scenario, 5) == steps
    assert read(dump_yaml(scenario)).scenario == scenario


def test_a_step_that_takes_no_time_occurs_up_to_the_end_but_not_at_it(read, edited):
    text = edited(PHASES, flap(action="lame-duck", duration="", repeat_every="1s"))
    assert len(schedule(read(text).scenario, 0)) == 13


def test_without_a_fault_phase_the_number_of_times_says_when_to_stop(read, edited):
    text = edited(flap(repeat_every="2s", times="4"))
    assert [step.at for step in schedule(read(text).scenario, 0)] == [0.0, 2.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("keys", "phases", "message"),
    [
        ({"repeat_every": "1s"}, PHASES,
         "faults[0].repeat_every: 'flap' holds for 1s and would begin again after 1s; leave a gap"),
        ({"repeat_every": "50ms", "duration": "1ms"}, PHASES,
         "faults[0].repeat_every: expected at least 100ms, found 50ms"),
        ({"repeat_every": "2s"}, ("", ""),
         "faults[0].repeat_every: needs phases.fault to last until, or times to say how often"),
        ({"repeat_every": "2s", "action": "pause", "duration": ""}, PHASES,
         "faults[0].repeat_every: each occurrence needs an end: give 'flap' a duration below 2s"),
        ({"times": "3"}, PHASES,
         "faults[0].times: says how often at most, so it needs repeat_every beside it"),
        ({"repeat_every": "2s", "times": "0"}, PHASES,
         "faults[0].times: expected a value of at least 1, found 0"),
        ({"repeat_every": "2s", "times": "501", "duration": "1s"}, ("", ""),
         "faults[0].repeat_every: 501 faults in one run; a scenario has at most 500"),
        ({"repeat_every": "2s", "duration": "14s"}, PHASES,
         "faults[0].duration: the fault ends at 14s, but phases.fault ends at 13s"),
    ],
)  # fmt: skip
def test_a_repetition_that_makes_no_sense_is_refused(refusals, edited, keys, phases, message):
    lines = refusals(edited(phases, flap(**keys)))
    assert any(line.split(": ", 1)[1] == message for line in lines), lines


@pytest.mark.parametrize(
    ("phase", "steps", "count"), [("499s", 20, 998), ("24h", 400, 86400), ("30s", 100, 510)]
)
def test_far_too_many_occurrences_are_refused_at_once(refusals, edited, phase, steps, count):
    faults = "\n".join(
        f"  - {{name: f{index}, action: pause, target: all, at: {index}ms, duration: 1ms, "
        "repeat_every: 1s}"
        for index in range(steps)
    )
    text = edited(
        ("recovery: 5s", f"fault: {phase}, recovery: 5s"),
        (f"  - {STOP}", faults),
    )
    before_s = time.process_time()
    (line,) = refusals(text)
    assert time.process_time() - before_s < 10
    assert f".repeat_every: {count} faults in one run; a scenario has at most 500" in line


def test_steps_that_occur_once_count_after_those_that_repeat(refusals, edited):
    more = "\n".join(
        f"  - {{name: s{index}, action: pause, target: n2, at: {900 + index}s, duration: 1s}}"
        for index in range(2)
    )
    step, flapping = flap(repeat_every="1s", times="499", duration="1ms")
    text = edited(("recovery: 5s", "fault: 1000s, recovery: 5s"), (step, f"{flapping}\n{more}"))
    (line,) = refusals(text)
    assert "faults[2]: 501 faults in one run; a scenario has at most 500" in line


def test_an_occurrence_must_not_meet_another_fault_on_its_node(refusals, edited):
    other = "\n  - {name: freeze, action: pause, at: 6500ms, duration: 1s}"
    step, written = flap(repeat_every="3s")
    (line,) = refusals(edited(PHASES, (step, written + other)))
    assert "faults[1].at: 'flap.3' and 'freeze' both act on n1" in line


def test_nobody_else_is_called_like_an_occurrence(refusals, edited):
    step, written = flap(repeat_every="3s")
    other = "\n  - {name: flap.99, action: pause, target: n2, at: 0s, duration: 1s}"
    (line,) = refusals(edited(PHASES, (step, written + other)))
    assert "faults[1].name: the occurrences of 'flap' are called so" in line
    name = "a" * 60
    (line,) = refusals(edited(PHASES, flap(name=name, repeat_every="3s")))
    assert "its occurrences get a number; expected at most 59 characters" in line


@pytest.mark.parametrize("label", ["flap", "flap.1", "flap.5"])
def test_thresholds_name_all_occurrences_or_one(refusals, edited, label):
    metric = ("failover_time: ", f'"failover_time{{fault:{label}}}": ')
    assert refusals(edited(PHASES, flap(repeat_every="3s"), metric)) == []


def test_thresholds_name_no_occurrence_that_will_not_be(refusals, edited):
    metric = ("failover_time: ", '"failover_time{fault:flap.6}": ')
    (line,) = refusals(edited(PHASES, flap(repeat_every="3s"), metric))
    assert "label 'fault' has no value 'flap.6'" in line


def test_a_label_means_the_fault_of_that_name_before_any_occurrence():
    names = {"flap.1", "flap.2", "cut", "cut.1", "flap.x"}
    assert members("flap", names) == {"flap.1", "flap.2"}
    assert members("flap.2", names) == {"flap.2"}
    assert members("cut", names) == {"cut"}
    assert members("flood", names) == frozenset()
    assert [family(name) for name in ("a.1", "a.0", "a.01", "a", "a.1.2")] == [
        "a", None, None, None, "a.1",
    ]  # fmt: skip


def test_a_plain_step_is_its_own_schedule(read, good):
    scenario = read(good).scenario
    assert schedule(scenario, 0) == scenario.faults
    assert occurrences(scenario.faults[0], None) == (scenario.faults[0],)
