"""Against planted truth the harness counts every message and dates every event.

`calibrate.py` runs the same plans and prints their tables.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_free import MESSAGES, find_faults, run_fault_free
from measured import COUNTERS, Measured
from negative_controls import CONTROLS, PLAN, Control
from planted_counts import PLANS as COUNT_PLANS
from planted_counts import CountPlan
from planted_counts import compare as compare_counts
from planted_times import PLANS as TIME_PLANS
from planted_times import TimePlan
from planted_times import compare as compare_times

FAULT_FREE_RUNS = 50


@pytest.mark.parametrize("plan", COUNT_PLANS, ids=lambda plan: plan.name)
def test_every_count_is_exactly_as_planted(plan: CountPlan, tmp_path: Path) -> None:
    assert compare_counts(plan, plan.run(tmp_path)) == []


@pytest.mark.parametrize("plan", TIME_PLANS, ids=lambda plan: plan.name)
def test_every_time_is_there_and_none_is_before_its_cause(plan: TimePlan, tmp_path: Path) -> None:
    timed = compare_times(plan, plan.run(tmp_path))
    assert timed.problems == ()
    assert timed.pairs


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return PLAN.run(tmp_path_factory.mktemp("control"))


def test_the_comparison_is_content_with_the_truth(controlled: Measured) -> None:
    assert compare_counts(PLAN, controlled) == []


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_the_comparison_sees_a_planted_mistake(control: Control, controlled: Measured) -> None:
    assert control.seen(controlled)


@pytest.mark.alone  # a rate that two cores just meet
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_fault_free_runs_have_no_findings(tmp_path: Path) -> None:
    quiet = run_fault_free(FAULT_FREE_RUNS, tmp_path)
    assert quiet.problems == ()
    assert quiet.attempted >= FAULT_FREE_RUNS * MESSAGES
    assert quiet.counts == dict.fromkeys(COUNTERS, 0)


@pytest.mark.parametrize("name", COUNTERS)
def test_one_false_finding_would_be_seen_in_a_fault_free_run(name: str) -> None:
    messages = {**dict.fromkeys(COUNTERS, 0), "attempted": MESSAGES, "delivered": 2 * MESSAGES}
    report = {"verdict": "pass", "iterations": [{"messages": messages}], "findings": []}
    assert find_faults(report) == []
    messages[name] = 1
    assert find_faults(report) == [f"1 {name}"]
