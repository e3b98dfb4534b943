"""Checks that judge by themselves: traffic, proof, ledger, integrity, completion, coverage."""

from __future__ import annotations

from dataclasses import replace

import pytest
from guards import CHECKS, assert_inconclusive, findings, only
from story import Delivered, Sent, Story, tell

from harness.checks import judge
from harness.checks.base import Case, Verdict
from harness.history.tables import Integrity, Outcome


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_every_check_is_content_when_all_is_well(check: str) -> None:
    story = Story().core(2, 2).request().fault()
    for client in story.clients:
        story.failover(client["name"], 4.1, 4.2)
    assert {one.verdict for one in findings(check, story)} <= {Verdict.PASS}
    assert judge(story.history()).verdict is Verdict.PASS


def test_no_message_at_all_is_no_traffic() -> None:
    story = Story().core(traffic=False)
    assert only("traffic", story) == (
        Verdict.INCONCLUSIVE,
        "no traffic: 0 message(s) attempted, 0 delivered",
    )


def test_messages_that_all_vanish_are_no_traffic() -> None:
    assert_inconclusive("traffic", Story().core().drop(range(800)), "800 message(s) attempted, 0")


def test_a_sender_that_attempts_too_little_in_steady_is_named_with_its_numbers() -> None:
    story = Story().core(2, 1, 200)
    story.sent = [one for one in story.sent if one.client == 0 or one.sequence < 250]
    story.delivered = [one for one in story.delivered if one.sender == 0 or one.sequence < 250]
    assert_inconclusive(
        "traffic",
        story,
        "hello-publisher-2 attempted 150 of 200 messages asked for in steady: 75.0%",
    )


def test_too_little_accepted_in_steady_is_inconclusive() -> None:
    story = Story().core().outcome(range(100, 121), Outcome.REFUSED)
    assert_inconclusive("traffic", story, "accepted 179 of 200")
    nearly = Story().core().outcome(range(100, 120), Outcome.REFUSED)
    assert only("traffic", nearly)[0] is Verdict.PASS


def test_too_few_replies_in_steady_are_inconclusive() -> None:
    story = Story().request().outcome(range(100, 121), Outcome.UNKNOWN)
    assert_inconclusive("traffic", story, "ask-requester-1 accepted 179 of 200")


def test_too_little_delivered_in_steady_is_inconclusive() -> None:
    story = Story().core(1, 2).drop(range(100, 121), at=2)
    assert_inconclusive("traffic", story, "hello-subscriber-2 received 179 of 200")


def test_a_steady_phase_in_which_nothing_was_due_is_inconclusive() -> None:
    story = Story()
    story.phases["steady"] = story.phases["fault"] = 2.0
    assert_inconclusive("traffic", story.core(), "no message was due in steady")


def test_a_run_in_which_nothing_was_due_under_the_fault_is_inconclusive() -> None:
    story = Story().core(rate=1).fault(at=4.1, heal=4.9)
    assert_inconclusive("traffic", story, "no message was due under a fault, from the first hit")
    assert only("traffic", Story().core(rate=1).fault(at=4.1, heal=5.1))[0] is Verdict.PASS


def test_several_faults_are_exposed_from_the_first_hit_to_the_last_healing() -> None:
    story = Story().core(rate=1).fault(at=4.1, heal=4.5).fault("again", at=5.1, heal=5.5)
    assert only("traffic", story)[0] is Verdict.PASS


def test_a_recovery_in_which_nothing_was_due_is_inconclusive() -> None:
    story = Story()
    story.phases["recovery"] = 8.5
    story.core(rate=1).fault(heal=8.4)
    assert_inconclusive("traffic", story, "no message was due in recovery")


def test_a_recovery_that_was_not_asked_for_needs_no_message() -> None:
    story = Story()
    story.phases["recovery"] = story.phases["drain"]
    assert only("traffic", story.core(rate=1).fault(heal=8.4))[0] is Verdict.PASS


