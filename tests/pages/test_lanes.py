from __future__ import annotations

import pytest
from story import Story
from told_pages import eventful, judged

from harness.pages.lanes import MOST_LANES, LaneTrack, Segment, lay_out_lanes


def lanes_of(story: Story) -> dict[str, LaneTrack]:
    report, history = judged(story)
    return {one.title: one for one in lay_out_lanes(history.iterations[0], report.iterations[0])}


def segments(story: Story, track: str, lane: str) -> list[Segment]:
    found = [one for one in lanes_of(story)[track].segments if one.lane == lane]
    return sorted(found, key=lambda one: one.from_s)


CLIENTS = "Clients: connected to"


def test_a_client_is_on_its_server_then_disconnected_then_on_another() -> None:
    first, gone, back = segments(eventful(), CLIENTS, "hello-subscriber-1")
    assert (first.state, gone.state, back.state) == ("n1", "disconnected", "n2")
    assert first.to_s == gone.from_s == pytest.approx(4.2)
    assert gone.to_s == back.from_s == pytest.approx(4.25)
    assert "sign:" in gone.story
    assert "back on n2" in gone.story


def test_lanes_tell_the_same_disconnects_as_the_report() -> None:
    report, _ = judged(eventful())
    told = sorted(
        (client.name, one.at)
        for client in report.iterations[0].clients
        for one in client.disconnects
        if one.sign not in (None, "silence")
    )
    shown = sorted(
        (one.lane, one.from_s)
        for one in lanes_of(eventful())[CLIENTS].segments
        if one.state == "disconnected"
    )
    assert shown == told
    assert len(shown) == 3


def test_a_client_that_does_not_come_back_is_disconnected_to_the_end() -> None:
    last = segments(eventful(), CLIENTS, "hello-subscriber-2")[-1]
    assert last.state == "disconnected"
    assert "not back" in last.story


def test_a_cut_that_a_client_never_noticed_is_shown() -> None:
    story = Story().core(1, 1).fault(action="pause").silence(4.0, 6.0)
    states = [one.state for one in segments(story, CLIENTS, "hello-subscriber-1")]
    assert "silent" in states


def test_a_stopped_server_is_down_until_it_starts_again() -> None:
    parts = [one for one in segments(eventful(), "Servers", "n1") if one.state != "struck"]
    assert [one.state for one in parts] == ["up", "down", "up"]
    assert [parts[1].from_s, parts[1].to_s] == pytest.approx([4.01, 5.9])
    assert [one.state for one in segments(eventful(), "Servers", "n2")] == ["up"]


def test_a_fault_has_three_parts_that_meet() -> None:
    parts = segments(eventful(), "Phases and faults", "stop-seed")
    assert [one.state for one in parts] == ["inject", "hold", "heal"]
    assert parts[0].to_s == parts[1].from_s
    assert parts[1].to_s == parts[2].from_s


def test_a_fault_that_was_not_healed_holds_to_the_end() -> None:
    story = eventful()
    story.events = [one for one in story.events if not one["kind"].startswith("fault.heal")]
    parts = segments(story, "Phases and faults", "stop-seed")
    assert [one.state for one in parts] == ["inject", "hold"]


def test_leaders_and_the_time_without_one_have_lanes() -> None:
    story = Story(thresholds={}).jetstream().fault(action="kill")
    facts = {"group": "stream:S", "from_ns": 0}
    story.event(0.8, "jetstream.leader", node="n1", leader="n1", **facts)
    story.event(0.8, "jetstream.leader", node="n2", leader="n1", **facts)
    story.event(4.0, "server.exited", node="n1", returncode=-9, expected=True)
    story.event(4.5, "jetstream.leader", node="n2", leader=None, **facts)
    story.event(7.0, "jetstream.leader", node="n2", leader="n2", **facts)
    parts = segments(story, "Leaders", "stream:S")
    assert [one.state for one in parts] == ["n1", "nobody", "n2"]
    assert [parts[1].from_s, parts[1].to_s] == pytest.approx([4.0, 7.0])


def test_of_very_many_clients_the_quiet_ones_share_lanes_and_none_is_left_out() -> None:
    story = Story().core(1, MOST_LANES + 20, rate=10)
    story.failover("hello-subscriber-7", 4.1, 4.3)
    lanes = lanes_of(story)[CLIENTS].lanes
    assert "hello-subscriber-7" in lanes
    assert f"{MOST_LANES + 19} hello subscribers on n1" in lanes
    assert len(lanes) == 3


def test_the_time_without_a_leader_is_what_the_metric_counts() -> None:
    story = Story().jetstream().fault()
    facts = {"group": "meta", "from_ns": 0}
    story.event(0.8, "jetstream.leader", node="n1", leader="n1", **facts)
    story.event(4.9, "jetstream.leader", node="n2", leader="n2", **facts)
    report, _ = judged(story)
    (gone,) = [one for one in segments(story, "Leaders", "meta") if one.state == "nobody"]
    metric = report.metrics["leader_election_time"]
    assert metric.n == 1
    assert metric.max == pytest.approx(gone.to_s - gone.from_s)
