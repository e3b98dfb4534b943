from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from story import Story, ns

from harness.checks.base import Case, Result
from harness.checks.watchdog import judge_watchdog
from harness.history.tables import Outcome
from harness.history.watch import keep_watch
from harness.stats.distribution import Distribution


def judged(story: Story) -> Result:
    history = story.history()
    return judge_watchdog(Case(history.iterations[0], history.scenario))


def values(story: Story, metric: str, **labels: str) -> Distribution:
    return judged(story).samples[metric].select(labels)


def test_without_an_outage_the_window_is_nothing() -> None:
    found = values(Story().core().fault(), "outage_window")
    assert list(found.bounds) == pytest.approx([0.0, 0.0], abs=1e-6)
    assert found.censored == 0


def test_without_a_fault_there_is_no_outage_window() -> None:
    assert values(Story().core().silence(4.0, 5.0), "outage_window").n == 0


def test_the_window_is_the_gap_between_successes_less_one_period() -> None:
    story = Story().core().fault().silence(4.5, 5.25)
    found = values(story, "outage_window")
    assert list(found.bounds) == pytest.approx([0.75, 0.75], abs=1e-6)
    assert found.censored == 0
    shown = judged(story).facts["watchdog"]["hello-publisher-1"]
    assert shown["at"] == pytest.approx(4.491, abs=1e-6)


def test_a_gap_outside_the_fault_does_not_count() -> None:
    story = Story().core().fault(at=4.0, heal=5.0).silence(6.0, 7.0)
    assert values(story, "outage_window").bounds[-1] == pytest.approx(0.0, abs=1e-6)


def test_a_gap_that_begins_before_the_fault_and_ends_within_counts_whole() -> None:
    story = Story().core().fault(at=4.0, heal=5.0).silence(3.0, 4.5)
    assert values(story, "outage_window").bounds[-1] == pytest.approx(1.5, abs=1e-6)


def test_a_gap_that_is_open_at_the_end_is_a_lower_bound() -> None:
    story = Story().core().fault().silence(7.0, 9.0)
    found = values(story, "outage_window")
    assert found.censored == 2
    assert list(found.bounds) == pytest.approx([1.999, 1.999], abs=1e-6)


def test_a_short_open_gap_makes_a_longer_closed_one_a_lower_bound_too() -> None:
    story = Story().core().fault().silence(4.0, 5.0).silence(8.5, 9.0)
    found = values(story, "outage_window")
    assert found.censored == 2
    assert list(found.bounds) == pytest.approx([1.0, 1.0], abs=1e-6)


def test_one_message_missing_at_the_very_end_leaves_no_open_gap() -> None:
    assert values(Story().core().fault().drop([799]), "outage_window").censored == 0


def test_what_arrives_in_drain_closes_a_gap() -> None:
    story = Story().core().fault()
    for one in story.delivered:
        if one.received > 8.0:
            one.received = 9.5
    found = values(story, "outage_window")
    assert found.censored == 0


def test_without_any_success_the_whole_load_is_an_open_gap() -> None:
    found = values(Story().core().fault().silence(0.0, 9.0), "outage_window")
    assert found.censored == 2
    assert found.bounds[0] == pytest.approx(8.0 - 0.01, abs=1e-6)


def test_the_window_of_a_requester_is_between_its_replies() -> None:
    story = Story().request().fault().outcome(range(350, 400), Outcome.UNKNOWN)
    found = values(story, "outage_window", role="requester")
    assert list(found.bounds) == pytest.approx([0.5], abs=1e-6)


def test_a_member_that_the_server_gives_nothing_is_no_outage_of_its_group() -> None:
    story = Story().core(1, 2, queue="jobs").fault()
    for one in story.delivered:
        one.client = 1
    found = values(story, "outage_window", role="subscriber")
    assert (found.n, found.bounds[-1]) == (1, pytest.approx(0.0, abs=1e-6))


def test_time_to_first_delivery_counts_from_the_hit_to_a_message_attempted_under_it() -> None:
    story = Story().core().fault(at=4.0).silence(4.0, 4.6)
    found = values(story, "time_to_first_delivery", fault="stop-seed", workload="hello")
    assert list(found.bounds) == pytest.approx([0.601], abs=1e-6)