def test_a_late_sender_is_noted_and_not_judged() -> None:
    story = Story().core()
    for one in story.sent[100:110]:
        one.attempted += 0.08
        one.finished = one.attempted
    for delivery in story.delivered[100:110]:
        delivery.received += 0.08
    judgement = judge(story.history())
    assert judgement.verdict is Verdict.PASS
    (note,) = judgement.notes
    assert note.startswith("hello-publisher-1 was a late sender: 10 of 200 messages in steady")
    assert note.endswith("at worst 0.080 s")


def test_a_worker_that_never_said_done_leaves_the_ledger_open() -> None:
    story = Story().core()
    story.silent_workers.add("hello-subscribers")
    assert_inconclusive("ledger", story, "worker hello-subscribers: never said that it was done")


def test_a_worker_that_was_lost_leaves_the_ledger_open() -> None:
    story = Story().core()
    story.event(5.0, "worker.lost", worker="hello-publishers", returncode=-9)
    assert_inconclusive("ledger", story, "worker hello-publishers: ended before it was done")


def test_columns_that_are_cut_or_missing_leave_the_ledger_open() -> None:
    story = Story().core()
    story.broken_columns["hello-publishers"] = "the block at byte 8 fails its checksum"
    assert_inconclusive("ledger", story, "the block at byte 8 fails its checksum")
    story = Story().core()
    story.missing_columns.add("hello-subscribers")
    assert_inconclusive("ledger", story, "its columns file is missing")


def test_rows_said_and_rows_read_must_be_the_same() -> None:
    story = Story().core()
    story.said_rows["hello-publishers"] = {"sent": 801, "delivered": 0}
    assert_inconclusive("ledger", story, "(801, 0) rows (sent, delivered) by its own account")


def test_a_gap_in_the_sequence_numbers_leaves_the_ledger_open() -> None:
    story = Story().core()
    del story.sent[400:402]
    del story.delivered[400:402]
    assert_inconclusive("ledger", story, "hello-publisher-1 has 2 gap(s)")


def test_an_attempt_that_is_there_twice_leaves_the_ledger_open() -> None:
    story = Story().core()
    story.sent.append(replace(story.sent[400]))
    assert_inconclusive("ledger", story, "1 attempt(s) were written twice")


def test_rows_of_nobody_leave_the_ledger_open() -> None:
    story = Story().core()
    story.sent.append(Sent(9, 0, 2.0, 2.0, 2.0))
    story.delivered.append(Delivered(9, 0, 0, 2.0))
    assert_inconclusive("ledger", story, "2 row(s) belong to no planned client")


def test_what_cannot_be_leaves_the_ledger_open() -> None:
    story = Story().core()
    story.delivered[0].received = 0.99
    assert_inconclusive("ledger", story, "1 message(s) were received before they were attempted")
    story = Story().core()
    story.sent[0].finished = 0.5
    assert_inconclusive("ledger", story, "1 attempt(s) finished before they began")
    story = Story().core()
    story.sent[0].outcome = 9  # type: ignore[assignment]  # what a broken worker may write
    assert_inconclusive("ledger", story, "1 attempt(s) have an outcome that does not exist")


def test_an_attempt_that_never_finished_is_fine() -> None:
    story = Story().core()
    story.sent[-1].outcome, story.sent[-1].finished = Outcome.UNKNOWN, None
    assert only("ledger", story)[0] is Verdict.PASS


def test_a_damaged_payload_fails_the_run_without_any_threshold() -> None:
    story = Story().core()
    story.delivered[100].integrity = Integrity.CORRUPTED
    verdict, detail = only("integrity", story)
    assert verdict is Verdict.FAIL
    assert detail == (
        "hello-subscriber-1 received 1 damaged payload(s): the checksum does not hold; "
        "the first after 2.001 s"
    )
    assert judge(story.history()).verdict is Verdict.FAIL


def test_a_message_that_nobody_sent_fails_the_run_without_any_threshold() -> None:
    story = Story().core()
    story.delivered.append(Delivered(1, 0, 5000, 5.0))
    verdict, detail = only("integrity", story)
    assert verdict is Verdict.FAIL
    assert detail.endswith("the first after 5.000 s, as number 5000 of hello-publisher-1")


