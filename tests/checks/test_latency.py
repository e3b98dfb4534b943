from __future__ import annotations

from dataclasses import replace

import pytest
from story import Story

from harness.checks.base import Case
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
    story = Story().request().outcome(range(10), Outcome.UNKNOWN)
    assert values(story, "e2e_latency").n == 790
    assert values(story, "e2e_latency").bounds[-1] == pytest.approx(0.002)
    assert values(story, "service_latency").bounds[-1] == pytest.approx(0.002)


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