def test_a_delivery_of_an_earlier_message_does_not_end_the_wait() -> None:
    story = Story().core().fault(at=4.0).silence(4.0, 4.6)
    story.delivered.append(replace(story.delivered[0], sequence=300, received=4.2))
    found = values(story, "time_to_first_delivery")
    assert list(found.bounds) == pytest.approx([0.601], abs=1e-6)


def test_a_message_attempted_before_the_effect_was_seen_does_not_end_the_wait() -> None:
    story = Story().core().fault(at=3.995).silence(4.01, 4.6)
    found = values(story, "time_to_first_delivery")  # message 300, due at 4.0, still got through
    assert list(found.bounds) == pytest.approx([0.606], abs=1e-6)


def test_a_message_that_never_came_is_a_lower_bound_up_to_the_end_of_load() -> None:
    story = Story().core().fault(at=4.0).silence(4.0, 9.0)
    found = values(story, "time_to_first_delivery")
    assert (list(found.bounds), found.censored) == ([5.0], 1)


def test_every_path_counts_by_itself() -> None:
    story = Story().core(2, 2).fault(at=4.0)
    story.delivered = [
        one for one in story.delivered
        if not (one.sender == 1 and one.client == 3 and 4.0 <= one.received < 5.0)
    ]  # fmt: skip
    found = values(story, "time_to_first_delivery")
    assert found.n == 4
    assert found.bounds[-1] > 0.99
    assert found.bounds[-2] < 0.1


def test_each_hit_on_an_end_of_a_path_counts_and_others_do_not() -> None:
    story = Story().core()
    story.events[-1]["server"] = "n2"
    story.fault("roll", "rolling-restart", nodes=["n1"], at=4.0, heal=6.0)
    for at, node in ((4.5, "n2"), (5.0, "n3")):
        story.event(at, "fault.hit", fault="roll", node=node, how="SIGTERM")
    assert values(story, "time_to_first_delivery").n == 2


def test_a_path_off_the_struck_nodes_counts_once_from_the_first_hit() -> None:
    story = Story().core().fault(nodes=["n2", "n3"])
    assert values(story, "time_to_first_delivery").n == 1


def test_time_to_first_ack_waits_for_a_reply() -> None:
    story = Story().request().fault(at=4.0).outcome(range(300, 380), Outcome.UNKNOWN)
    assert list(values(story, "time_to_first_ack").bounds) == pytest.approx([0.802], abs=1e-6)
    assert values(story, "time_to_first_delivery").n == 0


def test_an_ack_that_never_came_is_a_lower_bound() -> None:
    story = Story().request().fault(at=4.0).outcome(range(300, 800), Outcome.UNKNOWN)
    assert values(story, "time_to_first_ack").censored == 1


@settings(max_examples=100, deadline=None)
@given(
    gone=st.lists(st.tuples(st.floats(1, 9), st.floats(0, 3)), max_size=4),
    at=st.floats(1.5, 6),
    heal=st.floats(0.1, 2),
)
def test_the_window_equals_the_one_found_gap_by_gap(
    gone: list[tuple[float, float]], at: float, heal: float
) -> None:
    story = Story().core(1, 1, 20).fault(at=at, heal=at + heal)
    for begin, length in gone:
        story.silence(begin, begin + length)
    history = story.history()
    case = Case(history.iterations[0], history.scenario)
    period = 1e9 / 20
    times = [ns(1.0), *sorted(ns(one.received) for one in story.delivered)]
    spans = [
        (after - before)
        for before, after in pairwise(times)
        if before < ns(at + heal) and after > ns(at)
    ]
    tail = ns(9.0) - times[-1]
    is_open = tail - period > max(period, 1e8)
    expected = max([*spans, tail if is_open else 0, 0])
    found = judge_watchdog(case).samples["outage_window"].select({"role": "publisher"})
    assert found.bounds[0] == pytest.approx(max(0, expected - period) / 1e9)
    assert found.censored == int(is_open)


def test_the_watch_knows_the_period_of_everyone() -> None:
    case = Case(Story().core(2, 1, 100).history().iterations[0], {})
    periods = {watch.name: watch.period_ns for watch in keep_watch(case.ledger)}
    assert periods["hello-publisher-1"] == pytest.approx(2e7)
    assert periods["hello-subscriber-1"] == pytest.approx(1e7)
