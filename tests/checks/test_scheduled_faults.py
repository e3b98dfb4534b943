"""Faults that were scheduled out of others: proven one by one, looked at together or apart."""

from __future__ import annotations

from story import Story

from harness.checks import judge
from harness.checks.base import Verdict
from harness.report.build import build

STEPS = ("flap.1", "flap.2", "flap.3")


def flapping(*, carried_out: int = 3) -> Story:
    """Tell of a step that repeats three times; each costs its clients a little more."""
    story = Story().core()
    for turn, name in enumerate(STEPS[:carried_out]):
        at = 4.0 + 0.6 * turn
        story.fault(name, "kill", at=at, heal=at + 0.4)
        for client in story.clients:
            story.failover(client["name"], at + 0.02, at + 0.1 * (turn + 1), server="n1")
    steps = [{"name": name, "action": "kill", "target": "n1", "at": "0s"} for name in STEPS]
    story.event(0.05, "faults.scheduled", steps=steps, drawn=False)
    written = {"name": "flap", "action": "kill", "repeat_every": "600ms", "times": 3}
    story.faults = [written]
    return story


def verdicts(story: Story) -> dict[str, Verdict]:
    judgement = judge(story.history())
    return {str(one.metric): one.verdict for one in judgement.findings if one.metric}


def assert_doubted(story: Story, words: str) -> None:
    judgement = judge(story.history())
    doubts = [one.detail for one in judgement.findings if one.verdict is Verdict.INCONCLUSIVE]
    assert any(words in doubt for doubt in doubts), doubts
    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_every_occurrence_needs_its_own_proof() -> None:
    story = flapping()
    findings = [one for one in judge(story.history()).findings if one.check == "proof"]
    assert [one.verdict for one in findings] == [Verdict.PASS] * 3
    assert [one.detail.split()[1] for one in findings] == list(STEPS)
    assert_doubted(flapping(carried_out=2), "fault flap.3 is not proven: it never started")


def test_an_occurrence_whose_effect_nobody_saw_is_not_proven() -> None:
    story = flapping()
    story.events = [
        one
        for one in story.events
        if not (one["kind"] == "fault.observed" and one["fault"] == "flap.2")
    ]
    assert_doubted(story, "no effect was observed at n1")


def test_a_step_of_which_nothing_was_scheduled_makes_the_run_inconclusive() -> None:
    story = flapping()
    story.faults = [*story.faults, {"name": "storm", "action": "random"}]
    assert_doubted(story, "nothing was scheduled of storm (random)")


def test_a_fault_that_is_not_on_the_schedule_is_still_judged() -> None:
    story = flapping().fault("stray", proof=False)
    story.faults = story.faults[:1]
    assert_doubted(story, "fault stray is not proven")


def test_a_label_pools_all_occurrences_or_picks_one() -> None:
    story = flapping()
    story.thresholds = {
        "failover_time{fault:flap}": ["n == 6"],
        "failover_time{fault:flap.3}": ["n == 2"],
        "recovery_time{fault:flap}": ["n == 3"],
        "recovery_time{fault:flood}": ["max < 9s"],
    }
    assert verdicts(story) == {
        "failover_time{fault:flap}": Verdict.PASS,
        "failover_time{fault:flap.3}": Verdict.PASS,
        "recovery_time{fault:flap}": Verdict.PASS,
        "recovery_time{fault:flood}": Verdict.INCONCLUSIVE,
    }
    history = story.history()
    metrics = build(history, judge(history)).metrics
    pooled = metrics["failover_time{fault:flap}"]
    assert (pooled.n, round(pooled.max or 0, 3)) == (6, 0.3)
    assert round(metrics["failover_time{fault:flap.3}"].min or 0, 3) == 0.3


def test_one_slow_occurrence_breaks_a_threshold_on_all_of_them() -> None:
    story = flapping()
    story.thresholds = {
        "failover_time{fault:flap}": ["max < 250ms"],
        "failover_time{fault:flap.1}": ["max < 250ms"],
    }
    assert verdicts(story) == {
        "failover_time{fault:flap}": Verdict.FAIL,
        "failover_time{fault:flap.1}": Verdict.PASS,
    }


def test_a_fault_of_that_very_name_is_not_pooled_with_others() -> None:
    story = Story().core().fault("cut", "kill", at=4.0, heal=4.4)
    story.fault("cut.1", "kill", at=5.0, heal=5.4)
    story.thresholds = {"recovery_time{fault:cut}": ["n == 1"]}
    assert verdicts(story) == {"recovery_time{fault:cut}": Verdict.PASS}


def test_the_report_shows_the_schedule_as_it_was_recorded() -> None:
    history = flapping().history()
    (iteration,) = build(history, judge(history)).iterations
    assert [step["name"] for step in iteration.schedule] == list(STEPS)
    assert [fault.name for fault in iteration.faults] == list(STEPS)
    assert "faults.scheduled" not in {one.kind for one in iteration.timeline}
    old = Story().core().fault().history()
    (iteration,) = build(old, judge(old)).iterations
    assert iteration.schedule == []
