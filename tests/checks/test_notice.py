from __future__ import annotations

from typing import Any

import pytest
from story import Story

from harness.checks import judge
from harness.checks.base import Case, Result, Verdict
from harness.checks.notice import judge_notice

GONE = {("n2", "n1"): (4.4, 6.4), ("n3", "n1"): (5.0, 6.4)}
SERVER, CLUSTER = "server_detection_time", "cluster_detection_time"


def judged(story: Story) -> Result:
    history = story.history()
    return judge_notice(Case(history.iterations[0], history.scenario))


def values(story: Story, metric: str = SERVER, **labels: str) -> list[tuple[float, bool]]:
    found = judged(story).samples[metric].select(labels)
    exact = [(round(float(one), 6), False) for one in found.exact]
    rest = list(found.bounds)
    for one in found.exact:
        rest.remove(one)
    return sorted([*exact, *((round(float(one), 6), True) for one in rest)])


def verdict(story: Story, condition: str, metric: str = SERVER) -> tuple[Verdict, str]:
    story.thresholds = {metric: [condition]}
    (one,) = [one for one in judge(story.history()).findings if one.check == "thresholds"]
    return one.verdict, one.detail


def stopped(**facts: Any) -> Story:
    return Story().core().fault(**facts).watched(GONE).unwatched("n1", 4.0, 6.1)


def cut(*, at: float = 4.0, heal: float = 6.0, groups: list[str] | None = None) -> Story:
    """Isolate n1 from the other servers, and from client groups."""
    story = Story().core()
    hits = {"n1": ["n2", "n3"], "n2": ["n1"], "n3": ["n1"]}
    story.fault("cut", "partition", (), at=at, heal=heal)
    for node, peers in hits.items():
        struck = groups if groups and node == "n1" else []
        facts = {"silent": True, "groups": struck, "peers": peers, "how": "cut"}
        story.event(at, "fault.hit", fault="cut", action="partition", node=node, **facts)
    return story


def test_each_other_server_is_measured_from_the_hit_to_the_end_of_the_look() -> None:
    assert values(stopped()) == [(0.5, False), (1.0, False)]
    assert values(stopped(), server="n3") == [(1.0, False)]
    assert values(stopped(), fault="stop-seed", what="route-gone", server="n2") == [(0.5, False)]
    assert values(stopped(), what="connection-closed") == []


def test_the_resolution_is_the_time_since_the_start_of_the_look_before() -> None:
    rows = judged(stopped()).facts["noticed"]["stop-seed"]
    assert [(one["server"], one["peer"], one["what"]) for one in rows] == [
        ("n2", "n1", "route-gone"),
        ("n3", "n1", "route-gone"),
    ]
    assert [one["resolution_s"] for one in rows] == pytest.approx([0.252, 0.252])
    assert [one["at"] for one in rows] == pytest.approx([4.5, 5.0])


def test_a_change_before_the_first_look_after_the_hit_is_no_older_than_the_hit() -> None:
    story = Story().core().fault(at=4.1).watched({("n2", "n1"): (4.1, 6.4), ("n3", "n1"): (4.1, 9)})
    rows = judged(story).facts["noticed"]["stop-seed"]
    assert [one["resolution_s"] for one in rows] == pytest.approx([0.15, 0.15])


def test_the_cluster_has_noticed_with_its_last_server() -> None:
    assert values(stopped(), CLUSTER) == [(1.0, False)]


def test_a_threshold_on_what_servers_noticed_can_pass_and_fail() -> None:
    assert verdict(stopped(), "max < 1500ms")[0] is Verdict.PASS
    assert verdict(stopped(), "max < 500ms")[0] is Verdict.FAIL
    assert verdict(stopped(), "max < 500ms", CLUSTER)[0] is Verdict.FAIL
    assert verdict(stopped(), "n >= 2")[0] is Verdict.PASS
    assert verdict(stopped(), "n >= 3")[0] is Verdict.FAIL


@pytest.mark.parametrize("metric", [SERVER, CLUSTER])
def test_a_limit_between_two_looks_is_inconclusive(metric: str) -> None:
    found, detail = verdict(stopped(), "max < 900ms", metric)
    assert found is Verdict.INCONCLUSIVE
    assert "servers are looked at in turns: it may be up to 0.252 s less" in detail


def test_the_lag_of_workers_has_no_part_in_what_servers_noticed() -> None:
    story = stopped()
    story.event(4.2, "worker.lagged", worker="hello-publishers", max_lag_s=1.0)
    assert verdict(story, "max > 700ms")[0] is Verdict.PASS


