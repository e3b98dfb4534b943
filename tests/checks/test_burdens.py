"""A fault that burdens a server strikes nobody, but explains a connection that is lost."""

from __future__ import annotations

import pytest
from story import Story

from harness.checks.base import Case
from harness.checks.failover import judge_failover

PUBLISHER = "hello-publisher-1"


def burdened(node: str, *, burdens: bool = True) -> Story:
    story = Story().core().fault("squeeze", "cpu-limit", nodes=[node], at=4.0, heal=6.0)
    for event in story.events:
        if event["kind"] == "fault.hit":
            event["groups"], event["burdens"] = [], burdens
    return story


def lost_at(story: Story, at: float) -> list[str]:
    history = story.failover(PUBLISHER, at, at + 0.1).history()
    result = judge_failover(Case(history.iterations[0], history.scenario))
    assert result.samples["failover_time"].select({}).n == 0
    return [note for note in result.notes if "no fault had struck that server" in note]


def test_a_connection_that_a_burdened_server_loses_is_explained() -> None:
    assert lost_at(burdened("n1"), 5.0) == []


@pytest.mark.parametrize(
    "story",
    [burdened("n2"), burdened("n1", burdens=False)],
    ids=["another-server", "no-burden"],
)
def test_others_are_not(story: Story) -> None:
    assert len(lost_at(story, 5.0)) == 1


def test_one_before_the_burden_is_not() -> None:
    assert len(lost_at(burdened("n1"), 3.0)) == 1
