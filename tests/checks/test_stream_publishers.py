"""Publishers to streams before the judges of all workloads: success is the acknowledgement."""

from __future__ import annotations

import pytest
from story import Sent, Story
from stream_story import StreamStory

from harness.checks import judge
from harness.checks.base import Case, Finding, Result, Verdict
from harness.checks.coverage import judge_coverage
from harness.checks.latency import judge_latency
from harness.checks.recovery import judge_recovery
from harness.checks.traffic import judge_traffic
from harness.checks.watchdog import judge_watchdog
from harness.history.tables import Outcome
from harness.stats.labelled import Count


def case(story: Story) -> Case:
    history = story.history()
    return Case(history.iterations[0], history.scenario)


def during(story: Story, start: float, end: float) -> list[Sent]:
    return [one for one in story.sent if start <= one.intended < end]


def unanswered(story: Story, start: float, end: float) -> Story:
    for one in during(story, start, end):
        one.outcome, one.finished = Outcome.UNKNOWN, one.intended + 0.1
    return story


def verdicts(result: Result) -> set[Verdict]:
    return {finding.verdict for finding in result.findings}


def test_a_run_on_a_stream_that_nobody_audited_is_inconclusive_for_that_alone() -> None:
    judgement = judge(Story().jetstream(publishers=2).fault().history())
    assert judgement.verdict is Verdict.INCONCLUSIVE, judgement.findings
    doubtful = {one.check for one in judgement.findings if one.verdict is not Verdict.PASS}
    assert doubtful <= {"stream-audit", "stream-loss", "consumption"}


def test_history_knows_the_stream_and_the_consumer() -> None:
    publisher, consumer = case(Story().jetstream()).iteration.clients
    assert (publisher.stream, publisher.consumer, publisher.asks) == ("S", None, True)
    assert (consumer.stream, consumer.consumer, consumer.asks) == ("S", "C1", False)
    assert not consumer.sends
    assert not consumer.receives


def test_an_outage_is_the_gap_between_acknowledgements() -> None:
    story = unanswered(Story().jetstream().fault(), 4.5, 5.25)
    found = judge_watchdog(case(story)).samples["outage_window"].select({"role": "publisher"})
    assert list(found.bounds) == pytest.approx([0.75], abs=1e-6)


def test_the_first_acknowledgement_counts_from_the_hit() -> None:
    story = unanswered(Story().jetstream().fault(), 4.0, 4.5)
    found = judge_watchdog(case(story)).samples["time_to_first_ack"].select({})
    assert list(found.bounds) == pytest.approx([0.502], abs=1e-6)
    assert found.censored == 0


def test_an_acknowledgement_that_never_comes_is_a_lower_bound() -> None:
    story = unanswered(Story().jetstream().fault(), 4.0, 9.0)
    found = judge_watchdog(case(story)).samples["time_to_first_ack"].select({})
    assert found.censored == 1


def test_recovery_waits_for_acknowledgements() -> None:
    story = unanswered(Story().jetstream().fault(), 4.0, 6.5)
    found = judge_recovery(case(story)).samples["recovery_time"].select({})
    assert list(found.bounds) == pytest.approx([0.48], abs=0.021)  # 99 % of 2 s
    assert found.censored == 0
    never = unanswered(Story().jetstream().fault(), 4.0, 9.0)
    assert judge_recovery(case(never)).samples["recovery_time"].select({}).censored == 1


def test_latency_ends_with_the_acknowledgement() -> None:
    story = unanswered(Story().jetstream(), 4.0, 5.0)
    found = judge_latency(case(story)).samples["service_latency"]
    assert max(found.select({"phase": "steady"}).bounds) == pytest.approx(0.002, abs=1e-6)
    assert found.select({"phase": "fault"}).censored == 100


def test_without_an_acknowledgement_there_was_no_traffic() -> None:
    story = unanswered(Story().jetstream(), 0.0, 10.0)
    (finding,) = judge_traffic(case(story)).findings
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "no traffic: 800 message(s) attempted, 0 delivered" in finding.detail


def test_too_few_acknowledgements_in_steady_are_too_little_traffic() -> None:
    story = unanswered(Story().jetstream(), 2.0, 2.5)
    findings: tuple[Finding, ...] = judge_traffic(case(story)).findings
    assert any("w-publisher-1 accepted 150 of 200" in one.detail for one in findings)


def test_an_election_that_lasts_into_recovery_is_no_lack_of_traffic() -> None:
    story = unanswered(Story().jetstream().fault(), 6.0, 7.0)
    assert verdicts(judge_traffic(case(story))) == {Verdict.PASS}
    nearly = unanswered(Story().jetstream().fault(), 6.0, 7.19)
    assert verdicts(judge_traffic(case(nearly))) == {Verdict.PASS}


def test_who_is_not_served_at_the_end_of_recovery_needs_a_threshold_that_answers_for_it() -> None:
    story = unanswered(Story().jetstream().fault(), 6.0, 7.25)
    (finding,) = judge_traffic(case(story)).findings
    assert "less than 90%" in finding.detail
    assert "in the last 2 s of recovery" in finding.detail
    assert verdicts(judge_traffic(case(story))) == {Verdict.INCONCLUSIVE}
    story.thresholds = {"unknown": ["ratio < 50%"]}
    assert verdicts(judge_traffic(case(story))) == {Verdict.PASS}


def test_what_a_stream_took_needs_no_subscription() -> None:
    assert judge_coverage(case(Story().jetstream(consumers=0))).findings == ()


def test_a_publisher_that_stuck_and_a_consumer_that_gave_up_leave_holes() -> None:
    story = Story().jetstream()
    story.sent = [one for one in story.sent if one.intended < 6.0]
    story.event(5.0, "client.closed", client="w-consumer-1")
    details = " ".join(finding.detail for finding in judge_coverage(case(story)).findings)
    assert "w-publisher-1 was stuck" in details
    assert "w-consumer-1 gave up for good" in details


def test_core_traffic_beside_a_stream_is_judged_as_before() -> None:
    story = Story().core().jetstream().fault()
    story.delivered = [one for one in story.delivered if not 4.5 <= one.received < 4.6]
    judgement = judge(story.history())
    lost = judgement.metrics["lost"].select({})
    assert isinstance(lost, Count)
    assert lost.count == 10
    assert lost.of == 800


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("failover_time", Verdict.INCONCLUSIVE),  # counts connections
        ("unknown{phase:fault}", Verdict.INCONCLUSIVE),
        ("unknown{workload:other}", Verdict.INCONCLUSIVE),
        ("unknown", Verdict.PASS),
        ("unknown{phase:recovery}", Verdict.PASS),
    ],
)
def test_a_stream_that_takes_nothing_in_recovery_has_not_recovered(
    text: str, verdict: Verdict
) -> None:
    story = StreamStory().stream(consumers=())
    recovery = story.phases["recovery"]
    story.become([one.sequence for one in story.sent if one.intended >= recovery], Outcome.UNKNOWN)
    metric = text.partition("{")[0]
    story.thresholds = {text: ["censored == 0" if metric == "failover_time" else "count >= 0"]}
    findings = [one for one in judge(story.history()).findings if one.check == "traffic"]
    assert [one.verdict for one in findings] == [verdict]
