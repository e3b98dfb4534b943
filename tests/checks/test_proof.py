"""Proof: faults that did not happen, or not as they should have."""

from __future__ import annotations

import pytest
from guards import assert_inconclusive, only
from story import Story, ns
from told_reports import report_on

from harness.checks.base import Verdict


def test_a_fault_that_struck_nothing_is_not_proven() -> None:
    assert_inconclusive("proof", Story().core().fault(nodes=[]), "it struck no node")


def test_a_fault_without_any_event_never_started() -> None:
    story = Story().core()
    story.faults.append({"name": "cut", "action": "kill"})
    assert_inconclusive("proof", story, "fault cut is not proven: it never started")


def test_effect_and_undo_must_be_seen_at_every_struck_node() -> None:
    story = Story().core().fault(nodes=["n1", "n2"])
    story.events = [
        one for one in story.events
        if not (one["kind"] == "fault.observed" and one["node"] == "n2" and one["edge"] == "undo")
    ]  # fmt: skip
    assert_inconclusive("proof", story, "no undo was observed at n2")
    assert_inconclusive("proof", Story().core().fault(proof=False), "no effect was observed at n1")


def test_a_failure_at_either_edge_is_told() -> None:
    story = Story().core().fault()
    story.event(6.0, "fault.failed", fault="stop-seed", message="n1 stays away", edge="undo")
    assert_inconclusive("proof", story, "undoing failed: n1 stays away")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("fault.inject_started", "its injection has no beginning"),
        ("fault.injected", "injection did not come to an end"),
        ("fault.heal_started", "its healing has no beginning"),
        ("fault.healed", "was not healed"),
    ],
)
def test_a_fault_must_come_to_its_ends(kind: str, words: str) -> None:
    story = Story().core().fault()
    story.events = [one for one in story.events if one["kind"] != kind]
    assert_inconclusive("proof", story, words)


def test_every_node_that_a_fault_was_aimed_at_must_be_struck_and_no_other() -> None:
    story = Story().core().fault(nodes=["n1", "n2"])
    story.events = [one for one in story.events if one.get("node") != "n2"]
    assert_inconclusive("proof", story, "it did not strike n2")
    story = Story().core().fault(nodes=["n1", "n2"])
    for event in story.events:
        if "targets" in event:
            event["targets"] = ["n1"]
    assert_inconclusive("proof", story, "it struck n2, at which it was not aimed")


@pytest.mark.parametrize(
    ("kind", "edge", "at", "words"),
    [
        ("fault.hit", None, 3.9, "the hit came before the injection began at n1"),
        ("fault.observed", "effect", 3.95, "the effect was observed before the hit at n1"),
        ("fault.observed", "undo", 4.005, "the undo was observed before the effect at n1"),
        ("fault.observed", "undo", 6.1, "the undo was observed after the end of healing at n1"),
    ],
)
def test_what_is_seen_of_a_fault_must_come_in_order(
    kind: str, edge: str | None, at: float, words: str
) -> None:
    story = Story().core().fault()
    for event in story.events:
        if event["kind"] == kind and event.get("edge") == edge:
            event["at_ns"] = ns(at)
    assert_inconclusive("proof", story, words)


def test_nodes_that_are_taken_one_after_the_other_are_each_in_order() -> None:
    story = Story().core().fault(nodes=["n1", "n2"])
    for event in story.events:
        if event["kind"] in ("fault.injected", "fault.heal_started"):
            event["at_ns"] = ns(5.9)
        elif event.get("node") == "n1" and event.get("edge") == "undo":
            event["at_ns"] = ns(4.5)
        elif event.get("node") == "n2" and event["kind"] == "fault.hit":
            event["at_ns"] = ns(5.0)
        elif event.get("node") == "n2" and event.get("edge") == "effect":
            event["at_ns"] = ns(5.1)
        elif event.get("node") == "n2" and event.get("edge") == "undo":
            event["at_ns"] = ns(5.8)
    assert only("proof", story)[0] is Verdict.PASS


def test_a_fault_that_waited_for_a_heal_is_proven_and_says_how_late_it_was() -> None:
    story = Story().core().fault("full").fault("again", at=6.5, heal=7.0)
    for event in story.events:
        if event["kind"] == "fault.inject_started" and event["fault"] == "again":
            event.update(late_s=0.507, waited_for=["full"])
    report = report_on(story)
    assert report.verdict == "pass"
    assert "again began 507 ms late, since full was still being healed" in report.warnings
    assert [one.late_s for one in report.iterations[0].faults] == [0.0, 0.507]
