"""Judges of streams, one told thing at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from stream_story import Consumed, Stored, StreamStory, tell_streams

from harness.checks import judge
from harness.checks.base import Finding, Verdict
from harness.checks.judgement import Judgement
from harness.history.tables import Integrity, Outcome
from harness.report.build import build
from harness.report.model import Stream
from harness.report.streams import describe_stream
from harness.stats.labelled import Count, PooledTally

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def counted(judgement: Judgement, metric: str, **labels: str) -> Count:
    tally = judgement.metrics[metric]
    assert isinstance(tally, PooledTally)
    return tally.select(labels)


def trouble(judgement: Judgement, check: str | None = None) -> list[Finding]:
    return [
        one for one in judgement.findings if one.verdict is not PASS and check in (None, one.check)
    ]


def shown(story: StreamStory) -> Stream:
    history = story.history()
    (stream,) = build(history, judge(history)).iterations[0].streams
    return stream


@pytest.mark.parametrize("nodes", [("n1",), ("n1", "n2", "n3")])
@pytest.mark.parametrize("index", range(25))
def test_runs_without_faults_give_no_finding(nodes: tuple[str, ...], index: int) -> None:
    story = StreamStory().stream(
        nodes=nodes,
        publishers=1 + index % 4,
        rate=20 + index,
        consumers=("C1", "C2")[: index % 3],
        clients=1 + index % 2,
    )
    judgement = judge(story.history())
    assert judgement.verdict is PASS
    assert trouble(judgement) == []
    assert judgement.notes == ()


@pytest.mark.parametrize("k", [1, 7, 40])
def test_exactly_what_was_taken_from_one_replica_is_reported_with_its_sequences(k: int) -> None:
    story = StreamStory().stream(publishers=2).lose(range(161, 161 + k), "n2")
    judgement = judge(story.history())
    assert judgement.verdict is FAIL
    lost = counted(judgement, "stream_lost")
    assert (lost.count, lost.of, lost.uncertain) == (k, 400, 0)
    assert counted(judgement, "replica_lost", server="n2").count == k
    assert counted(judgement, "replica_lost", server="n1").count == 0
    (finding,) = trouble(judgement, "stream-loss")
    where = "161" if k == 1 else f"161-{160 + k}"
    assert f"n2 lacks {k} acked message(s) of ORDERS: sequences {where} (" in finding.detail
    assert "sent by orders-publisher-1 at 4.200 s, phase fault" in finding.detail
    assert (finding.value, finding.limit, finding.margin) == (k, 0, -k)


def test_a_message_that_two_replicas_lack_is_lost_once_from_the_stream() -> None:
    judgement = judge(StreamStory().stream().lose([9], "n1", "n3").history())
    assert counted(judgement, "stream_lost").count == 1
    assert counted(judgement, "replica_lost").count == 2


@pytest.mark.parametrize(
    ("gone", "parts"),
    [
        (range(1, 6), (5, 0, 0)),
        (range(396, 401), (0, 0, 5)),
        (range(50, 55), (0, 5, 0)),
        ([1, 2, 50, 400], (2, 1, 1)),
        (range(1, 401), (400, 0, 0)),
    ],
)
def test_loss_is_split_by_where_in_the_stream_it_lies(
    gone: Any, parts: tuple[int, int, int]
) -> None:
    judgement = judge(StreamStory().stream().lose(gone, "n2").history())
    names = ("prefix", "middle", "postfix")
    assert tuple(counted(judgement, "stream_lost", part=one).count for one in names) == parts


def test_loss_is_counted_by_the_phase_in_which_it_was_due() -> None:
    story = StreamStory().stream().lose([50, 51, 52, 160], "n2")
    judgement = judge(story.history())
    assert counted(judgement, "stream_lost", phase="warmup").count == 1
    assert counted(judgement, "stream_lost", phase="steady").count == 2
    assert counted(judgement, "stream_lost", phase="fault").count == 1


@pytest.mark.parametrize(
    ("thresholds", "verdict"),
    [
        ({}, FAIL),
        ({"stream_lost": ["count < 30"]}, PASS),
        ({"stream_lost": ["count > 0"]}, PASS),
        ({"stream_lost": ["count == 0"]}, FAIL),
        ({"stream_lost{phase:fault}": ["count < 30"]}, FAIL),
        ({"stream_lost{phase:steady}": ["count < 30"]}, PASS),
        ({"stream_lost{part:middle}": ["ratio < 10%"]}, PASS),
        ({"stream_lost": ["count < 30"], "health_lied": ["count == 0"]}, FAIL),
        ({"replica_lost": ["count < 30"]}, FAIL),
        ({"lost": ["count < 30"]}, FAIL),
    ],
)
def test_a_threshold_decides_about_the_loss_that_it_selects(
    thresholds: dict[str, list[str]], verdict: Verdict
) -> None:
    story = StreamStory(thresholds=thresholds).stream().lose(range(101, 111), "n2")
    if "lost" in thresholds:
        story.core()
    judgement = judge(story.history())
    assert judgement.verdict is verdict
    said = [*judgement.notes, *(one.detail for one in judgement.findings)]
    assert any("n2 lacks 10 acked message(s)" in one for one in said)
    assert any("health_lied: n2 called itself healthy" in one for one in said)


def test_a_replica_that_says_it_is_ill_did_not_lie() -> None:
    story = StreamStory().stream().lose([7], "n2")
    story.healthy["ORDERS", "n2"] = 503
    judgement = judge(story.history())
    assert trouble(judgement, "health_lied") == []
    assert counted(judgement, "health_lied").of == 3
    assert [one.check for one in trouble(judgement)] == ["stream-loss"]


def test_unknown_messages_are_never_lost_and_recovered_where_they_are_found() -> None:
    story = StreamStory().stream()
    story.become(range(10, 20), Outcome.UNKNOWN)
    story.lose(range(11, 16)).undelivered(range(11, 16))
    judgement = judge(story.history())
    assert judgement.verdict is PASS
    assert counted(judgement, "recovered") == Count(5, 10, 0, 400)
    assert counted(judgement, "stream_lost") == Count(0, 390, 0, 390)


def test_an_unknown_message_that_some_replicas_lack_is_a_conflict_and_not_lost() -> None:
    story = StreamStory().stream()
    story.become([10], Outcome.UNKNOWN)
    judgement = judge(story.lose([11], "n1", "n2").history())
    assert counted(judgement, "stream_lost").count == 0
    assert counted(judgement, "sequence_conflicts").count == 1
    assert counted(judgement, "recovered").count == 1
    (finding,) = trouble(judgement)
    assert finding.detail.endswith("not acknowledged, some replicas hold and others lack: 11")


def test_an_unknown_message_that_is_in_the_stream_is_to_be_delivered() -> None:
    story = StreamStory().stream()
    story.become([10], Outcome.UNKNOWN)
    judgement = judge(story.undelivered([11]).history())
    (finding,) = trouble(judgement)
    assert finding.check == "consumption"
    assert "never delivered 1 message(s) of the stream, 1 of them of unknown outcome" in (
        finding.detail
    )


def test_a_refused_message_that_is_stored_is_unexpected() -> None:
    story = StreamStory().stream()
    story.become([10], Outcome.REFUSED)
    judgement = judge(story.history())
    assert counted(judgement, "unexpected").count == 1
    assert {one.check for one in trouble(judgement)} == {"stream-integrity"}
    assert judgement.verdict is FAIL
    detail = trouble(judgement)[0].detail
    assert "holds 1 message(s) whose publisher was told that they were refused: sequences 11" in (
        detail
    )


@pytest.mark.parametrize(
    ("integrity", "metric"),
    [(Integrity.CORRUPTED, "corrupted"), (Integrity.FOREIGN, "unexpected")],
)
def test_what_is_damaged_in_a_replica_is_reported_with_its_sequence(
    integrity: Integrity, metric: str
) -> None:
    story = StreamStory().stream()
    story.at("n3", 77).integrity = integrity
    judgement = judge(story.history())
    assert counted(judgement, metric).count == 1
    assert counted(judgement, "replica_lost", server="n3").count == 1
    (finding,) = trouble(judgement, "stream-integrity")
    assert "ORDERS on n3 holds 1" in finding.detail
    assert "sequences 77" in finding.detail


def test_messages_of_core_publishers_that_a_stream_takes_as_well_are_not_judged() -> None:
    story = StreamStory().stream()
    story.core()
    core = story.id_of("hello-publisher-1")
    for rows in story.stored.values():
        rows.append(Stored(core, 3, 401))
    assert judge(story.history()).verdict is PASS


def test_replicas_that_swapped_two_messages_are_in_conflict_at_both_sequences() -> None:
    story = StreamStory().stream()
    one, other = story.at("n2", 30), story.at("n2", 31)
    one.place, other.place = 31, 30
    judgement = judge(story.history())
    assert judgement.verdict is FAIL
    assert counted(judgement, "sequence_conflicts").count == 2
    assert counted(judgement, "stream_lost").count == 0
    details = [one.detail for one in trouble(judgement, "stream-order")]
    assert any("where replicas hold different messages: 30-31" in one for one in details)
    assert any("contradicts an acknowledgement: 30-31" in one for one in details)


def test_one_sequence_that_was_acknowledged_for_two_messages_is_a_conflict() -> None:
    story = StreamStory().stream(nodes=("n1",), publishers=2, consumers=())
    story.acks[9].place = story.acks[8].place
    story.stored["ORDERS", "n1"].pop(9)
    judgement = judge(story.history())
    assert counted(judgement, "sequence_conflicts").count == 1
    assert counted(judgement, "stream_lost").count == 1
    assert any("acknowledged for two messages: 9" in one.detail for one in trouble(judgement))


def test_sequences_that_go_backwards_for_one_publisher_are_a_conflict() -> None:
    story = StreamStory().stream(nodes=("n1",), consumers=())
    for number, ack in enumerate(story.acks[200:]):
        ack.place = story.stored["ORDERS", "n1"][200 + number].place = 150 + number
    del story.stored["ORDERS", "n1"][149:200]
    judgement = judge(story.history())
    details = [one.detail for one in trouble(judgement, "stream-order")]
    assert any("acknowledged after a later one of the same publisher" in one for one in details)
    assert counted(judgement, "stream_lost").count == 51


def test_what_is_in_flight_at_once_may_lie_in_any_order() -> None:
    story = StreamStory().stream(nodes=("n1",), consumers=())
    for one in story.sent[100:104]:
        one.attempted = one.intended
        one.finished = story.sent[104].attempted
    for at in (100, 102):
        first, second = story.acks[at], story.acks[at + 1]
        first.place, second.place = second.place, first.place
        kept = story.stored["ORDERS", "n1"]
        kept[at].place, kept[at + 1].place = kept[at + 1].place, kept[at].place
    assert judge(story.history()).verdict is PASS


def test_a_copy_that_a_message_id_should_have_kept_away_fails_the_run() -> None:
    story = StreamStory().stream(retry={"max": 3, "msg_id": True}, consumers=())
    story.acks[5].attempts = 2
    story.sent[5].finished = story.sent[5].attempted + 1.0
    for rows in story.stored.values():
        rows.append(Stored(0, 5, 401))
    judgement = judge(story.history())
    assert judgement.verdict is FAIL
    assert counted(judgement, "duplicates").count == 1
    assert "holds 1 message(s) more than once" in trouble(judgement)[0].detail
    assert "sequences 6, 401" in trouble(judgement)[0].detail


@pytest.mark.parametrize(("attempts", "verdict"), [(2, PASS), (1, FAIL)])
def test_without_a_message_id_as_many_copies_are_legal_as_were_published(
    attempts: int, verdict: Verdict
) -> None:
    story = StreamStory().stream(retry={"max": 3, "msg_id": False}, consumers=())
    story.acks[5].attempts = attempts
    for rows in story.stored.values():
        rows.append(Stored(0, 5, 401))
    judgement = judge(story.history())
    assert judgement.verdict is verdict
    assert counted(judgement, "duplicates").count == 1
    if verdict is PASS:
        assert "1 legal duplicate(s)" in judgement.notes[0]


@pytest.mark.parametrize(("copies", "verdict"), [(2, PASS), (3, FAIL)])
def test_an_unknown_message_may_have_been_published_as_often_as_the_workload_may(
    copies: int, verdict: Verdict
) -> None:
    story = StreamStory().stream(retry={"max": 2, "msg_id": False}, consumers=())
    story.become([5], Outcome.UNKNOWN)
    for rows in story.stored.values():
        rows.extend(Stored(0, 5, 401 + number) for number in range(copies))
    assert judge(story.history()).verdict is verdict


def test_a_replica_that_was_not_read_leaves_the_run_open_though_the_others_are_whole() -> None:
    story = StreamStory(thresholds={"stream_lost": ["count == 0"]}).stream()
    story.unread["ORDERS", "n2"] = "n2 did not come to lead ORDERS"
    judgement = judge(story.history())
    assert judgement.verdict is INCONCLUSIVE
    assert "the replica on n2 could not be judged: n2 did not come" in (
        trouble(judgement, "stream-audit")[0].detail
    )
    assert counted(judgement, "stream_lost").at_least
    (open_one,) = trouble(judgement, "thresholds")
    assert open_one.verdict is INCONCLUSIVE
    assert "not every replica could be audited, so this is a lower bound" in open_one.detail
    assert "stream-audit" in (open_one.advice or "")


def test_loss_on_another_replica_still_fails_it() -> None:
    story = StreamStory().stream().lose([5], "n3")
    story.unread["ORDERS", "n2"] = "silent"
    assert judge(story.history()).verdict is FAIL


def test_a_replica_that_its_healthy_server_does_not_know_of_has_lost_everything() -> None:
    story = StreamStory().stream()
    story.gone.add(("ORDERS", "n2"))
    judgement = judge(story.history())
    assert judgement.verdict is FAIL
    acked = len(story.acks)
    lost = {node: counted(judgement, "replica_lost", server=node) for node in ("n1", "n2", "n3")}
    assert {node: one.count for node, one in lost.items()} == {"n1": 0, "n2": acked, "n3": 0}
    assert not lost["n2"].at_least
    assert counted(judgement, "health_lied").count == 1
    assert not trouble(judgement, "stream-audit")
    assert any("n2 is well by its own word" in note for note in judgement.notes)


def test_a_stream_of_which_no_server_knows_is_lost_on_all() -> None:
    story = StreamStory(thresholds={"stream_lost": ["count == 0"]}).stream()
    story.gone.add(("ORDERS", None))
    judgement = judge(story.history())
    assert judgement.verdict is FAIL
    assert counted(judgement, "stream_lost").count == len(story.acks)
    assert {one.lost for one in shown(story).replicas} == {len(story.acks)}
    assert not trouble(judgement, "stream-audit")


def test_a_replica_whose_server_may_refuse_is_neither_there_nor_lost() -> None:
    story = StreamStory(thresholds={"stream_lost": ["count == 0"]}).stream()
    story.down["ORDERS", "n2"] = "snapshot corrupt"
    judgement = judge(story.history())
    assert judgement.verdict is PASS
    assert not counted(judgement, "stream_lost").at_least
    assert any("n2 is down and was not judged" in note for note in judgement.notes)


@pytest.mark.parametrize(("down", "verdict"), [(("n1", "n2", "n3"), INCONCLUSIVE), (("n2",), FAIL)])
def test_a_server_that_may_be_down_hides_neither_loss_elsewhere_nor_that_nothing_was_read(
    down: tuple[str, ...], verdict: Verdict
) -> None:
    story = StreamStory().stream().lose([5], "n3")
    story.down |= {("ORDERS", node): "snapshot corrupt" for node in down}
    assert judge(story.history()).verdict is verdict


def test_a_stream_without_any_audit_leaves_the_run_open() -> None:
    story = StreamStory(thresholds={"stream_lost": ["count == 0"]}).stream()
    story.stored.clear()
    story.events = [one for one in story.events if one["kind"] != "stream.created"]
    judgement = judge(story.history())
    assert judgement.verdict is INCONCLUSIVE
    assert "no replica of it was read" in trouble(judgement, "stream-audit")[0].detail
    assert "no value to judge" in trouble(judgement, "thresholds")[0].detail


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        ({"led": False}, "did not lead the stream while it was read"),
        ({"rows": 401}, "401 message(s) were read of it, and 400 are on record"),
        ({"sought": [1, 450]}, "400 message(s) were read of 450 sequence(s)"),
    ],
)
def test_a_reading_that_is_not_whole_says_nothing(reading: dict[str, Any], why: str) -> None:
    story = StreamStory().stream()
    story.readings["ORDERS", "n2"] = reading
    judgement = judge(story.history())
    assert judgement.verdict is INCONCLUSIVE
    assert why in trouble(judgement)[0].detail


def test_a_replica_whose_file_is_missing_says_nothing() -> None:
    story = StreamStory().stream()
    history = story.history()
    stored = history.iterations[0].stored
    assert isinstance(stored, dict)
    del stored["ORDERS", "n2"]
    judgement = judge(history)
    assert judgement.verdict is INCONCLUSIVE
    assert "what was read of it is missing or damaged" in trouble(judgement)[0].detail


def test_acknowledgements_that_make_no_sense_leave_the_run_open() -> None:
    story = StreamStory().stream()
    story.acks.pop(4)
    assert "where the stream keeps them is not on record" in (
        trouble(judge(story.history()), "stream-audit")[0].detail
    )
    story = StreamStory().stream()
    story.acks.append(replace(story.acks[4]))
    assert "1 acknowledgement(s) were written twice" in (
        trouble(judge(story.history()), "stream-audit")[0].detail
    )
    story = StreamStory().stream()
    story.acks.append(replace(story.acks[4], client=1))
    assert judge(story.history()).verdict is INCONCLUSIVE


def test_rows_missing_of_a_publisher_make_counts_lower_bounds() -> None:
    story = StreamStory(thresholds={"stream_lost": ["count == 0"]}).stream()
    story.sent = story.sent[:-50]
    story.acks = story.acks[:-50]
    story.broken_columns["orders-publishers"] = "cut short"
    judgement = judge(story.history())
    assert counted(judgement, "unexpected").count == 0
    assert judgement.verdict is INCONCLUSIVE


def test_a_message_that_a_consumer_never_delivered_is_lost_by_it() -> None:
    story = StreamStory().stream(consumers=("C1", "C2")).undelivered([9, 10], client=2)
    judgement = judge(story.history())
    assert judgement.verdict is FAIL
    assert counted(judgement, "consumer_lost") == Count(2, 800, 0, 800)
    (finding,) = trouble(judgement)
    assert "consumer ORDERS/C2 never delivered 2 message(s)" in finding.detail
    assert "sequences 9-10" in finding.detail


def test_what_one_of_several_clients_of_a_consumer_got_is_not_lost() -> None:
    story = StreamStory().stream(clients=3)
    assert counted(judge(story.history()), "consumer_lost") == Count(0, 400, 0, 400)


def test_what_is_absent_when_drain_broke_off_may_still_come() -> None:
    story = StreamStory(drained=False).stream().undelivered([9])
    judgement = judge(story.history())
    assert counted(judgement, "consumer_lost") == Count(1, 400, 1, 400)
    assert {one.verdict for one in trouble(judgement, "consumption")} == {INCONCLUSIVE}


@pytest.mark.parametrize("consumer", [{"ack_policy": "none"}, None])
def test_a_consumer_that_promises_nothing_is_only_noted(consumer: dict[str, Any] | None) -> None:
    story = StreamStory(thresholds={}).stream(consumer=consumer).undelivered([9])
    if consumer is None:  # the clients made it themselves
        story.events = [one for one in story.events if one["kind"] != "consumer.created"]
    judgement = judge(story.history())
    assert judgement.verdict is PASS
    assert "never delivered 1 message(s)" in judgement.notes[0]
    story.thresholds["consumer_lost"] = ["count == 0"]
    assert judge(story.history()).verdict is FAIL


def test_a_consumer_made_late_for_new_messages_need_not_deliver_older_ones() -> None:
    story = StreamStory().stream(consumer={"deliver_policy": "new"})
    for event in story.events:
        if event["kind"] == "consumer.created":
            event["at_ns"] = min(story.sent[100].row()[3], event["at_ns"] + 10**12)
    story.undelivered(range(1, 101))
    judgement = judge(story.history())
    assert judgement.verdict is PASS
    assert counted(judgement, "consumer_lost").of == 300
    assert judge(story.undelivered([101]).history()).verdict is FAIL


def test_a_consumer_need_not_deliver_what_its_filter_leaves_out() -> None:
    story = StreamStory().stream(consumer={"filter_subject": "other.>"}, subject="orders.x")
    story.undelivered(range(1, 401))
    assert trouble(judge(story.history()), "consumption") == []
    story = StreamStory().stream(consumer={"filter_subject": "orders.*"}, subject="orders.x")
    assert judge(story.undelivered([3]).history()).verdict is FAIL


@pytest.mark.parametrize("subjects", [["s.>"], ["s.*", "t.x"], ["s.orders"]])
def test_a_subject_that_is_left_out_is_the_streams_first_one_with_the_workloads_name(
    subjects: list[str],
) -> None:
    for filter_, delivers in (("s.orders", True), ("s.two", False), ("orders", False)):
        story = StreamStory().stream(consumer={"filter_subject": filter_}, subject=None)
        story.streams[0]["subjects"] = subjects
        story.workloads[0]["subject"] = None  # as a resolved scenario has it
        story.undelivered([3] if delivers else range(1, 401))
        verdict = judge(story.history()).verdict
        assert verdict is (FAIL if delivers else PASS), filter_


def test_a_consumer_is_not_missed_what_another_workload_publishes() -> None:
    story = StreamStory().stream(consumer={"filter_subject": "s.two"}, subject=None)
    story.streams[0]["subjects"] = ["s.>"]
    consumer = shown(story.undelivered(range(1, 401))).consumers[0]
    assert (consumer.expected, consumer.lost) == (0, 0)


def test_redeliveries_are_legal_and_counted_and_repeats_without_a_flag_are_duplicates() -> None:
    story = StreamStory().stream()
    story.consumed.append(replace(story.consumed[4], delivery=2, received=9.1))
    story.consumed.append(replace(story.consumed[5], received=9.2))
    judgement = judge(story.history())
    assert judgement.verdict is PASS
    assert counted(judgement, "redelivered").count == 1
    assert counted(judgement, "duplicates").count == 1
    assert counted(judgement, "out_of_order").count == 0
    story.thresholds["duplicates"] = ["count == 0"]
    assert judge(story.history()).verdict is FAIL


def test_places_that_a_stream_gives_out_again_are_new_places() -> None:
    story = StreamStory().stream()
    for one in story.consumed[250:]:  # the stream begins again with place 1
        one.place -= 250
    consumer = shown(story).consumers[0]
    assert (consumer.delivered, consumer.duplicates, consumer.out_of_order) == (400, 0, 0)
    story.consumed.append(replace(story.consumed[300], received=9.2))
    story.consumed[310].received = story.consumed[314].received + 0.0001
    consumer = shown(story).consumers[0]
    assert (consumer.delivered, consumer.duplicates, consumer.out_of_order) == (400, 1, 1)


def test_a_message_that_came_only_as_a_redelivery_was_delivered() -> None:
    story = StreamStory().stream()
    story.consumed[7].delivery = 2
    judgement = judge(story.history())
    assert judgement.verdict is PASS
    assert (counted(judgement, "redelivered").count, counted(judgement, "duplicates").count) == (
        1,
        0,
    )
    assert judgement.iterations[0].messages["all"]["delivered"] == 400
    assert sum(judgement.iterations[0].rate[2]) == 400
    assert shown(story).consumers[0].delivered == 400
    (whole,) = (one.detail for one in judgement.findings if one.check == "ledger")
    assert whole == "400 attempts and 400 deliveries, every row accounted for"


def test_a_first_delivery_that_its_redelivery_overtook_is_one_delivery_and_late() -> None:
    story = StreamStory().stream()
    story.consumed.append(replace(story.consumed[7], delivery=2))
    story.consumed[7].received = 9.1
    consumer = shown(story).consumers[0]
    assert (consumer.delivered, consumer.redelivered) == (400, 1)
    assert (consumer.duplicates, consumer.out_of_order) == (0, 1)


def test_a_first_delivery_behind_later_places_is_out_of_order_once() -> None:
    story = StreamStory().stream()
    story.consumed[10].received = story.consumed[14].received + 0.0001
    assert counted(judge(story.history()), "out_of_order").count == 1


def test_damaged_and_strange_deliveries_fail_the_run() -> None:
    story = StreamStory().stream()
    story.consumed.append(Consumed(1, 0, 3, 4, 9.0, integrity=Integrity.CORRUPTED))
    story.consumed.append(Consumed(1, 0, 9999, 5, 9.1))
    judgement = judge(story.history())
    assert counted(judgement, "corrupted").count == 1
    assert counted(judgement, "unexpected").count == 1
    assert len(trouble(judgement, "stream-integrity")) == 2


def test_clients_of_consumers_do_not_disturb_the_core_ledger() -> None:
    story = StreamStory().stream().core(1, 2)
    judgement = judge(story.history())
    assert judgement.verdict is PASS
    assert counted(judgement, "lost").of == 2 * 800
    assert judgement.iterations[0].messages["all"]["delivered"] == 2 * 800 + 400
    assert sum(judgement.iterations[0].rate[2]) == 2 * 800 + 400


def test_two_streams_are_told_apart() -> None:
    story = StreamStory().stream().stream("OTHER", nodes=("n1",)).lose([3], stream="OTHER")
    judgement = judge(story.history())
    assert counted(judgement, "stream_lost", stream="OTHER") == Count(1, 400, 0, 400)
    assert counted(judgement, "stream_lost", stream="ORDERS") == Count(0, 400, 0, 400)


def test_iterations_are_summed() -> None:
    good, bad = StreamStory(index=0).stream(), StreamStory(index=1).stream().lose([3], "n1")
    judgement = judge(tell_streams([good, bad]))
    assert [one.verdict for one in judgement.iterations] == [PASS, FAIL]
    assert counted(judgement, "stream_lost") == Count(1, 800, 0, 800)


def test_the_report_shows_every_replica_and_consumer() -> None:
    story = StreamStory().stream().lose(range(1, 6), "n2")
    story.unread["ORDERS", "n3"] = "silent"
    lines = list(describe_stream(shown(story)))
    assert lines == [
        "stream ORDERS: 400 acked, 5 lost",
        "  n1: 400 stored, 0 lost",
        "  n2: 395 stored, 5 lost (5 prefix), healthy by its own word",
        "  n3: NOT READ: silent",
        "  consumer C1: 400 delivered, 0 lost",
    ]


def test_a_replica_that_another_node_took_over_is_not_missed() -> None:
    story = StreamStory().stream()
    story.stored["ORDERS", "n4"] = story.stored.pop(("ORDERS", "n3"))
    assert judge(story.history()).verdict is PASS
    story.event(10.0, "audit.state", stream="ORDERS", node="n3", messages=400)
    (finding,) = trouble(judge(story.history()))
    assert finding.verdict is INCONCLUSIVE
    assert finding.detail == "ORDERS: the replica on n3 could not be judged: it was never read"


@pytest.mark.parametrize("told", ["nothing", "one"])
def test_fewer_replicas_than_the_stream_has_are_never_the_whole(told: str) -> None:
    story = StreamStory().stream()
    for event in list(story.events):
        if event["kind"] == "stream.created":
            event["replicas"] = ["n1"]
            if told == "nothing":
                story.events.remove(event)
    for node in ("n2", "n3"):
        del story.stored["ORDERS", node]
    judgement = judge(story.history())
    (finding,) = trouble(judgement)
    assert (finding.check, finding.verdict) == ("stream-audit", INCONCLUSIVE)
    assert finding.detail.endswith("1 of 3 replicas were read")


def test_what_a_leader_would_not_give_is_not_lost() -> None:
    story = StreamStory().stream().lose(range(5, 9), "n2")
    assert judge(story.history()).verdict is FAIL
    story.readings["ORDERS", "n2"] = {"refused": "JetStream system temporarily unavailable"}
    judgement = judge(story.history())
    assert judgement.verdict is INCONCLUSIVE
    assert counted(judgement, "stream_lost").count == 0


def test_an_acknowledgement_that_cannot_be_right_is_no_pass() -> None:
    story = StreamStory().stream()
    facts = {"client": "orders-publisher-1", "sequence": 3, "stream": "X", "stream_sequence": 4}
    story.event(3.0, "client.misacked", **facts)
    (finding,) = trouble(judge(story.history()))
    assert (finding.check, finding.verdict) == ("stream-audit", INCONCLUSIVE)
    assert "orders-publisher-1 was told that stream X has its message at 4" in finding.detail
