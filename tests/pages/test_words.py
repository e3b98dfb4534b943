from __future__ import annotations

from typing import Any

import pytest
from story import Story
from told_pages import eventful, judged

from harness.pages import words
from harness.report.model import Fault, Proof


def test_a_failed_run_says_which_thresholds_were_missed() -> None:
    report, _ = judged(eventful())
    said = words.conclude(report)
    assert said.startswith("3 of 4 thresholds missed: ")
    assert "lost count == 0" in said


def test_a_passed_run_says_that_all_were_met() -> None:
    report, _ = judged(Story(thresholds={"lost": ["count == 0"]}).core())
    assert words.conclude(report) == (
        "All 1 thresholds were met, and nothing was found that must not be."
    )


def test_an_inconclusive_run_says_why() -> None:
    report, _ = judged(Story(thresholds={"lost": ["count == 0"]}).core().fault(proof=False))
    assert report.verdict == "inconclusive"
    assert words.conclude(report).startswith("The run proves nothing either way: ")
    assert words.list_worries(report)


def test_thresholds_say_how_much_of_the_limit_is_used_the_missed_ones_first() -> None:
    report, _ = judged(eventful())
    rows = list(words.list_thresholds(report))
    assert [one.finding.verdict for one in rows] == ["fail", "fail", "fail", "pass"]
    share = next(one for one in rows if one.finding.condition == "ratio < 5%")
    assert share.used == pytest.approx(3 / 1600 / 0.05, rel=0.1)
    assert share.width == pytest.approx(80 * (share.used or 0), abs=0.01)
    assert share.use.endswith("% of 5%")
    assert next(one for one in rows if one.finding.condition == "count == 0").use == "not so"


@pytest.mark.parametrize(
    ("operator", "value", "limit", "used"),
    [
        ("<", 1.0, 4.0, 0.25),
        ("<", 5.0, 4.0, 1.25),
        (">=", 8.0, 4.0, 0.5),
        (">=", 0.0, 4.0, 1.25),
        ("==", 0.0, 0.0, 0.0),
        ("==", 3.0, 0.0, 1.25),
        ("<", 0.0, 0.0, 0.0),
        ("<", None, 4.0, None),
    ],
)
def test_what_is_used_of_a_limit(
    operator: str, value: float | None, limit: float, used: float | None
) -> None:
    assert words._used(operator, value, limit) == used


def test_costs_are_those_of_the_report_with_bounds_marked() -> None:
    report, _ = judged(eventful())
    costs = {one.name: one for one in words.list_costs(report)}
    assert (costs["Messages lost"].value, costs["Messages lost"].bad) == ("3", True)
    assert costs["Slowest failover"].value == "≥ 6 s"
    assert costs["Clients disconnected"].value == "3"


def test_a_fault_is_told_in_one_sentence() -> None:
    report, _ = judged(eventful())
    said = words.describe_fault(report.iterations[0].faults[0])
    assert said.startswith("At 4.00 s n1 was stopped; all was undone by 6.")


def told(action: str = "partition", targets: tuple[str, ...] = ("n1",), **known: float) -> Fault:
    """Return a fault of which only some edges are known."""
    edges = dict.fromkeys(("inject_start", "inject_done", "heal_start", "heal_done"))
    return Fault.model_validate(
        {"name": "f", "action": action, "targets": targets, "proof": [], **edges, **known}
    )


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("partition", "n1 was to be cut off"),
        ("loss", "n1 was to lose packets"),
        ("reload", "n1 was to reload its configuration"),
        ("command", "n1 was to be under command"),
    ],
)
def test_a_fault_whose_effect_was_not_seen_is_not_said_to_have_happened(
    action: str, said: str
) -> None:
    for fault in (
        told(action, inject_start=4.0),
        told(action, inject_start=4.0, heal_start=5.0, heal_done=6.0),
    ):
        assert words.describe_fault(fault) == f"At 4.00 s {said}; its effect was never seen."


def test_a_fault_that_broke_off_half_way_says_what_was_seen() -> None:
    fault = told("rolling-restart", ("n1", "n2"), inject_start=4.0)
    effect = Proof(at=4.2, node="n1", kind="effect", what="restarted")
    said = words.describe_fault(fault.model_copy(update={"proof": [effect]}))
    assert said == (
        "At 4.00 s n1, n2 were to be restarted one after the other; "
        "its effect was seen only in part."
    )


def test_a_fault_whose_undo_was_not_seen_says_just_that() -> None:
    fault = told("step-down", ("n1", "n2"), inject_start=4.0, inject_done=4.1)
    assert words.describe_fault(fault) == (
        "At 4.00 s n1, n2 gave up leading; its undo was never seen."
    )


@pytest.mark.parametrize("action", sorted(words._DOES))
def test_every_action_can_be_told_as_done(action: str) -> None:
    said = words.describe_fault(told(action, ("n1", "n2"), inject_start=4.0, inject_done=4.1))
    assert " to " not in said.partition(";")[0].replace("back to", "")


def test_an_interrupted_run_proves_nothing_unless_it_failed() -> None:
    failed, _ = judged(eventful())
    cut = failed.model_copy(update={"interrupted": True})
    assert words.conclude(cut) == (
        f"{words.conclude(failed)} The run was interrupted before its end."
    )
    doubtful = cut.model_copy(update={"verdict": "inconclusive"})
    assert words.conclude(doubtful) == (
        "The run was interrupted before its end, so it proves nothing."
    )


def test_a_median_that_is_a_lower_bound_says_so() -> None:
    report, _ = judged(eventful())
    metric = report.metrics["failover_time"]

    def note(**changes: Any) -> str:
        changed = report.model_copy(
            update={"metrics": {"failover_time": metric.model_copy(update=changes)}}
        )
        (cost,) = (one for one in words.list_costs(changed) if one.name == "Slowest failover")
        return cost.note

    assert note(p50=1.0, lower_bounds=["p50", "max"]).startswith("median ≥ 1 s; 3 values")
    assert note(p50=1.0, lower_bounds=["max"]).startswith("median 1 s; 3 values")
    assert note(p50=None).startswith("3 values")
