from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from story import Story, tell

import harness.checks
from harness.checks import CHECKS, ITERATION_CHECKS, judge
from harness.checks.base import Case, Check, Result, Verdict, worst
from harness.report.build import build
from harness.scenario.metrics import METRICS
from harness.stats.distribution import Distribution
from harness.stats.labelled import Count

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def test_the_worst_verdict_counts() -> None:
    assert worst([]) is PASS
    assert worst([PASS, INCONCLUSIVE]) is INCONCLUSIVE
    assert worst([FAIL, INCONCLUSIVE, PASS]) is FAIL


def test_every_metric_is_computed_by_exactly_one_check() -> None:
    declared = Counter(name for check in ITERATION_CHECKS for name in check.metrics)
    assert declared == dict.fromkeys(METRICS, 1)


def test_every_check_computes_the_metrics_it_declares_and_no_other() -> None:
    history = Story().core().request().fault().history()
    for check in ITERATION_CHECKS:
        result = check.run(Case(history.iterations[0], history.scenario))
        assert {*result.tallies, *result.samples} == set(check.metrics), check.name


def test_what_a_check_adds_to_is_computed_by_another() -> None:
    declared = {name for check in ITERATION_CHECKS for name in check.metrics}
    for check in ITERATION_CHECKS:
        assert set(check.adds) <= declared - set(check.metrics), check.name


def test_metrics_have_the_labels_that_thresholds_may_select_by() -> None:
    story = Story().core().request().fault()
    for client in story.clients:
        story.failover(client["name"], 4.1, 4.2)
    judgement = judge(story.history())
    for name, metric in METRICS.items():
        for label in metric.labels:
            judgement.metrics[name].select({label: "nothing"})


def test_every_check_that_exists_is_registered() -> None:
    folder = Path(harness.checks.__file__).parent
    with_check = {
        path.stem
        for path in folder.glob("*.py")
        if any(
            isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CHECK"
            for node in ast.parse(path.read_text(encoding="utf-8")).body
        )
    }
    registered = {module.__name__.rpartition(".")[2] for module in CHECKS}
    assert registered == with_check | {"thresholds"}


def test_a_check_that_raises_makes_the_run_inconclusive_and_says_what_it_raised() -> None:
    def crash(case: Case) -> Result:
        raise KeyError("no such thing")

    judgement = judge(Story().core().history(), [*ITERATION_CHECKS, Check("odd", crash)])
    assert judgement.verdict is INCONCLUSIVE
    finding = next(one for one in judgement.findings if one.check == "odd")
    assert finding.detail == "the check itself crashed: KeyError: 'no such thing'"


def test_thresholds_on_the_metrics_of_a_crashed_check_have_no_value() -> None:
    def crash(case: Case) -> Result:
        raise ZeroDivisionError

    story = Story(thresholds={"lost": ["count == 0"]}).core()
    checks = [
        replace(check, run=crash) if check.name == "accounting" else check
        for check in ITERATION_CHECKS
    ]
    judgement = judge(story.history(), checks)
    assert judgement.findings[0].verdict is INCONCLUSIVE
    assert judgement.findings[0].detail == "lost: count == 0: there is no value to judge"


def test_a_broken_threshold_fails_the_run() -> None:
    story = Story(thresholds={"lost": ["count == 0", "ratio < 1%"]}).core().drop([5])
    judgement = judge(story.history())
    assert [one.verdict for one in judgement.findings[:2]] == [FAIL, PASS]
    assert (judgement.verdict, judgement.exit_code) == (FAIL, 1)


@pytest.mark.parametrize("trouble", ["lost", "miscounted", "silent", "cut"])
def test_where_rows_may_be_missing_absence_fails_nothing(trouble: str) -> None:
    story = Story(thresholds={"lost": ["count == 0"], "outage_window": ["max < 1s"]})
    story.core().fault().silence(4.0, 9.0)
    worker = "hello-subscribers"
    if trouble == "lost":
        story.event(5.0, "worker.lost", worker=worker, returncode=-9)
    elif trouble == "miscounted":
        story.said_rows[worker] = {"sent": 0, "delivered": 800}
    elif trouble == "silent":
        story.silent_workers.add(worker)
    else:
        story.broken_columns[worker] = "cut short"
    judgement = judge(story.history())
    assert judgement.verdict is INCONCLUSIVE
    assert {one.verdict for one in judgement.findings[:2]} == {INCONCLUSIVE}


@pytest.mark.parametrize(("verdict", "code"), [(PASS, 0), (FAIL, 1), (INCONCLUSIVE, 3)])
def test_the_exit_code_follows_the_verdict(verdict: Verdict, code: int) -> None:
    judgement = judge(Story().core().history())
    assert replace(judgement, verdict=verdict).exit_code == code


def test_an_interrupted_run_never_passes_and_exits_130() -> None:
    story = Story().core()
    story.event(9.9, "run.interrupted", by="SIGINT")
    judgement = judge(story.history())
    assert (judgement.verdict, judgement.exit_code) == (INCONCLUSIVE, 130)
    assert any(one.check == "interrupted" for one in judgement.findings)


def test_a_run_interrupted_in_the_middle_of_load_fails_nothing_it_could_not_see() -> None:
    story = Story(
        drained=False,
        collected=False,
        thresholds={"failover_time": ["n >= 1", "max < 1s"], "lost": ["count == 0"]},
    ).core().fault(heal=8.0).silence(4.0, 9.0)  # fmt: skip
    for phase in ("recovery", "drain"):
        del story.phases[phase]
    story.sent = [one for one in story.sent if one.intended < 4.5]
    story.event(4.5, "run.interrupted", by="SIGTERM")
    judgement = judge(story.history())
    assert {one.verdict for one in judgement.findings if one.check == "thresholds"} == {
        INCONCLUSIVE
    }
    assert judgement.exit_code == 130


