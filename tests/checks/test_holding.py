"""Holding, and the main process standing still: faults that were held longer than asked."""

from __future__ import annotations

from guards import CHECKS, assert_inconclusive, findings
from story import Story, ns

from harness.checks import judge
from harness.checks.base import Case, Result, Verdict


def held(story: Story, hold_s: float, fault: str = "stop-seed") -> Story:
    """Let the harness say for how long a fault was to be held."""
    for event in story.events:
        if event["kind"] == "fault.injected" and event["fault"] == fault:
            event["hold_s"] = hold_s
    return story


def lagged(story: Story, from_: float, to: float, part: str = "harness") -> Story:
    story.event(to, f"{part}.lagged", from_ns=ns(from_), max_lag_s=to - from_)
    return story


def result(check: str, story: Story) -> Result:
    history = story.history()
    return CHECKS[check].run(Case(history.iterations[0], history.scenario))


def test_a_fault_that_was_held_as_long_as_asked_needs_no_word() -> None:
    assert result("holding", held(Story().core().fault(), 1.89)) == Result()
    assert result("holding", held(Story().core().fault(), 1.7)).notes == ()


def test_a_harness_that_stood_still_held_the_fault_too_long() -> None:
    story = lagged(held(Story().core().fault(), 0.4), 4.02, 5.8)
    assert_inconclusive("holding", story, "was held 1.49 s longer than asked: the harness itself")


def test_a_long_hold_that_the_harness_was_not_late_for_is_noted() -> None:
    found = result("holding", held(Story().core().fault(), 0.4))
    assert found.findings == ()
    assert found.notes == ("stop-seed was held 1.49 s longer than asked",)
    assert result("holding", lagged(held(Story().core().fault(), 0.4), 4.1, 4.2)).findings == ()


def test_a_stall_in_the_middle_of_a_hold_changes_nothing_of_it() -> None:
    assert result("holding", lagged(held(Story().core().fault(), 1.85), 4.2, 5.2)) == Result()


def test_a_stall_between_hit_and_effect_or_in_the_heal_counts() -> None:
    story = Story().core().fault()
    for event in story.events:
        if event["kind"] in ("fault.observed", "fault.injected") and event.get("edge") != "undo":
            event["at_ns"] = ns(5.0)
    assert_inconclusive("holding", lagged(held(story, 0.89), 4.1, 4.9), "held 810 ms longer")
    story = Story().core().fault(heal=5.0)
    for event in story.events:
        if event["kind"] == "fault.healed" or event.get("edge") == "undo":
            event["at_ns"] = ns(5.9)
    assert_inconclusive("holding", lagged(held(story, 0.89), 5.0, 5.8), "held 800 ms longer")


def test_a_fault_that_ends_by_itself_lasts_longer_by_every_stall() -> None:
    assert_inconclusive("holding", lagged(Story().core().fault(), 4.2, 5.2), "held 1 s longer")
    assert findings("holding", lagged(Story().core().fault(), 4.2, 4.4)) == []


def test_a_fault_that_began_later_than_planned_is_noted() -> None:
    story = Story().core().fault()
    for event in story.events:
        if event["kind"] == "fault.inject_started":
            event["behind_s"] = 0.6
    assert result("holding", story).notes == ("stop-seed began 600 ms later than planned",)


def lost(story: Story) -> Story:
    """Lose ten messages in the fault phase, of which the scenario allows none."""
    story.thresholds = {"lost{phase:fault}": ["count == 0"], "disconnects": ["count == 0"]}
    story.failover("hello-publisher-1", 4.5, 4.7)
    return story.drop(range(350, 360))


def test_what_fails_after_the_harness_held_a_fault_too_long_is_inconclusive() -> None:
    assert judge(lost(held(Story().core().fault(), 0.4)).history()).verdict is Verdict.FAIL
    story = lagged(held(lost(Story().core().fault()), 0.4), 4.02, 5.8)
    judgement = judge(story.history())
    assert judgement.verdict is Verdict.INCONCLUSIVE
    thresholds = [one for one in judgement.findings if one.metric]
    assert {one.verdict for one in thresholds} == {Verdict.INCONCLUSIVE}
    assert all("which may be why" in one.detail for one in thresholds)


def test_what_failed_before_or_cannot_come_of_a_stall_fails_all_the_same() -> None:
    story = lagged(held(Story().core().fault(), 0.4), 4.02, 5.8)
    story.thresholds = {"lost{phase:steady}": ["count == 0"]}
    assert judge(story.drop(range(150, 152)).history()).verdict is Verdict.FAIL


def test_lags_of_the_main_process_widen_times_from_the_first_injection_on() -> None:
    story = lagged(lagged(Story().core().fault(), 2.5, 3.5), 4.2, 4.4)
    found = result("disturbance", story)
    assert found.facts["lags"]["steady"] == 0.0
    assert found.facts["lags"]["under fault"] == 0.2
    assert found.facts["lags"]["fault"] == 0.0  # messages are timed by workers alone
    assert found.notes == (
        "the harness was disturbed: its main process was up to 0.200 s late by its own clock",
    )
