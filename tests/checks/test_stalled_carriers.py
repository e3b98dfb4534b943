"""Disturbance: the wire or the proxies stood still, and all that they carry with them."""

from __future__ import annotations

import pytest
from guards import assert_inconclusive, findings
from story import Story, ns, tell
from told_reports import report_on

from harness.checks import judge
from harness.checks.base import Verdict
from harness.history.tables import Integrity


def lagged(story: Story, from_: float, to: float, part: str = "wire") -> Story:
    story.event(to, f"{part}.lagged", from_ns=ns(from_), max_lag_s=to - from_)
    return story


def harmed(**thresholds: list[str]) -> Story:
    """Lose messages and a connection in the fault phase, which no fault explains."""
    limits = {"lost{phase:fault}": ["count == 0"], "disconnects{explained:no}": ["count == 0"]}
    story = Story(thresholds=thresholds or limits).core().fault(nodes=["n2"])
    return story.failover("hello-publisher-1", 4.5, 4.7).drop(range(350, 360))


@pytest.mark.parametrize(
    ("part", "words"),
    [("wire", "the wire stood still for 800 ms"), ("proxies", "the proxies stood still for 800")],
)
def test_what_fails_after_the_links_stood_still_is_inconclusive(part: str, words: str) -> None:
    assert judge(harmed().history()).verdict is Verdict.FAIL
    story = lagged(harmed(), 4.2, 5.0, part)
    assert_inconclusive("disturbance", story, words)
    report = report_on(story)
    assert report.iterations[0].disturbance.lag == 0.8
    assert any("up to 0.800 s late by its own clock" in one for one in report.warnings)


def test_a_short_stall_is_a_measuring_error_of_times_and_no_more() -> None:
    story = Story(thresholds={"e2e_latency": ["max < 200ms"]}).core().fault()
    story.delivered[320].received += 0.3
    assert judge(story.history()).verdict is Verdict.FAIL
    lagged(story, 4.2, 4.4)
    assert findings("disturbance", story) == []
    assert judge(story.history()).verdict is Verdict.INCONCLUSIVE
    assert judge(lagged(harmed(), 4.2, 4.4).history()).verdict is Verdict.FAIL


def test_no_stall_excuses_a_payload_that_was_damaged() -> None:
    story = lagged(harmed(corrupted=["count == 0"]), 4.2, 5.0)
    story.delivered[20].integrity = Integrity.CORRUPTED
    verdicts = {one.verdict for one in judge(story.history()).findings if one.metric}
    assert verdicts == {Verdict.FAIL}


def test_an_iteration_without_a_stall_fails_the_run_by_itself() -> None:
    stalled, sound = lagged(harmed(), 4.2, 5.0), harmed()
    sound.index = 1
    for event in sound.events:
        event["iteration"] = 1
    judgement = judge(tell([stalled, sound]))
    assert judgement.verdict is Verdict.FAIL
    assert [one.verdict for one in judgement.iterations] == [Verdict.INCONCLUSIVE, Verdict.FAIL]
    fine = Story(index=1, thresholds=stalled.thresholds).core().fault(nodes=["n2"])
    assert judge(tell([stalled, fine])).verdict is Verdict.INCONCLUSIVE


def test_what_failed_in_a_phase_before_the_stall_fails() -> None:
    story = lagged(harmed(**{"lost{phase:fault}": ["count == 0"]}), 6.5, 7.5)
    assert judge(story.history()).verdict is Verdict.FAIL


def test_a_stall_after_the_end_or_before_the_load_is_nothing() -> None:
    assert findings("disturbance", lagged(lagged(harmed(), 0.1, 0.9), 10.0, 11.0)) == []
