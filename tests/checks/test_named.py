"""Named messages before the judges: each is told of, and few messages are not too few."""

from __future__ import annotations

from typing import Any

import pytest
from guards import assert_inconclusive, findings
from story import Delivered, Story, tell

from harness.checks import judge
from harness.checks.base import Case, Result, Verdict
from harness.checks.failover import judge_failover
from harness.checks.named import judge_named
from harness.checks.recovery import judge_recovery
from harness.checks.watchdog import judge_watchdog
from harness.history.ledger import open_ledger
from harness.history.tables import Outcome

# Traffic lasts from 1 s to 9 s; steady begins at 2 s, the fault phase at 4 s, recovery at 6 s.
GUIDE = [("first", 1.5), ("second", 2.0), ("again", 3.5), ("again", 4.5)]


def guide(subscribers: int = 1, **more: Any) -> Story:
    """Return a story with the guide's messages, beside traffic with a rate, under a fault."""
    return Story(**more).core().named(GUIDE, subscribers).fault()


def case(story: Story) -> Case:
    history = story.history()
    return Case(history.iterations[0], history.scenario)


def told(story: Story) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = judge_named(case(story)).facts["named"]
    return found


def fates(story: Story, subscriber: int = 0) -> list[str]:
    return [one["subscribers"][subscriber]["fate"] for one in told(story)]


def sender(story: Story) -> int:
    return story.id_of("guide-publisher-1")


def test_each_message_is_told_with_its_time_and_what_became_of_it() -> None:
    shown = told(guide())
    assert [one["text"] for one in shown] == ["first", "second", "again", "again"]
    assert [one["due"] for one in shown] == pytest.approx([2.5, 3.0, 4.5, 5.5])
    assert [one["phase"] for one in shown] == ["steady", "steady", "fault", "fault"]
    assert {(one["publisher"], one["server"], one["outcome"]) for one in shown} == {
        ("guide-publisher-1", "n1", "accepted")
    }
    (fate,) = shown[2]["subscribers"]
    assert (fate["name"], fate["server"], fate["fate"], fate["copies"]) == (
        "guide-subscriber-1", "n1", "delivered", 1,
    )  # fmt: skip
    assert fate["latency"] == pytest.approx(0.001, abs=1e-6)
    assert judge(guide().history()).verdict is Verdict.PASS


def test_a_run_without_named_messages_tells_of_none() -> None:
    assert judge_named(case(Story().core())) == Result()


def test_a_lost_message_is_told_where_it_was_lost_and_counts_as_lost() -> None:
    story = guide(2, thresholds={"lost{workload:guide}": ["count == 0"]})
    story.drop([2], sender=sender(story), at=story.id_of("guide-subscriber-2"))
    assert fates(story, 0) == ["delivered"] * 4
    assert fates(story, 1) == ["delivered", "delivered", "lost", "delivered"]
    judged = judge(story.history())
    assert judged.verdict is Verdict.FAIL
    assert judged.iterations[0].messages["all"]["lost"] == 1


def test_the_losses_told_are_those_that_are_counted() -> None:
    story = guide(3)
    story.drop([1, 3], sender=sender(story))
    lost = sum(one["fate"] == "lost" for name in told(story) for one in name["subscribers"])
    assert lost == judge(story.history()).iterations[0].messages["all"]["lost"] == 6


@pytest.mark.parametrize(
    ("outcome", "name", "fate"),
    [(Outcome.REFUSED, "refused", "not-sent"), (Outcome.UNKNOWN, "unknown", "not-delivered")],
)
def test_a_message_that_was_not_accepted_is_not_lost(
    outcome: Outcome, name: str, fate: str
) -> None:
    story = guide()
    story.outcome([3], outcome, sender=sender(story)).drop([3], sender=sender(story))
    assert told(story)[3]["outcome"] == name
    assert fates(story)[3] == fate
    assert judge(story.history()).iterations[0].messages["all"]["lost"] == 0


def test_an_unknown_message_that_came_was_delivered() -> None:
    story = guide()
    story.outcome([3], Outcome.UNKNOWN, sender=sender(story))
    assert fates(story)[3] == "delivered"


def test_a_message_that_came_twice_is_told_so() -> None:
    story = guide()
    story.delivered.append(Delivered(story.id_of("guide-subscriber-1"), sender(story), 0, 2.6))
    assert [one["subscribers"][0]["copies"] for one in told(story)] == [2, 1, 1, 1]


def test_an_unconfirmed_subscription_is_told() -> None:
    story = guide()
    story.unconfirmed.add(("guide-subscriber-1", "guide-publisher-1"))
    story.drop([0, 1, 2, 3], sender=sender(story))
    assert set(fates(story)) == {"not-confirmed"}


def test_a_subscriber_that_gave_up_is_told() -> None:
    story = guide().drop([3], sender=0)
    story.drop([3], sender=sender(story))
    story.event(5.0, "client.closed", client="guide-subscriber-1")
    assert fates(story) == ["delivered", "delivered", "delivered", "closed"]


