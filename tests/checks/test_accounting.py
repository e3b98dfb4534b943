from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import count
from story import Delivered, Story

from harness.checks import judge
from harness.checks.accounting import judge_accounting
from harness.checks.base import Case, Verdict
from harness.history.tables import Integrity, Outcome
from harness.scenario.metrics import PHASES
from harness.stats.labelled import Count, Tally


def tallies(story: Story) -> dict[str, Tally]:
    history = story.history()
    return dict(judge_accounting(Case(history.iterations[0], history.scenario)).tallies)


def counted(story: Story, metric: str, **labels: str) -> int:
    return tallies(story)[metric].select(labels).count


def test_when_all_is_well_every_count_is_zero_and_every_message_was_looked_at() -> None:
    found = tallies(Story().core(2, 2, 100))
    assert {name: tally.select({}).count for name, tally in found.items()} == dict.fromkeys(
        found, 0
    )
    assert found["lost"].select({}).of == 2 * 800
    assert found["duplicates"].select({}).of == 2 * 800
    assert found["unknown"].select({}).of == 800


def test_a_message_absent_at_each_of_two_subscriptions_is_lost_twice() -> None:
    story = Story().core(1, 2).drop([150, 151]).drop([700], at=1)
    assert counted(story, "lost") == 5
    assert counted(story, "lost", phase="steady") == 4
    assert counted(story, "lost", phase="recovery") == 1


def test_loss_is_split_by_what_the_library_said_of_its_connection() -> None:
    story = Story().core().drop([150, 151, 152])
    for one in story.sent[151:153]:
        one.connected = 0
    assert counted(story, "lost", state="connected") == 1
    assert counted(story, "lost", state="disconnected") == 2
    assert tallies(story)["lost"].select({"state": "disconnected"}).of == 2


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNKNOWN, Outcome.ACKED])
def test_only_accepted_messages_can_be_lost(outcome: Outcome) -> None:
    story = Story().core().drop(range(10)).outcome(range(10), outcome)
    assert counted(story, "lost") == 0


def test_a_queue_group_counts_once_whoever_takes_the_message() -> None:
    story = Story().core(1, 3, queue="jobs")
    assert tallies(story)["lost"].select({}).of == 800
    assert counted(story.drop([5]), "lost") == 1


def test_a_second_delivery_to_another_member_of_the_group_is_a_duplicate() -> None:
    story = Story().core(1, 2, queue="jobs")
    taken = story.delivered[200]
    other = 3 - taken.client
    story.delivered.append(replace(taken, client=other, received=taken.received + 0.5))
    assert counted(story, "duplicates", phase="steady") == 1
    assert counted(story, "lost") == 0


def test_members_of_a_group_may_take_messages_in_any_order_between_them() -> None:
    story = Story().core(1, 2, queue="jobs")
    for one in story.delivered:
        if one.client == 2:
            one.received += 0.25
    assert counted(story, "out_of_order") == 0


def test_a_duplicate_counts_once_for_each_delivery_beyond_the_first() -> None:
    story = Story().core()
    extra = [replace(story.delivered[7], received=5.0 + k) for k in range(3)]
    story.delivered += extra
    assert counted(story, "duplicates") == 3
    assert counted(story, "out_of_order") == 0


def test_a_message_held_back_behind_five_later_ones_is_out_of_order_once() -> None:
    story = Story().core()
    story.delivered[20].received = story.delivered[25].received + 0.0001
    assert counted(story, "out_of_order") == 1


def test_order_is_kept_for_each_publisher_by_itself() -> None:
    story = Story().core(2, 1)
    for one in story.delivered:
        if one.sender == 1:
            one.received += 0.3
    assert counted(story, "out_of_order") == 0


def test_what_arrives_damaged_is_corrupted_and_its_message_lost() -> None:
    story = Story().core()
    story.delivered[9].integrity = Integrity.CORRUPTED
    story.delivered[9].sequence = 2**60
    assert counted(story, "corrupted", workload="hello") == 1
    assert counted(story, "lost") == 1
    assert counted(story, "unexpected") == 0


@pytest.mark.parametrize(
    "stray",
    [
        Delivered(1, 0, 800, 5.0),
        Delivered(1, 0, 2**64 - 1, 5.0),
        Delivered(1, 77, 0, 5.0),
        Delivered(1, 1, 0, 5.0),
        Delivered(1, 0, 3, 5.0, Integrity.FOREIGN),
        Delivered(1, 2**32 - 1, 2**64 - 1, 5.0, Integrity.FOREIGN),
    ],
)
def test_what_was_never_attempted_is_unexpected(stray: Delivered) -> None:
    story = Story().core()
    story.delivered.append(stray)
    assert counted(story, "unexpected") == 1
    assert counted(story, "duplicates") == 0


def test_a_message_of_another_workload_is_unexpected_unless_the_subject_is_shared() -> None:
    story = Story().core().core(workload="other")
    story.delivered.append(Delivered(1, 2, 0, 5.0))
    assert counted(story, "unexpected", workload="hello") == 1
    story.workloads[1]["subject"] = "hello"
    assert counted(story, "unexpected") == 0
    assert counted(story, "duplicates") == 0


def test_a_wrong_reply_is_counted_at_the_requester() -> None:
    story = Story().request()
    story.delivered.append(Delivered(0, 0, 4, 5.0, Integrity.CORRUPTED))
    story.delivered.append(Delivered(0, 0, 5, 5.0, Integrity.FOREIGN))
    assert counted(story, "corrupted", workload="ask") == 1
    assert counted(story, "unexpected", workload="ask") == 1


