from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from story import Sent, Story, ns

from harness.checks.base import Case
from harness.checks.recovery import judge_recovery
from harness.history.tables import Outcome
from harness.stats.distribution import Distribution


def recovery(story: Story) -> Distribution:
    history = story.history()
    result = judge_recovery(Case(history.iterations[0], history.scenario))
    return result.samples["recovery_time"].select({})


def test_success_from_the_healing_on_is_a_recovery_at_once() -> None:
    found = recovery(Story().core().fault(heal=6.0).silence(4.0, 6.0))
    assert (list(found.bounds), found.censored) == ([0.0], 0)


def test_recovery_begins_where_two_good_seconds_begin() -> None:
    found = recovery(Story().core().fault(heal=6.0).silence(6.0, 6.5))
    # 2 of 200 messages may fail: the window may begin two periods before all is well.
    assert list(found.bounds) == pytest.approx([0.48], abs=1e-6)


def test_a_relapse_within_the_window_moves_the_recovery_behind_it() -> None:
    found = recovery(Story().core().fault(heal=6.0).silence(6.5, 6.6))
    assert list(found.bounds) == pytest.approx([0.58], abs=1e-6)


def test_without_a_good_window_the_last_start_is_a_lower_bound() -> None:
    found = recovery(Story().core().fault(heal=6.0).silence(7.0, 9.0))
    assert list(found.bounds) == pytest.approx([1.0])
    assert found.censored == 1


def test_when_little_load_is_left_all_of_it_is_the_window() -> None:
    good = Story().core().fault(heal=8.0).silence(4.0, 8.0)
    assert (list(recovery(good).bounds), recovery(good).censored) == ([0.0], 0)
    bad = Story().core().fault(heal=8.0).silence(4.0, 8.1)
    assert (list(recovery(bad).bounds), recovery(bad).censored) == ([0.0], 1)


def test_without_load_after_the_healing_nothing_is_known() -> None:
    found = recovery(Story().core().fault(heal=9.5))
    assert (list(found.bounds), found.censored) == ([0.0], 1)


def test_a_fault_that_was_not_healed_has_no_recovery() -> None:
    story = Story().core().fault()
    story.events = [one for one in story.events if one["kind"] != "fault.healed"]
    assert recovery(story).n == 0


def test_every_subscription_must_be_served() -> None:
    story = Story().core(1, 2).fault(heal=6.0)
    story.drop(range(500, 560), at=1)
    assert recovery(story).bounds[0] == pytest.approx(0.56, abs=1e-6)


def test_requests_succeed_with_their_replies() -> None:
    story = Story().request().fault(heal=6.0).outcome(range(500, 550), Outcome.UNKNOWN)
    assert recovery(story).bounds[0] == pytest.approx(0.48, abs=1e-6)


def test_what_was_due_and_never_attempted_did_not_succeed() -> None:
    story = Story().core().fault(heal=6.0)
    story.sent = [one for one in story.sent if one.intended < 7.0]
    story.delivered = [one for one in story.delivered if one.sequence < 600]
    found = recovery(story)
    assert (found.bounds[0], found.censored) == (pytest.approx(1.0), 1)


@settings(max_examples=100, deadline=None)
@given(
    failed=st.sets(st.integers(0, 159), max_size=60),
    heal=st.floats(4.2, 9.5),
)
def test_recovery_equals_the_one_found_window_by_window(failed: set[int], heal: float) -> None:
    story = Story().core(1, 1, 20).fault(at=4.0, heal=heal).drop(failed)
    stop, healed = ns(9.0), ns(heal)
    width = min(2_000_000_000, stop - healed)

    def good(start: int) -> bool:
        inside: list[Sent] = [
            one for one in story.sent if start <= ns(one.intended) < start + width
        ]
        wins = sum(one.sequence not in failed for one in inside)
        return bool(inside) and wins >= 0.99 * len(inside)

    starts = [healed, *(ns(one.intended) for one in story.sent if ns(one.intended) > healed)]
    starts = [start for start in starts if start + width <= stop and width > 0]
    best = next((start for start in starts if good(start)), None)
    found = recovery(story)
    if best is None:
        last = starts[-1] if starts else healed
        assert (found.bounds[0], found.censored) == (pytest.approx((last - healed) / 1e9), 1)
    else:
        assert (found.bounds[0], found.censored) == (pytest.approx((best - healed) / 1e9), 0)


@pytest.mark.parametrize("at_ns", [-(2**63), -(2**70), -1, 0, ns(0.0), ns(1.5), ns(5) + 0.3, 2**63])
def test_a_healing_at_an_impossible_time_still_gives_a_value_that_is_not_negative(
    at_ns: float,
) -> None:
    story = Story().core().fault().silence(4.0, 6.0)
    for event in story.events:
        if event["kind"] == "fault.healed":
            event["at_ns"] = at_ns
    found = recovery(story)
    assert found.n == 1
    assert found.bounds[0] >= 0.0
