from __future__ import annotations

from dataclasses import replace

import pytest
from story import Story

from harness.checks import judge
from harness.checks.base import Case, Verdict
from harness.checks.latency import judge_latency
from harness.history.tables import Outcome
from harness.stats.distribution import Distribution


def values(story: Story, metric: str, **labels: str) -> Distribution:
    history = story.history()
    result = judge_latency(Case(history.iterations[0], history.scenario))
    return result.samples[metric].select(labels)


def test_latency_counts_from_when_a_message_was_due() -> None:
    story = Story().core()
    for one in story.sent[:100]:
        one.attempted += 0.2
    for delivery in story.delivered[:100]:
        delivery.received += 0.25
    warmup = {"phase": "warmup"}
    assert values(story, "e2e_latency", **warmup).bounds[0] == pytest.approx(0.251)
    assert values(story, "service_latency", **warmup).bounds[0] == pytest.approx(0.051)
    assert values(story, "send_lateness", **warmup).bounds[0] == pytest.approx(0.2)
    assert values(story, "send_lateness", phase="steady").bounds[-1] == pytest.approx(0.0)


def test_each_destination_has_its_own_latency_and_duplicates_have_none() -> None:
    story = Story().core(1, 2)
    story.delivered.append(replace(story.delivered[0], received=8.0))
    assert values(story, "e2e_latency").n == 1600
    assert values(story, "e2e_latency").bounds[-1] < 0.1


def test_a_request_takes_until_its_reply() -> None:
    story = Story().request()
    assert values(story, "e2e_latency").n == 800
    assert values(story, "e2e_latency").bounds[-1] == pytest.approx(0.002)
    assert values(story, "service_latency").bounds[-1] == pytest.approx(0.002)


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.REFUSED])
def test_a_request_without_reply_took_at_least_until_it_finished(outcome: Outcome) -> None:
    story = Story().request().outcome(range(400, 410), outcome)
    for one in story.sent[400:410]:
        one.attempted, one.finished = one.intended + 0.1, one.intended + 0.5
    found = values(story, "e2e_latency")
    assert (found.n, found.censored) == (800, 10)
    assert found.bounds[-1] == pytest.approx(0.5)
    assert values(story, "service_latency").bounds[-1] == pytest.approx(0.4)


def test_a_request_that_never_finished_took_at_least_to_the_stop_of_the_load() -> None:
    story = Story().request().outcome([700], Outcome.UNKNOWN)
    story.sent[700].finished = None
    found = values(story, "e2e_latency", phase="recovery")
    assert (found.censored, found.bounds[-1]) == (1, pytest.approx(1.0))


def test_an_accepted_message_that_is_absent_took_at_least_to_the_stop_of_the_load() -> None:
    story = Story().core(1, 2).drop([600], at=1).drop([700])
    story.sent[600].attempted += 0.5
    e2e, service = values(story, "e2e_latency"), values(story, "service_latency")
    assert (e2e.n, e2e.censored) == (1600, 3)
    assert list(e2e.bounds[-3:]) == pytest.approx([1.0, 1.0, 2.0])
    assert list(service.bounds[-3:]) == pytest.approx([1.0, 1.0, 1.5])


def test_only_what_was_awaited_and_accepted_can_be_absent() -> None:
    story = Story().core(1, 2).drop(range(300, 320)).outcome(range(300, 320), Outcome.REFUSED)
    assert values(story, "e2e_latency").censored == 0
    story = Story().core(1, 2).drop(range(800), at=1)
    story.unconfirmed.add(("hello-subscriber-1", "hello-publisher-1"))
    assert values(story, "e2e_latency").censored == 0
    story = Story().core().drop([5])
    story.silent_workers.add("hello-subscribers")
    assert values(story, "e2e_latency").censored == 0


def test_a_queue_group_misses_a_message_once() -> None:
    assert values(Story().core(1, 3, queue="workers").drop([5]), "e2e_latency").censored == 1


@pytest.mark.parametrize("condition", ["p99 < 50ms", "max < 50ms", "max < 1h", "censored == 0"])
def test_latency_thresholds_do_not_pass_by_what_never_arrived(condition: str) -> None:
    story = Story(thresholds={"e2e_latency": [condition]}).core().fault().drop(range(400, 420))
    assert judge(story.history()).findings[0].verdict is not Verdict.PASS
    story = Story(thresholds={"service_latency": [condition]}).request().fault()
    story.outcome(range(400, 420), Outcome.UNKNOWN)
    assert judge(story.history()).findings[0].verdict is not Verdict.PASS


def test_latencies_are_told_apart_by_workload() -> None:
    story = Story().core().core(workload="other", rate=50)
    assert values(story, "e2e_latency", workload="other").n == 400
    assert values(story, "send_lateness", workload="hello").n == 800


def test_what_was_due_long_before_the_stop_and_never_sent_is_a_lower_bound() -> None:
    story = Story().core()
    story.sent = [one for one in story.sent if one.intended < 8.0]
    found = values(story, "send_lateness")
    assert found.censored == 90
    assert found.bounds[-1] == pytest.approx(1.0)
    assert values(story, "send_lateness", phase="recovery").censored == 90


def test_what_the_stop_cut_off_is_not_late() -> None:
    story = Story().core()
    story.sent.pop()
    assert values(story, "send_lateness").censored == 0
