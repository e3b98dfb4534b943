from __future__ import annotations

from typing import Any

import pytest
from story import Story, ns

from harness.history.views import find_changes, read_samples


def changes(story: Story) -> list[dict[str, Any]]:
    (iteration,) = story.history().iterations
    return list(find_changes(iteration))


def test_only_what_changed_is_told() -> None:
    story = Story().core(traffic=False)
    for at in (2.0, 2.25, 2.5):
        story.sample("n1", at, ["n2"])
    assert changes(story) == []
    assert len(read_samples(story.history().iterations[0])["n1"]) == 3


def test_a_route_that_goes_and_comes_back_is_told_twice_with_the_doubt_about_when() -> None:
    story = Story().core(traffic=False)
    for at, peers in ((2.0, ["n2", "n3"]), (2.25, ["n3"]), (2.5, ["n2", "n3"])):
        story.sample("n1", at, peers)
    found = changes(story)
    assert [(one["kind"], one["server"], one["peer"]) for one in found] == [
        ("server.route_lost", "n1", "n2"),
        ("server.route_back", "n1", "n2"),
    ]
    assert [one["at_ns"] for one in found] == [ns(2.25), ns(2.5)]
    assert found[0]["resolution_s"] == pytest.approx(0.252)


def test_routes_that_are_all_new_are_told_and_one_more_is_not() -> None:
    story = Story().core(traffic=False)
    for at, ids in ((2.0, [1]), (2.25, [1, 2]), (2.5, [5, 6])):
        story.sample("n1", at, {"n2": ids})
    assert [one["kind"] for one in changes(story)] == ["server.route_renewed"]


def test_connections_are_told_by_reason_without_the_knocks_of_the_harness() -> None:
    closed = [("a", "Stale Connection", 2.1), ("b", "Stale Connection", 2.2), ("", "Other", 2.2)]
    story = Story().core(traffic=False).sample("n1", 2.25, closed=closed)
    (told,) = changes(story)
    assert (told["reason"], told["clients"]) == ("Stale Connection", ["a", "b"])
    assert told["at_ns"] == ns(2.201)


def test_more_slow_consumers_are_told_and_a_restart_is_none() -> None:
    story = Story().core(traffic=False)
    for at, count in ((2.0, 1), (2.25, 3), (2.5, 0)):
        story.sample("n1", at, slow_consumers=count)
    assert [(one["kind"], one["count"]) for one in changes(story)] == [("server.slow_consumers", 2)]


def test_silence_is_told_once_and_a_broken_line_is_not() -> None:
    story = Story().core(traffic=False).sample("n1", 2.0)
    for at, silent in ((2.2, False), (3.2, True), (4.2, True)):
        story.event(at, "server.unanswered", node="n1", from_ns=ns(at - 1), silent=silent, why="")
    story.sample("n1", 5.0)
    assert [(one["kind"], one["at_ns"]) for one in changes(story)] == [
        ("server.silent", ns(3.2)),
        ("server.answering", ns(5.0)),
    ]


def test_what_follows_the_end_of_the_watch_is_clean_up() -> None:
    story = Story().core(traffic=False).sample("n1", 9.9, ["n2"]).sample("n1", 10.05)
    assert changes(story) == []