def test_a_run_without_any_iteration_is_inconclusive() -> None:
    history = replace(Story().history(), iterations=())
    assert judge(history).verdict is INCONCLUSIVE


def test_iterations_that_were_never_begun_make_the_run_inconclusive() -> None:
    story = Story(repeat=3).core()
    judgement = judge(story.history())
    assert judgement.verdict is INCONCLUSIVE
    assert "1 of 3 iteration(s) were begun" in {one.detail for one in judgement.findings}


def test_a_damaged_record_of_events_makes_the_run_inconclusive() -> None:
    history = replace(Story().core().history(), problems=("events.jsonl: 1 broken line(s)",))
    assert judge(history).verdict is INCONCLUSIVE


def test_counters_sum_and_distributions_pool_over_iterations() -> None:
    stories = []
    for index, lost in enumerate((1, 2)):
        story = Story(index=index).core().fault().drop(range(lost))
        stories.append(story.failover("hello-publisher-1", 4.1, 4.2 + index))
    judgement = judge(tell(stories))
    gone = judgement.metrics["lost"].select({})
    assert isinstance(gone, Count)
    assert gone.count == 3
    times = judgement.metrics["failover_time"].select({"role": "publisher"})
    assert isinstance(times, Distribution)
    assert list(times.bounds) == pytest.approx([0.2, 1.2])


def test_an_iteration_answers_for_a_threshold_only_if_the_run_breaks_it_too() -> None:
    def three(worst_s: float, condition: str) -> list[Story]:
        stories = []
        for index, back_s in enumerate((0.2, 0.3, worst_s)):
            story = Story(index=index, thresholds={"failover_time": [condition]}).core().fault()
            story.failover("hello-publisher-1", 4.1, 4.0 + back_s)
            stories.append(story.failover("hello-subscriber-1", 4.1, 4.0 + back_s))
        return stories

    tolerated = judge(tell(three(1.5, "p50 < 1s")))
    assert tolerated.verdict is PASS
    assert [one.verdict for one in tolerated.iterations] == [PASS, PASS, PASS]
    broken = judge(tell(three(1.5, "max < 1s")))
    assert broken.verdict is FAIL
    assert [one.verdict for one in broken.iterations] == [PASS, PASS, FAIL]


def test_the_verdict_is_never_better_than_that_of_any_iteration() -> None:
    stories = [Story(index=index).core() for index in range(3)]
    stories[1].silent_workers.add("hello-publishers")
    judgement = judge(tell(stories))
    assert judgement.verdict is worst(one.verdict for one in judgement.iterations)
    assert judgement.iterations[1].verdict is INCONCLUSIVE


def test_warnings_of_the_scenario_come_first_among_the_notes() -> None:
    judgement = judge(tell([Story().core()], warnings=["too short"]))
    assert judgement.notes == ("too short",)


def test_messages_are_summed_up_by_phase() -> None:
    story = Story().core(1, 2).drop([150]).drop([400], at=1)
    messages = judge(story.history()).iterations[0].messages
    assert list(messages) == ["all", "warmup", "steady", "fault", "recovery", "drain"]
    assert messages["steady"] == {
        "intended": 200, "attempted": 200, "accepted": 200, "acked": 0, "expected": 400,
        "delivered": 398, "lost": 2, "unknown": 0, "recovered": 0, "refused": 0,
        "duplicates": 0, "out_of_order": 0,
    }  # fmt: skip
    assert messages["all"]["lost"] == 3
    assert messages["all"]["corrupted"] == 0


def test_the_rate_counts_first_arrivals_over_time() -> None:
    start, width, bins = judge(Story().core().history()).iterations[0].rate
    assert (start, width) == (1.0, 0.1)
    assert sum(bins) == 800
    assert bins[:3] == [10, 10, 10]


def test_it_is_said_when_only_some_iterations_have_values_for_a_threshold() -> None:
    stories = []
    for index in range(3):
        thresholds = {"failover_time": ["max < 1s"], "lost": ["count == 0"]}
        story = Story(index=index, thresholds=thresholds).core().fault(nodes=["n1"])
        if index == 0:
            story.failover("hello-publisher-1", 4.1, 4.2)
            story.failover("hello-subscriber-1", 4.1, 4.2)
        else:
            for event in story.events:
                if event["kind"] == "client.connected":
                    event["server"] = "n2"
        stories.append(story)
    judgement = judge(tell(stories))
    failover, lost = judgement.findings[:2]
    assert failover.verdict is PASS
    assert failover.detail.endswith("; values from 1 of 3 iterations")
    assert "iterations" not in lost.detail
    assert "failover_time: max < 1s: values from 1 of 3 iterations" in judgement.notes
    report = build(tell(stories), judgement)
    assert report.findings[0].detail == failover.detail
    assert report.warnings[-1] == "failover_time: max < 1s: values from 1 of 3 iterations"


def test_a_sender_that_gave_up_is_not_told_to_wait_longer() -> None:
    story = Story(drained=False).core().fault().drop(range(600, 800))
    waiting = [one for one in judge(story.history()).findings if one.check == "accounting"]
    assert [one.advice for one in waiting] == ["give drain more time"]
    story.event(7.0, "client.closed", client="hello-publisher-1")
    closed = [one for one in judge(story.history()).findings if one.check == "accounting"]
    (advice,) = (one.advice for one in closed)
    assert str(advice).startswith("hello-publisher-1 gave up for good")
    assert "drain" not in str(advice)