def test_what_may_only_be_late_is_uncertain() -> None:
    story = guide(drained=False)
    story.drop([1, 3], sender=sender(story))
    assert fates(story) == ["delivered", "lost", "delivered", "uncertain"]


def test_with_rows_missing_absence_says_nothing() -> None:
    story = guide()
    story.drop([3], sender=sender(story)).broken_columns["guide-subscribers"] = "cut short"
    assert fates(story)[3] == "unrecorded"
    story = guide()
    story.sent = [one for one in story.sent if (one.client, one.sequence) != (sender(story), 3)]
    story.drop([3], sender=sender(story)).broken_columns["guide-publishers"] = "cut short"
    assert told(story)[3]["outcome"] == "unrecorded"
    assert fates(story)[3] == "unrecorded"


@pytest.mark.parametrize("last", [4.5, 7.99])
def test_a_message_that_was_never_attempted_is_inconclusive(last: float) -> None:
    story = Story().core().named([("first", 1.5), ("again", last)]).fault()
    story.sent = [one for one in story.sent if (one.client, one.sequence) != (sender(story), 1)]
    story.drop([1], sender=sender(story))
    assert told(story)[1]["outcome"] == "not-attempted"
    assert fates(story) == ["delivered", "not-sent"]
    assert_inconclusive("named", story, "'again': due after ")


def test_a_message_that_the_load_did_not_live_to_see_is_inconclusive() -> None:
    story = Story().core().named([("first", 1.5), ("again", 8.5)]).fault()
    assert told(story)[1]["phase"] is None
    assert_inconclusive("named", story, "'again': the load ended before it was due")


def test_the_server_is_none_while_there_is_no_connection() -> None:
    story = guide().failover("guide-publisher-1", 5.2, 5.8)
    assert [one["server"] for one in told(story)] == ["n1", "n1", "n1", None]


def test_a_few_messages_are_not_too_little_traffic() -> None:
    assert {one.verdict for one in findings("traffic", guide())} == {Verdict.PASS}
    assert {one.verdict for one in findings("coverage", guide())} == set()


def test_a_named_message_that_is_missing_in_steady_is_too_little() -> None:
    story = guide()
    story.drop([0], sender=sender(story))
    assert_inconclusive("traffic", story, "guide-subscriber-1 received 1 of 2 messages accepted")


def test_named_messages_alone_leave_recovery_untested() -> None:
    story = Story().named(GUIDE).fault()
    assert_inconclusive("traffic", story, "no message was due in recovery")


def test_named_messages_in_the_fault_alone_leave_steady_untested() -> None:
    story = Story().named([("again", 3.5)]).fault()
    assert_inconclusive("traffic", story, "no message was due in steady")


def test_time_without_messages_is_no_outage_and_no_slow_recovery() -> None:
    watched = judge_watchdog(case(guide()))
    assert all(not name.startswith("guide") for name in watched.facts["watchdog"])
    for metric in ("outage_window", "time_to_first_delivery"):
        assert watched.samples[metric].select({"workload": "guide"}).n == 0
        assert watched.samples[metric].select({"workload": "hello"}).n > 0
    recovered = judge_recovery(case(guide())).samples["recovery_time"]
    assert recovered.select({"workload": "guide"}).n == 0
    assert recovered.select({"workload": "hello"}).n == 1


def test_a_hung_server_that_nobody_noticed_is_not_called_silence() -> None:
    story = guide().partition("hang", at=4.4, heal=5.9, groups=["guide-publishers"], node="n1")
    shown = judge_failover(case(story)).facts["disconnects"]["guide-publisher-1"]
    assert [one["sign"] for one in shown if one["fault"] == "hang"] == [None]


def test_what_they_cannot_show_cannot_make_a_threshold_pass() -> None:
    asked = {"outage_window": ["max < 1s"], "recovery_time": ["max < 1s"]}
    story = Story(thresholds=asked).named([*GUIDE, ("late", 6.0)]).fault()
    assert judge(story.history()).verdict is Verdict.INCONCLUSIVE


def test_due_messages_are_counted_by_phase() -> None:
    ledger = open_ledger(guide().history().iterations[0])
    (client,) = (one for one in ledger.senders if one.listed)
    assert ledger.due_by_phase(client) == {
        "warmup": 0, "steady": 2, "fault": 2, "recovery": 0, "drain": 0,
    }  # fmt: skip
    iteration = ledger.iteration
    at_ns = [int(one) for one in iteration.listed_ns(client)]
    assert iteration.due(client, at_ns[0], at_ns[3]) == 3
    assert iteration.due(client, at_ns[0] + 1, at_ns[3] + 1) == 3


def test_a_history_of_before_listed_messages_is_judged_as_it_was() -> None:
    story = Story().core().fault()
    assert all("due_s" not in one for one in story.clients)
    judged = judge(tell([story]))
    assert judged.verdict is Verdict.PASS
    assert all(one.check != "named" for one in judged.findings)