def test_a_server_that_exits_unasked_fails_the_run() -> None:
    story = Story().core()
    story.event(5.0, "server.exited", node="n2", returncode=-11, expected=False)
    story.event(5.1, "run.failed", error="ServerError", message="n2 exited", phase="fault")
    assert Verdict.FAIL in {one.verdict for one in findings("completion", story)}
    assert judge(story.history()).exit_code == 1


def test_a_server_that_crashes_when_it_is_asked_to_end_fails_the_run() -> None:
    story = Story().core()
    story.event(
        5.0, "server.exited", node="n2", returncode=2, expected=False, asked=["SIGTERM", "SIGKILL"]
    )
    verdict, detail = only("completion", story)
    assert verdict is Verdict.FAIL
    assert detail.endswith(
        "unasked with code 2 after 5.000 s, as no server does on SIGTERM or SIGKILL"
    )


def test_a_server_that_exits_as_asked_is_fine() -> None:
    story = Story().core()
    story.event(5.0, "server.exited", node="n2", returncode=0, expected=True)
    assert only("completion", story)[0] is Verdict.PASS


def test_trouble_of_worker_or_harness_is_inconclusive() -> None:
    story = Story(collected=False).core()
    story.event(5.0, "run.failed", error="WorkerError", message="went silent", phase="fault")
    assert_inconclusive("completion", story, "broke off in fault: WorkerError: went silent")


def test_a_record_that_just_ends_is_inconclusive() -> None:
    assert_inconclusive("completion", Story(collected=False).core(), "the record ends in drain")


def test_what_could_not_be_taken_away_is_inconclusive() -> None:
    story = Story().core()
    story.event(9.9, "run.left_behind", message="container x cannot be removed: busy")
    assert_inconclusive("completion", story, "left behind: container x cannot be removed: busy")


def test_accepted_messages_that_nobody_waits_for_are_inconclusive() -> None:
    story = Story().core()
    story.unconfirmed.add(("hello-subscriber-1", "hello-publisher-1"))
    assert_inconclusive("coverage", story, "800 accepted message(s) had no confirmed, open")


def test_a_pair_that_was_never_confirmed_is_inconclusive_though_another_hears_the_sender() -> None:
    story = Story().core(2, 2).drop(range(800), sender=1, at=2)
    story.unconfirmed.add(("hello-subscriber-1", "hello-publisher-2"))
    assert_inconclusive(
        "coverage", story, "hello-subscriber-1 was never confirmed to hear hello-publisher-2"
    )


def test_one_confirmed_member_of_a_queue_group_suffices() -> None:
    story = Story().core(1, 2, queue="workers")
    story.unconfirmed.add(("hello-subscriber-1", "hello-publisher-1"))
    assert findings("coverage", story) == []
    story.unconfirmed.add(("hello-subscriber-2", "hello-publisher-1"))
    assert_inconclusive("coverage", story, "had no confirmed, open subscription")


def test_a_subscription_that_gave_up_under_load_is_inconclusive() -> None:
    story = Story().core(1, 2).drop(range(400, 800), at=1)
    story.event(5.0, "client.closed", client="hello-subscriber-1")
    assert_inconclusive("coverage", story, "hello-subscriber-1 gave up for good after 5.000 s")


def test_a_client_that_is_not_back_by_the_end_is_inconclusive() -> None:
    story = Story().core().fault()
    story.event(5.0, "client.sign", client="hello-subscriber-1", sign="UnexpectedEOF")
    assert_inconclusive("coverage", story, "hello-subscriber-1 lost n1 at 5.000 s and was not")
    story.event(5.5, "client.reconnected", client="hello-subscriber-1", server="n2", attempts=1)
    assert findings("coverage", story) == []


def test_a_sender_that_hangs_to_the_end_is_inconclusive_though_nothing_was_lost() -> None:
    story = Story().core().fault()
    story.sent = [one for one in story.sent if one.intended < 4.5]
    story.delivered = [one for one in story.delivered if one.sequence < 350]
    assert_inconclusive("coverage", story, "hello-publisher-1 was stuck: 350 message(s) due")


def test_a_sender_that_the_stop_caught_a_little_behind_is_fine() -> None:
    story = Story().core()
    story.sent = [one for one in story.sent if one.intended < 8.5]
    story.delivered = [one for one in story.delivered if one.sequence < 750]
    assert findings("coverage", story) == []