def test_what_was_never_noticed_is_a_lower_bound_up_to_the_heal() -> None:
    story = Story().core().fault("freeze", "pause").watched()
    assert values(story) == [(1.748, True), (1.748, True)]
    assert values(story, CLUSTER) == [(1.748, True)]
    rows = judged(story).facts["noticed"]["freeze"]
    assert [(one["at"], one["censored"]) for one in rows] == [(None, True)] * 2


@pytest.mark.parametrize("metric", [SERVER, CLUSTER])
def test_what_was_never_noticed_cannot_make_a_threshold_pass(metric: str) -> None:
    story = Story().core().fault("freeze", "pause").watched()
    assert verdict(story, "max < 60s", metric)[0] is Verdict.INCONCLUSIVE
    assert verdict(story, "max < 1s", metric)[0] is Verdict.FAIL
    assert verdict(story, "censored == 0", metric)[0] is Verdict.FAIL
    assert verdict(story, "max > 1s", metric)[0] is Verdict.PASS


def test_one_server_that_never_noticed_leaves_the_cluster_open() -> None:
    story = Story().core().fault().watched({("n2", "n1"): (4.4, 6.4)})
    assert values(story, server="n2") == [(0.5, False)]
    ((bound, censored),) = values(story, CLUSTER)
    assert censored
    assert bound == pytest.approx(1.9)


def test_a_silent_fault_that_shows_only_with_the_heal_is_not_called_noticed() -> None:
    """Between the looks at 5.75 and 6.0 the heal began, at 5.9: nobody knows which was first."""
    story = Story().core().fault("freeze", "pause").watched({("n2", "n1"): (5.8, 9.0)})
    assert values(story, server="n2") == [(1.748, True)]


def test_routes_that_are_all_new_show_that_the_old_ones_went() -> None:
    story = Story().core().fault("again", "restart", heal=4.3)
    for at, ids in ((3.9, [1, 2]), (4.2, [1, 2]), (4.45, [7, 8])):
        story.sample("n2", at, {"n1": ids, "n3": [3]})
    assert values(story) == [(0.45, False)]


def test_routes_of_which_one_is_left_are_not_gone() -> None:
    story = Story().core().fault()
    for at, ids in ((3.9, [1, 2]), (4.2, [2]), (5.0, [2, 7])):
        story.sample("n2", at, {"n1": ids})
    assert values(story) == [(0.998, True)]


def test_both_ends_of_a_cut_are_to_notice() -> None:
    story = cut().watched({("n1", "n2"): (4.6, 7.0), ("n2", "n1"): (4.6, 7.0)})
    found = judged(story).facts["noticed"]["cut"]
    assert {(one["server"], one["peer"], one["censored"]) for one in found} == {
        ("n1", "n2", False), ("n2", "n1", False), ("n1", "n3", True), ("n3", "n1", True),
    }  # fmt: skip
    assert len(values(story)) == 4
    assert len(values(story, CLUSTER)) == 1


def test_the_struck_server_of_a_cut_is_to_close_its_clients() -> None:
    story = cut(groups=["hello-publishers"]).watched()
    story.sample("n1", 5.1, ["n2", "n3"], [("hello-publisher-1", "Stale Connection", 5.0)])
    assert values(story, what="connection-closed") == [(1.001, False)]
    (row,) = [one for one in judged(story).facts["noticed"]["cut"] if one["reason"]]
    assert (row["server"], row["reason"]) == ("n1", "Stale Connection")
    assert row["clients"] == ["hello-publisher-1"]
    assert row["resolution_s"] == pytest.approx(0.001)


def test_clients_that_the_struck_server_never_closed_are_a_lower_bound() -> None:
    story = cut(groups=["hello-publishers"]).watched()
    story.sample("n1", 5.1, ["n2", "n3"], [("hello-subscriber-1", "Client Closed", 5.0)])
    story.sample("n1", 6.1, ["n2", "n3"], [("hello-publisher-1", "Read Error", 6.05)])
    assert values(story, what="connection-closed") == [(1.748, True)]
    rows = judged(story).facts["noticed"]["cut"]
    shown = [(one["reason"], one["censored"]) for one in rows if one["what"] != "route-gone"]
    assert shown == [("Read Error", False), (None, True)]


def test_a_server_without_clients_on_struck_links_has_none_to_close() -> None:
    story = cut(groups=["hello-publishers"]).watched()
    for event in story.events:
        if event["kind"] == "client.connected":
            event["server"] = "n2"
    assert values(story, what="connection-closed") == []


