"""Streams that remove messages by themselves: what that explains is not lost, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from stream_story import Consumed, Stored, StreamStory

from harness.checks import judge
from harness.checks.base import Verdict
from harness.checks.judgement import Judgement
from harness.history.tables import Outcome
from harness.stats.labelled import PooledTally

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
NS = 1_000_000_000


def lost(judgement: Judgement) -> tuple[int, int]:
    """Return how many were lost from the stream, and of how many that is uncertain."""
    tally = judgement.metrics["stream_lost"]
    assert isinstance(tally, PooledTally)
    count = tally.select({})
    return count.count, count.uncertain


def told(config: dict[str, Any], gone: range, *nodes: str, **facts: Any) -> StreamStory:
    return StreamStory().stream(config=config, consumers=(), **facts).lose(gone, *nodes)


def assert_removed(story: StreamStory, count: int) -> None:
    judgement = judge(story.history())
    assert lost(judgement) == (0, 0)
    assert judgement.verdict is PASS
    assert (
        f"{count} acked message(s) are gone as its limits or retention allow"
        in (judgement.notes[0])
    )


def test_what_max_msgs_pushed_out_is_removed_and_one_more_is_lost() -> None:
    assert_removed(told({"max_msgs": 100}, range(1, 301)), 300)
    judgement = judge(told({"max_msgs": 100}, range(1, 302)).history())
    assert lost(judgement) == (1, 0)
    assert judgement.verdict is FAIL


def test_what_limits_removed_before_a_consumer_got_it_is_noted_and_not_lost() -> None:
    story = StreamStory().stream(config={"max_msgs": 100}, consumers=("C1", "C2"))
    story.lose(range(1, 301)).undelivered(range(50, 301), client=2)
    judgement = judge(story.history())
    assert judgement.verdict is PASS
    (note,) = (one for one in judgement.notes if "consumer" in one)
    assert note == (
        "consumer ORDERS/C2 never got 251 message(s) that the stream had removed first, as its "
        "limits or retention allow"
    )
    judgement = judge(story.undelivered([301], client=2).history())  # which is there
    assert judgement.verdict is FAIL


def test_what_no_limit_explains_was_not_removed_before_a_consumer_got_it() -> None:
    for config in ({}, {"max_msgs": 100, "discard": "new"}):
        story = StreamStory().stream(config=config).lose(range(1, 301))
        notes = judge(story.undelivered(range(50, 301)).history()).notes
        assert not any("removed first" in one for one in notes)
    story = StreamStory().stream(config={"max_msgs": 100}, consumer={"filter_subject": "other"})
    notes = judge(story.lose(range(1, 301)).undelivered(range(1, 401)).history()).notes
    assert not any("removed first" in one for one in notes)


def test_a_limit_does_not_explain_a_hole() -> None:
    story = told({"max_msgs": 100}, range(1, 301)).lose([350], "n2")
    assert lost(judge(story.history())) == (1, 0)
    story = told({"max_msgs": 100}, range(50, 60), "n2")  # it still has older ones
    assert lost(judge(story.history())) == (10, 0)


def test_a_stream_that_discards_new_messages_removes_none_for_its_size() -> None:
    story = told({"max_msgs": 100, "discard": "new"}, range(1, 301))
    assert lost(judge(story.history())) == (300, 0)


def test_what_is_older_than_max_age_is_removed_and_what_is_younger_is_lost() -> None:
    # Read at 10.05 s; sent at 1 s, 1.02 s, ...: those up to number 203 are 5 s old by then.
    assert_removed(told({"max_age": 5 * NS}, range(1, 204)), 203)
    assert lost(judge(told({"max_age": 5 * NS}, range(1, 206)).history())) == (2, 0)


def test_what_max_bytes_may_have_pushed_out_of_one_replica_only_is_uncertain() -> None:
    story = told({"max_bytes": 10_000}, range(1, 101))
    story.held = dict.fromkeys(story.stored, 9_950)  # of 300 messages
    assert_removed(story, 100)
    judgement = judge(told({"max_bytes": 10_000}, range(1, 101), "n2").history())
    assert lost(judgement) == (100, 100)
    assert judgement.verdict is INCONCLUSIVE
    assert lost(judge(told({"max_bytes": 10_000}, range(90, 101)).history())) == (11, 0)


@pytest.mark.parametrize(
    ("held", "open_", "verdict"),
    [
        (None, 100, INCONCLUSIVE),
        (9_400, 0, PASS),
        (8_900, 100, INCONCLUSIVE),
        (5_000, 100, INCONCLUSIVE),
        (4_900, 0, FAIL),
    ],
)
def test_max_bytes_removes_nothing_from_a_stream_that_is_not_full(
    held: int | None, open_: int, verdict: Verdict
) -> None:
    story = told({"max_bytes": 10_000}, range(1, 101))
    story.held = dict.fromkeys(story.stored, held) if held is not None else {}
    judgement = judge(story.history())
    assert lost(judgement) == (0 if verdict is PASS else 100, open_)
    assert judgement.verdict is verdict


def test_a_stream_of_few_large_messages_is_full_where_two_more_would_not_fit() -> None:
    story = told({"max_bytes": 10_000}, range(1, 397))
    story.held = dict.fromkeys(story.stored, 7_000)  # of four messages
    assert_removed(story, 396)


def test_thresholds_know_what_is_uncertain() -> None:
    story = told({"max_bytes": 10_000}, range(1, 101), "n2")
    for condition, verdict in (
        ("count == 0", INCONCLUSIVE),
        ("count <= 100", PASS),
        ("count > 100", FAIL),
    ):
        story.thresholds = {"stream_lost": [condition]}
        judgement = judge(story.history())
        assert judgement.verdict is verdict
    story.thresholds = {"stream_lost": ["count == 0"]}
    finding = next(one for one in judge(story.history()).findings if one.check == "thresholds")
    assert "100 of them may have been removed as the stream's limits or retention allow" in (
        finding.detail
    )


def test_per_subject_limits_keep_the_newest_of_a_known_subject() -> None:
    assert_removed(told({"max_msgs_per_subject": 10}, range(1, 391)), 390)
    assert lost(judge(told({"max_msgs_per_subject": 10}, range(1, 392)).history())) == (1, 0)


def test_a_subject_that_is_left_out_is_the_default_one_for_per_subject_limits() -> None:
    assert_removed(told({"max_msgs_per_subject": 10}, range(1, 391), subject=None), 390)


def test_per_subject_limits_leave_everything_open_where_subjects_are_not_known() -> None:
    for subject in (None, "orders.*"):
        story = told({"max_msgs_per_subject": 10}, range(1, 11), subject=subject)
        story.streams.clear()  # so there is no default for what is left out
        judgement = judge(story.history())
        assert lost(judgement) == (10, 10)
        assert judgement.verdict is INCONCLUSIVE


@pytest.mark.parametrize("retention", ["workqueue", "interest"])
def test_what_was_consumed_and_acknowledged_is_removed(retention: str) -> None:
    story = StreamStory().stream(config={"retention": retention}).lose(range(1, 401))
    assert_removed(story, 400)


@pytest.mark.parametrize("retention", ["workqueue", "interest"])
def test_what_nobody_got_and_no_replica_has_is_lost(retention: str) -> None:
    story = StreamStory().stream(config={"retention": retention}).lose(range(1, 401))
    judgement = judge(story.undelivered([7, 8]).history())
    assert lost(judgement) == (2, 0)
    assert judgement.verdict is FAIL


@pytest.mark.parametrize("retention", ["workqueue", "interest"])
def test_what_was_delivered_and_not_acknowledged_on_record_is_uncertain(retention: str) -> None:
    story = StreamStory().stream(config={"retention": retention}).lose(range(1, 401))
    story.consumed[3].acked = 0
    judgement = judge(story.history())
    assert lost(judgement) == (1, 1)
    assert judgement.verdict is INCONCLUSIVE


def test_a_work_queue_asks_for_one_consumer_and_interest_for_each() -> None:
    for retention, verdict in (("workqueue", PASS), ("interest", FAIL)):
        story = StreamStory().stream(config={"retention": retention}, consumers=("C1", "C2"))
        story.lose(range(1, 401)).undelivered([9], client=2)
        assert judge(story.history()).iterations[0].verdict is verdict


def test_a_limit_that_is_not_set_explains_nothing() -> None:
    config = {"max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": -1}
    assert lost(judge(told(config, range(1, 11), "n2").history())) == (10, 0)


def test_settings_come_from_the_scenario_where_their_making_was_not_recorded() -> None:
    story = told({}, range(1, 301))
    story.events = [one for one in story.events if one["kind"] != "stream.created"]
    story.streams[0]["max_msgs"] = 100
    assert lost(judge(story.history())) == (0, 0)


def test_copies_after_the_duplicate_window_are_legal_though_they_have_a_message_id() -> None:
    retry = {"max": 3, "msg_id": True}
    story = StreamStory().stream(config={"duplicate_window": NS // 2}, retry=retry, consumers=())
    story.acks[5].attempts = 2
    story.sent[5].finished = story.sent[5].attempted + 1.0
    for rows in story.stored.values():
        rows.append(Stored(0, 5, 401))
    judgement = judge(story.history())
    assert judgement.verdict is PASS
    assert "1 legal duplicate(s)" in judgement.notes[0]


def listed_until(story: StreamStory, last_s: float) -> StreamStory:
    """Let the stream be listed by its leader until then, and be gone when it is audited."""
    for at_s in (1.0, last_s):
        story.event(at_s, "jetstream.sampled", node="n1", streams={"ORDERS": {}}, consumers={})
    story.event(last_s + 0.25, "jetstream.sampled", node="n1", streams={}, consumers={})
    story.gone.add(("ORDERS", None))
    return story


def test_a_stream_that_is_gone_removed_nothing_after_it_was_last_listed() -> None:
    story = listed_until(told({"max_age": NS}, range(1, 402)), 3.0)
    judgement = judge(story.history())
    assert lost(judgement)[1] == 0
    kept = [
        one for one in story.sent if one.attempted + 1 > 3.0
    ]  # a second old by then, or not yet
    assert lost(judgement)[0] == len(kept)
    assert judgement.verdict is FAIL


def test_a_stream_that_was_never_listed_removed_nothing() -> None:
    story = told({"max_age": NS}, range(1, 402))
    story.gone.add(("ORDERS", None))
    assert lost(judge(story.history())) == (len(story.sent), 0)


def test_a_count_explains_what_a_stream_removed_before_it_was_gone() -> None:
    story = listed_until(told({"max_msgs": 100}, range(1, 402)), 9.0)
    assert lost(judge(story.history())) == (100, 0)


@pytest.mark.parametrize("thresholds", [{}, {"stream_lost": ["count == 0"]}])
def test_a_stream_that_is_gone_fails_though_all_its_messages_had_expired(
    thresholds: dict[str, list[str]],
) -> None:
    story = listed_until(told({"max_age": NS // 100}, range(1, 402)), 10.0)
    story.thresholds = thresholds
    judgement = judge(story.history())
    assert lost(judgement) == (0, 0)
    assert judgement.verdict is FAIL
    (said,) = [one.detail for one in judgement.findings if one.verdict is FAIL]
    assert said.startswith("n1, n2, n3: stream ORDERS is gone, though nobody removed it")


def test_where_limits_removed_everything_no_loss_could_be_seen() -> None:
    story = told({"max_age": NS // 100}, range(1, 10_000))
    judgement = judge(story.history())
    assert lost(judgement) == (0, 0)
    assert judgement.verdict is INCONCLUSIVE
    assert any("no loss could have been seen" in one.detail for one in judgement.findings)


def queue_with_copies(*, msg_id: bool) -> StreamStory:
    """Tell of a work queue that is empty at the end, and had ten messages in two places each."""
    retry = {"max": 3, "msg_id": msg_id}
    story = StreamStory().stream(config={"retention": "workqueue"}, retry=retry)
    story.lose(range(1, 401))
    for sequence in range(10):
        story.acks[sequence].attempts = 2
        place = 401 + sequence
        story.consumed.append(Consumed(1, 0, sequence, place, 9.0 + sequence / 100, number=place))
    return story


def duplicates(judgement: Judgement) -> tuple[int, int]:
    tally = judgement.metrics["duplicates"]
    assert isinstance(tally, PooledTally)
    count = tally.select({"at": "stream"})
    return count.count, count.of


def test_copies_that_a_work_queue_gave_out_and_removed_are_counted() -> None:
    judgement = judge(queue_with_copies(msg_id=False).history())
    assert duplicates(judgement) == (10, 400)
    assert judgement.verdict is PASS
    assert any("10 legal duplicate(s)" in one for one in judgement.notes)
    judgement = judge(queue_with_copies(msg_id=True).history())
    assert judgement.verdict is FAIL
    (found,) = (one for one in judgement.findings if one.check == "stream-order")
    assert found.detail.startswith(
        "ORDERS holds or held 10 message(s) more than once, and nothing was published again that "
        "could explain it: sequences 1-10, 401-410"
    )


def test_a_copy_that_is_left_of_a_message_that_was_consumed_is_no_conflict() -> None:
    for msg_id, verdict in ((False, PASS), (True, FAIL)):
        story = queue_with_copies(msg_id=msg_id)
        for rows in story.stored.values():
            rows.append(Stored(0, 9, 410))
        story.consumed = [one for one in story.consumed if one.place != 410]
        judgement = judge(story.history())
        conflicts = judgement.metrics["sequence_conflicts"]
        assert isinstance(conflicts, PooledTally)
        assert judgement.verdict is verdict
        assert conflicts.select({}).count == 0


def test_a_place_that_was_given_out_twice_makes_no_copy() -> None:
    story = queue_with_copies(msg_id=True)
    for number, one in enumerate(story.consumed[-10:]):
        one.place = 350 + number  # which other messages had as well
    assert duplicates(judge(story.history()))[0] == 0


def test_a_copy_that_limits_pushed_out_is_counted() -> None:
    story = StreamStory().stream(config={"max_msgs": 100}, retry={"max": 3, "msg_id": True})
    story.lose(range(1, 302))
    for rows in story.stored.values():
        rows.append(Stored(0, 5, 401))
    judgement = judge(story.history())
    assert duplicates(judgement) == (1, 400)
    assert judgement.verdict is FAIL


def test_what_was_refused_is_unexpected_though_the_stream_removed_it_again() -> None:
    story = StreamStory().stream(config={"retention": "workqueue"}).lose(range(1, 401))
    story.become(range(20, 36), Outcome.REFUSED)
    judgement = judge(story.history())
    tally = judgement.metrics["unexpected"]
    assert isinstance(tally, PooledTally)
    assert tally.select({}).count == 16
    assert judgement.verdict is FAIL
    (found,) = (one for one in judgement.findings if one.check == "stream-integrity")
    assert "delivered 16 message(s) whose publisher was told that they were refused" in found.detail


def test_what_is_not_acknowledged_pushes_older_messages_of_its_subject_out_as_well() -> None:
    story = told({"max_msgs_per_subject": 250}, range(1, 151))
    story.become(range(200, 300), Outcome.UNKNOWN)  # which the stream has all the same
    judgement = judge(story.history())
    assert lost(judgement) == (0, 0)
    assert judgement.verdict is PASS
    story.lose([160])
    assert lost(judge(story.history())) == (1, 0)


def test_copies_push_older_messages_of_their_subject_out_as_well() -> None:
    retry = {"max": 3, "msg_id": False}
    story = told({"max_msgs_per_subject": 10}, range(1, 396), retry=retry)
    for number in range(5):
        story.acks[number + 395].attempts = 2
        for rows in story.stored.values():
            rows.append(Stored(0, 395 + number, 401 + number))
    assert lost(judge(story.history())) == (0, 0)


def sent_off(story: StreamStory, **state: Any) -> StreamStory:
    """Let a consumer without acknowledgements have been sent everything, and get not all."""
    story.lose(range(1, 401)).undelivered(range(100, 200))
    if state:
        story.event(9.9, "consumer.state", stream="ORDERS", consumer="C1", **state)
    return story


def test_what_a_silent_consumer_was_sent_is_its_loss_and_not_the_streams() -> None:
    facts: dict[str, Any] = {
        "config": {"retention": "interest"},
        "consumer": {"ack_policy": "none"},
    }
    judgement = judge(sent_off(StreamStory().stream(**facts), delivered=400).history())
    assert lost(judgement) == (0, 0)
    tally = judgement.metrics["consumer_lost"]
    assert isinstance(tally, PooledTally)
    assert tally.select({}).count == 100
    assert judgement.verdict is PASS
    assert any("C1 never delivered 100 message(s)" in one for one in judgement.notes)
    judgement = judge(sent_off(StreamStory().stream(**facts), delivered=150).history())
    assert lost(judgement) == (49, 0)  # beyond what it was sent
    assert judgement.verdict is FAIL
    judgement = judge(sent_off(StreamStory().stream(**facts)).history())
    assert lost(judgement) == (100, 100)  # nobody said how far it had come
    assert judgement.verdict is INCONCLUSIVE
