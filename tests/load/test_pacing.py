"""Open-loop schedules."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.load.pacing import NEVER_NS, NS_PER_S, ListedSchedule, Schedule

SCHEDULES = st.builds(
    Schedule,
    st.integers(0, 10**15),
    st.floats(0, 100, allow_nan=False),
    st.floats(0.001, 1e6, allow_nan=False),
)


def test_due_times_are_start_plus_offset_plus_k_periods() -> None:
    schedule = Schedule(start_ns=1000, offset_s=0.5, rate=4.0)
    assert [schedule.due_ns(k) for k in range(3)] == [500_001_000, 750_001_000, 1_000_001_000]
    assert schedule.due_between(1, 3) == [750_001_000, 1_000_001_000]


def test_lateness_does_not_add_up_over_a_million_messages() -> None:
    schedule = Schedule(start_ns=0, offset_s=0.0, rate=3.0)
    assert abs(schedule.due_ns(3_000_000) - 1_000_000 * NS_PER_S) <= 1


def test_a_message_due_at_the_stop_is_not_counted() -> None:
    schedule = Schedule(start_ns=0, offset_s=0.0, rate=10.0)
    assert schedule.count_before(schedule.due_ns(7)) == 7
    assert schedule.count_before(schedule.due_ns(7) + 1) == 8


def test_nothing_is_due_before_the_first() -> None:
    schedule = Schedule(start_ns=1000, offset_s=1.0, rate=10.0)
    assert schedule.count_before(0) == 0
    assert schedule.count_before(schedule.first_ns) == 0


@given(SCHEDULES, st.floats(-10, 10_000, allow_nan=False))
def test_counting_agrees_with_the_due_times(schedule: Schedule, after_s: float) -> None:
    at_ns = schedule.first_ns + round(after_s * NS_PER_S)
    count = schedule.count_before(at_ns)
    assert schedule.due_ns(count) >= at_ns
    assert count == 0 or schedule.due_ns(count - 1) < at_ns


@given(SCHEDULES, st.integers(0, 10**6))
def test_due_times_never_go_back(schedule: Schedule, k: int) -> None:
    assert schedule.due_ns(k) <= schedule.due_ns(k + 1)


def test_listed_messages_are_due_when_they_say_and_no_more_are() -> None:
    schedule = ListedSchedule(1000, (0.5, 0.5, 2.0))
    assert schedule.due_between(0, 3) == [500_001_000, 500_001_000, 2_000_001_000]
    assert [schedule.due_ns(k) for k in (2, 3)] == [2_000_001_000, NEVER_NS]
    assert [schedule.count_before(at) for at in (0, 500_001_000, 500_001_001, 2_000_001_000)] == [
        0, 0, 2, 2,
    ]  # fmt: skip
    assert schedule.count_before(NEVER_NS) == 3
