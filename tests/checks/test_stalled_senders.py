"""Traffic: senders whose worker stood still under a fault, and senders that a fault silenced."""

from __future__ import annotations

import pytest
from guards import assert_inconclusive, only
from story import Story

from harness.checks.base import Verdict


def held_up(story: Story, from_: float, to: float, *, sender: int = 0) -> Story:
    """Let a sender send at `to` what was due from `from_` on, with no word of why."""
    for one in story.sent:
        if one.client == sender and from_ <= one.intended < to:
            one.attempted = one.finished = to
    for delivery in story.delivered:
        if from_ <= delivery.received < to:
            delivery.received = to
    return story


def stalled(story: Story, from_: float, to: float) -> Story:
    """Let the worker of the first sender stand still, and tell of it 0.2 s later."""
    worker = story.clients[0]["worker"]
    story.event(to + 0.2, "worker.lagged", worker=worker, max_lag_s=to - from_)
    return held_up(story, from_, to)


@pytest.mark.parametrize("story", [Story().core(), Story().request(), Story().jetstream()])
def test_a_sender_whose_worker_stood_still_during_a_fault_has_tested_nothing(story: Story) -> None:
    assert_inconclusive(
        "traffic",
        stalled(story.fault(), 3.9, 6.2),
        f"sender {story.clients[0]['name']} was stalled: 0 of 200 due under the fault stop-seed",
    )


def test_named_messages_that_a_stall_held_back_are_missed_as_well() -> None:
    story = Story().core(workload="other").named([("a", 1.5), ("b", 4.0)]).fault()
    worker = story.clients[2]["worker"]
    story.event(6.4, "worker.lagged", worker=worker, max_lag_s=2.3)
    held_up(story, 3.9, 6.2, sender=2)
    assert_inconclusive("traffic", story, "sender guide-publisher-1 was stalled: 0 of 1 due")


def test_each_fault_is_looked_at_by_itself() -> None:
    story = Story().core().fault("first", at=4.0, heal=5.0).fault("next", at=5.2, heal=8.2)
    assert_inconclusive("traffic", stalled(story, 3.9, 5.1), "0 of 100 due under the fault first")


def test_a_sender_that_a_fault_silenced_is_not_called_stalled() -> None:
    assert only("traffic", held_up(Story().request().fault(), 4.1, 6.2))[0] is Verdict.PASS


def test_a_small_lag_beside_a_fault_that_silenced_a_sender_does_not_explain_it() -> None:
    story = held_up(Story().request().fault(), 4.1, 6.2)
    story.event(5.0, "worker.lagged", worker=story.clients[0]["worker"], max_lag_s=0.6)
    assert only("traffic", story)[0] is Verdict.PASS


def test_a_stall_after_which_most_was_still_sent_under_the_fault_is_not_judged() -> None:
    assert only("traffic", stalled(Story().core().fault(), 4.0, 5.5))[0] is Verdict.PASS


def test_the_stall_of_another_worker_explains_nothing() -> None:
    story = held_up(Story().core().fault(), 3.9, 6.2)
    story.event(6.4, "worker.lagged", worker="hello-subscribers", max_lag_s=2.3)
    assert only("traffic", story)[0] is Verdict.PASS