def test_what_a_struck_server_closes_is_told_with_its_reasons() -> None:
    story = Story().core().fault("duck", "lame-duck").watched(GONE)
    closed = [("hello-publisher-1", "Server Shutdown", 5.0), ("", "Client Closed", 5.0)]
    story.sample("n1", 5.1, ["n2", "n3"], closed)
    rows = [one for one in judged(story).facts["noticed"]["duck"] if one["peer"] is None]
    assert [(one["reason"], one["clients"]) for one in rows] == [
        ("Server Shutdown", ["hello-publisher-1"])
    ]
    assert values(story, what="connection-closed") == []


def test_a_server_that_is_down_as_well_is_no_survivor() -> None:
    story = Story().core().fault("both", "kill", ["n1", "n2"])
    hits = [one for one in story.events if one["kind"] == "fault.hit"]
    hits[1]["at_ns"] += 1_000_000
    story.watched({("n3", "n1"): (4.1, 7.0), ("n3", "n2"): (4.1, 7.0)})
    assert values(story) == [(0.249, False), (0.25, False)]
    assert values(story, server="n3") == values(story)
    assert len(values(story, CLUSTER)) == 2


def test_a_server_that_was_down_before_is_no_survivor() -> None:
    story = Story().core().fault("first", "stop", ["n2"], at=3.0, heal=7.0).fault().watched(GONE)
    assert values(story, fault="stop-seed", server="n2") == []


def test_a_server_that_goes_down_meanwhile_leaves_a_lower_bound() -> None:
    story = Story().core().fault("freeze", "pause", heal=8.0)
    story.fault("other", "kill", ["n2"], at=5.1, heal=6.0).watched({("n2", "n1"): (5.2, 7.0)})
    assert values(story, fault="freeze", server="n2") == [(0.998, True)]


def test_a_server_that_never_answered_is_not_left_out() -> None:
    story = stopped()
    for node in ("n1", "n2", "n3"):
        story.event(0.1, "server.started", node=node, pid=1, version="2.15.1")
    story.unwatched("n3", 0.0, 99.0)
    assert values(story, server="n3") == [(0.0, True)]
    assert verdict(story, "max < 60s", CLUSTER)[0] is Verdict.INCONCLUSIVE


def test_without_views_there_is_nothing_to_judge() -> None:
    found, detail = verdict(Story().core().fault(), "max < 60s")
    assert (found, "no value" in detail) == (Verdict.INCONCLUSIVE, True)


def test_a_peer_that_was_not_there_before_cannot_be_missed() -> None:
    story = Story().core().fault().watched({("n2", "n1"): (1.0, 9.0), ("n3", "n1"): (4.4, 9.0)})
    assert values(story, server="n2") == []
    assert values(story, server="n3") == [(0.5, False)]


def test_after_a_fault_just_before_the_proof_of_its_undo_stands_for_the_look() -> None:
    """A rolling restart strikes n2 right after n1 came back, between two looks."""
    story = Story().core().fault("roll", "rolling-restart", ["n1"], at=3.3, heal=4.05)
    story.fault("next", "stop", ["n2"], at=4.06, heal=6.0)
    story.watched({("n1", "n2"): (4.1, 6.2), ("n3", "n2"): (4.1, 6.2)})
    assert values(story, fault="next", server="n1") == [(0.19, False)]
    story = Story().core().fault("roll", "rolling-restart", ["n1"], at=3.3, heal=4.05)
    story.fault("next", "stop", ["n2"], at=4.06, heal=4.2)
    assert values(story.watched(), fault="next", server="n1") == [(0.0, True)]


def test_faults_that_nobody_has_to_notice_have_no_values() -> None:
    story = Story().core().watched(GONE)
    story.fault("skew", "clock-skew", ["n1"])
    assert judged(story).facts["noticed"] == {"skew": []}
    assert values(story) == []


def test_a_history_of_before_peers_were_told_has_no_values_for_cuts() -> None:
    assert values(Story().core().partition().watched()) == []


def test_a_server_that_never_had_a_route_to_another_has_nothing_to_notice() -> None:
    story = Story().core().fault("first", heal=6.05).fault("again", at=6.1, heal=8.0)
    apart = {("n3", "n1"): (0.0, 99.0), ("n1", "n3"): (0.0, 99.0)}  # joined by a gateway, say
    story.watched({("n2", "n1"): (4.4, 8.2), **apart})
    for name in ("first", "again"):
        servers = {one["server"] for one in judged(story).facts["noticed"][name]}
        assert servers == {"n2"}, name
