"""What becomes of servers that the harness did not start, and what that makes of a run."""

from __future__ import annotations

import pytest
from guards import assert_inconclusive, findings
from story import Story

from harness.checks import judge
from harness.checks.base import Verdict


def test_a_restart_that_no_fault_explains_fails_the_run() -> None:
    story = Story().core()
    story.event(5.0, "server.replaced", node="east", expected=False, started="x", version="2")
    (found,) = findings("completion", story)
    assert found.verdict is Verdict.FAIL
    assert found.detail.startswith("server east restarted, though no fault held on it, before ")
    assert judge(story.history()).verdict is Verdict.FAIL


@pytest.mark.parametrize("expected", [True, False])
def test_a_restart_under_a_fault_is_no_finding(expected: bool) -> None:
    story = Story().core()
    story.event(5.0, "server.replaced", node="east", expected=expected, started="x", version="2")
    bad = [one for one in findings("completion", story) if one.verdict is not Verdict.PASS]
    assert bool(bad) is not expected


def test_a_server_that_is_silent_at_the_end_is_inconclusive() -> None:
    story = Story().core()
    story.event(3.0, "server.unreachable", node="west", from_ns=0, expected=False, why="refused")
    story.event(4.0, "server.reachable", node="west")
    story.event(5.0, "server.unreachable", node="east", from_ns=0, expected=True, why="refused")
    assert_inconclusive("completion", story, "to the end: refused")
    assert all("west" not in one.detail for one in findings("completion", story))


def test_a_server_that_answers_again_is_no_finding() -> None:
    story = Story().core()
    for at, kind in ((3.0, "server.unreachable"), (4.0, "server.reachable")):
        story.event(at, kind, node="east", from_ns=0, expected=False, why="refused")
    assert {one.verdict for one in findings("completion", story)} == {Verdict.PASS}