def test_clients_that_close_when_the_load_is_over_are_fine() -> None:
    story = Story().core().request()
    for client in story.clients:
        story.event(9.9, "client.closed", client=client["name"])
    assert findings("coverage", story) == []


@pytest.mark.parametrize("name", ["ask-requester-1", "ask-responder-1", "hello-publisher-1"])
def test_a_client_of_any_role_that_gave_up_under_load_is_inconclusive(name: str) -> None:
    story = Story().core().request(1, 2).fault()
    story.event(5.0, "client.closed", client=name)
    assert_inconclusive("coverage", story, f"{name} gave up for good after 5.000 s")


def test_one_member_of_a_queue_group_that_gave_up_under_load_is_inconclusive() -> None:
    story = Story().core(1, 2, queue="workers").fault()
    story.event(5.0, "client.closed", client="hello-subscriber-2")
    assert_inconclusive("coverage", story, "hello-subscriber-2 gave up for good")


def test_a_client_that_was_away_and_gave_up_only_after_the_load_is_inconclusive() -> None:
    story = Story().core().fault()
    story.event(5.0, "client.sign", client="hello-publisher-1", sign="UnexpectedEOF")
    story.event(9.5, "client.closed", client="hello-publisher-1")
    assert_inconclusive("coverage", story, "hello-publisher-1 lost n1 at 5.000 s and was not")


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNKNOWN])
def test_a_sender_that_hardly_gets_anything_through_in_recovery_is_inconclusive(
    outcome: Outcome,
) -> None:
    story = Story().core().fault().outcome(range(500, 531), outcome)
    assert_inconclusive("traffic", story, "hello-publisher-1 accepted 269 of 300")
    nearly = Story().core().fault().outcome(range(500, 530), outcome)
    assert only("traffic", nearly)[0] is Verdict.PASS


@pytest.mark.parametrize("metric", ["refused", "unknown{phase:steady}", "lost", "failover_time"])
def test_a_threshold_may_answer_for_what_a_sender_could_not_send(metric: str) -> None:
    story = Story(thresholds={metric: ["count < 500"]}).core().fault()
    assert only("traffic", story.outcome(range(500, 700), Outcome.REFUSED))[0] is Verdict.PASS
    story.thresholds = {"duplicates": ["count == 0"]}
    assert only("traffic", story)[0] is Verdict.INCONCLUSIVE


def test_lag_under_load_is_noted_with_the_phase_it_fell_in() -> None:
    story = Story().core().fault()
    story.event(0.6, "worker.lagged", worker="hello-publishers", max_lag_s=0.9)
    story.event(3.0, "worker.lagged", worker="hello-publishers", max_lag_s=0.08)
    story.event(5.0, "worker.lagged", worker="hello-subscribers", max_lag_s=0.06)
    history = story.history()
    result = CHECKS["disturbance"].run(Case(history.iterations[0], history.scenario))
    assert result.facts["lags"]["steady"] == 0.08
    assert result.facts["lags"]["fault"] == 0.06
    assert result.facts["lags"]["under fault"] == 0.06
    assert [note.split("worker ")[1] for note in result.notes] == [
        "hello-publishers was up to 0.080 s late by its own clock",
        "hello-subscribers was up to 0.060 s late by its own clock",
    ]


def test_sequence_numbers_out_of_all_proportion_are_refused_and_never_pass() -> None:
    story = Story().core()
    story.sent.append(Sent(0, 2**60, 2.0, 2.0, 2.0))
    judgement = judge(story.history())
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert any("ValueError: sequence numbers reach" in one.detail for one in judgement.findings)


def test_two_iterations_are_told_apart() -> None:
    good, bad = Story(index=0).core(), Story(index=1).core()
    bad.delivered[0].integrity = Integrity.CORRUPTED
    judgement = judge(tell([good, bad]))
    assert [one.verdict for one in judgement.iterations] == [Verdict.PASS, Verdict.FAIL]
    assert {one.iteration for one in judgement.findings if one.verdict is Verdict.FAIL} == {1}