def test_an_unknown_message_that_is_found_is_recovered() -> None:
    story = Story().core().outcome(range(10), Outcome.UNKNOWN).drop(range(4))
    found = tallies(story)
    assert found["unknown"].select({}).count == 10
    assert found["recovered"].select({}) == Count(6, 10, 0, 800)


def test_refused_messages_are_counted_by_phase() -> None:
    story = Story().core().outcome(range(100, 130), Outcome.REFUSED)
    assert counted(story, "refused", phase="steady") == 30
    assert counted(story, "refused", phase="fault") == 0


def test_a_subscription_counts_from_its_confirmation_on() -> None:
    story = Story().core().drop(range(150))
    story.unconfirmed.add(("hello-subscriber-1", "hello-publisher-1"))
    story.event(2.0, "subscription.confirmed", client="hello-subscriber-1",
                senders=["hello-publisher-1"])  # fmt: skip
    assert counted(story, "lost") == 50


def test_a_subscription_counts_until_it_is_closed() -> None:
    story = Story().core().drop(range(300, 800))
    story.event(5.0, "client.closed", client="hello-subscriber-1")
    assert counted(story, "lost") == 100


def test_a_group_counts_until_its_last_member_is_closed() -> None:
    story = Story().core(1, 2, queue="jobs").drop(range(300, 800))
    story.event(5.0, "client.closed", client="hello-subscriber-1")
    assert counted(story, "lost") == 500
    story.event(6.0, "client.closed", client="hello-subscriber-2")
    assert counted(story, "lost") == 200


def test_messages_behind_the_last_arrival_may_be_late_when_drain_broke_off() -> None:
    story = Story(drained=False).core().drop([100, 798, 799])
    assert tallies(story)["lost"].select({}) == Count(3, 800, 2, 800)
    judgement = judge(story.history())
    finding = next(one for one in judgement.findings if one.check == "accounting")
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "2 message(s) to hello-subscriber-1" in finding.detail


def test_absence_at_a_worker_whose_rows_are_missing_is_no_loss() -> None:
    story = Story().core().drop(range(100))
    story.broken_columns["hello-subscribers"] = "cut short"
    found = tallies(story)["lost"].select({})
    assert (found.count, found.seen, found.at_least) == (0, 0, True)


def test_a_message_that_a_missing_row_could_explain_is_not_unexpected() -> None:
    story = Story().core()
    story.sent = story.sent[:700]
    assert counted(story, "unexpected") == 100
    story.broken_columns["hello-publishers"] = "cut short"
    found = tallies(story)["unexpected"].select({})
    assert (found.count, found.at_least) == (0, True)


SPOILS = st.sampled_from(
    ["drop", "twice", "late", "corrupt", "foreign", "stray", "refuse", "unknown"]
)


def spoil(draw: st.DrawFn, story: Story, what: str, queue: str | None) -> None:
    one = story.delivered[draw(st.integers(0, len(story.delivered) - 1))]
    if what == "drop":
        story.delivered.remove(one)
    elif what == "twice":
        again = one.received + draw(st.sampled_from([0.0, 0.001, 0.5, 2.0]))
        mine = story.clients[one.client]
        mates = [client["id"] for client in story.clients if client["senders"] == mine["senders"]]
        taker = draw(st.sampled_from(mates)) if queue else one.client
        story.delivered.append(replace(one, client=taker, received=again))
    elif what == "late":
        one.received += draw(st.sampled_from([0.1, 0.3, 1.5]))
    elif what == "corrupt":
        one.integrity = Integrity.CORRUPTED
    elif what == "foreign":
        one.integrity = Integrity.FOREIGN
    elif what == "stray":
        story.delivered.append(replace(one, sequence=draw(st.integers(200, 2**64 - 1))))
    else:
        attempt = draw(st.sampled_from(story.sent))
        attempt.outcome = Outcome.REFUSED if what == "refuse" else Outcome.UNKNOWN


@st.composite
def stories(draw: st.DrawFn) -> Story:
    queue = draw(st.sampled_from([None, "jobs"]))
    story = Story().core(draw(st.integers(1, 3)), draw(st.integers(1, 3)), 12, queue=queue)
    if draw(st.booleans()):
        story.core(1, 2, 5, workload="other")
    for what in draw(st.lists(SPOILS, max_size=30)):
        spoil(draw, story, what, queue)
    if draw(st.booleans()):
        story.unconfirmed.add(("hello-subscriber-1", "hello-publisher-1"))
        if draw(st.booleans()):
            story.event(
                draw(st.floats(1, 9)),
                "subscription.confirmed",
                client="hello-subscriber-1",
                senders=["hello-publisher-1"],
            )
    if draw(st.booleans()):
        story.event(draw(st.floats(1, 9)), "client.closed", client="hello-subscriber-1")
    story.delivered.sort(key=lambda one: one.received)
    return story


@settings(max_examples=300, deadline=None)
@given(stories())
def test_every_count_equals_the_one_made_message_by_message(story: Story) -> None:
    found, expected = tallies(story), count(story)
    workloads = {client["workload"] for client in story.clients}
    for metric, tally in found.items():
        for workload in workloads:
            if metric in ("corrupted", "unexpected"):
                labels = {"workload": workload}
                assert tally.select(labels).count == expected[metric]["all", workload], metric
                continue
            for phase in PHASES:
                labels = {"workload": workload, "phase": phase}
                assert tally.select(labels).count == expected[metric][phase, workload], metric
