from __future__ import annotations

from typing import Any

import pytest
from story import Story

from harness.checks import judge
from harness.checks.base import Case, Result, Verdict
from harness.checks.failover import judge_failover
from harness.stats.distribution import Distribution

PUBLISHER = "hello-publisher-1"
SUBSCRIBER = "hello-subscriber-1"


def judged(story: Story) -> Result:
    history = story.history()
    return judge_failover(Case(history.iterations[0], history.scenario))


def values(story: Story, metric: str, **labels: str) -> Distribution:
    return judged(story).samples[metric].select(labels)


def only(story: Story, metric: str, client_role: str = "publisher") -> tuple[Any, bool]:
    found = values(story, metric, role=client_role)
    assert found.n == 1
    return pytest.approx(found.bounds[0]), found.censored == 1


def one_publisher() -> Story:
    """A publisher on n1 under a fault there; the subscriber stays on n2."""
    story = Story().core()
    story.events[-1]["server"] = "n2"
    return story


def test_times_count_from_the_hit_on_the_node_the_client_was_on() -> None:
    story = one_publisher().fault(nodes=["n1"]).failover(PUBLISHER, 4.05, 4.3, attempts=3)
    assert only(story, "detection_time") == (0.05, False)
    assert only(story, "reconnect_latency") == (0.25, False)
    assert only(story, "failover_time") == (0.3, False)
    assert only(story, "reconnect_attempts") == (3, False)


def test_a_client_on_another_node_is_not_measured() -> None:
    story = one_publisher().fault().failover(PUBLISHER, 4.05, 4.3)
    assert values(story, "failover_time").n == 1
    assert values(story, "failover_time", role="subscriber").n == 0


def test_values_carry_the_fault_the_workload_and_the_role() -> None:
    story = one_publisher().fault("cut").failover(PUBLISHER, 4.05, 4.3)
    labels = {"fault": "cut", "workload": "hello", "role": "publisher"}
    assert values(story, "failover_time", **labels).n == 1
    assert values(story, "failover_time", fault="other").n == 0


def test_a_client_that_never_came_back_has_lower_bounds_to_the_end_of_drain() -> None:
    story = one_publisher().fault().failover(PUBLISHER, 4.05, None, attempts=7)
    assert only(story, "detection_time") == (0.05, False)
    assert only(story, "reconnect_latency") == (5.95, True)
    assert only(story, "failover_time") == (6.0, True)
    assert only(story, "reconnect_attempts") == (7, True)


def test_what_a_client_tells_when_the_run_is_over_is_no_sign() -> None:
    story = one_publisher().fault(action="pause")
    story.event(10.05, "client.closed", client=PUBLISHER)
    assert only(story, "detection_time") == (2.0, True)


def test_a_client_of_a_lost_worker_is_watched_only_until_then() -> None:
    story = one_publisher().fault().failover(PUBLISHER, 4.05, None)
    story.event(5.0, "worker.lost", worker="hello-publishers", returncode=-9)
    assert only(story, "failover_time") == (1.0, True)


def test_giving_up_for_good_is_a_sign_and_never_a_way_back() -> None:
    story = one_publisher().fault()
    story.event(4.5, "client.closed", client=PUBLISHER)
    assert only(story, "detection_time") == (0.5, False)
    assert only(story, "failover_time") == (6.0, True)
    assert judged(story).facts["disconnects"][PUBLISHER][0]["sign"] == "closed"


def test_a_pause_that_ended_unnoticed_leaves_bounds_up_to_its_undoing() -> None:
    story = one_publisher().fault(action="pause", heal=6.0)
    assert only(story, "detection_time") == (2.0, True)
    assert only(story, "failover_time") == (2.0, True)
    assert only(story, "reconnect_latency") == (0.0, True)
    assert judged(story).facts["disconnects"][PUBLISHER][0]["sign"] is None


def test_messages_that_stop_without_a_callback_are_a_sign_of_silence() -> None:
    story = one_publisher().fault(action="pause").silence(4.0, 9.0)
    shown = judged(story).facts["disconnects"][PUBLISHER][0]
    assert (shown["sign"], shown["censored"]) == ("silence", True)
    assert only(story, "detection_time") == (6.0, True)


def test_traffic_that_came_back_before_the_undoing_ends_the_bound() -> None:
    story = one_publisher().fault(action="pause", heal=6.0).silence(4.0, 5.0)
    bound, censored = values(story, "failover_time").bounds[0], True
    assert (bound <= 1.0, bound > 0.9, censored) == (True, True, True)
    assert judged(story).facts["disconnects"][PUBLISHER][0]["sign"] == "silence"


def test_a_killed_connection_without_sign_or_outage_claims_nothing() -> None:
    story = one_publisher().fault(action="kill")
    assert only(story, "failover_time") == (0.0, True)


def test_a_killed_connection_that_stays_silent_was_cut_to_the_end() -> None:
    story = one_publisher().fault(action="kill").silence(4.0, 9.0)
    assert only(story, "failover_time") == (6.0, True)
    assert judged(story).facts["disconnects"][PUBLISHER][0]["sign"] == "silence"


def test_silence_is_no_evidence_where_rows_are_missing() -> None:
    story = one_publisher().fault(action="kill").silence(4.0, 9.0)
    story.broken_columns["hello-subscribers"] = "cut short"
    assert only(story, "failover_time") == (0.0, True)


def test_a_new_connection_without_a_sign_gives_the_whole_and_bounds_for_its_parts() -> None:
    story = one_publisher().fault().failover(PUBLISHER, None, 4.4)
    assert only(story, "failover_time") == (0.4, False)
    assert only(story, "detection_time") == (0.0, True)
    assert only(story, "reconnect_latency") == (0.0, True)


def test_of_two_blows_on_one_connection_the_sign_belongs_to_the_later() -> None:
    story = one_publisher()
    story.fault("first", "pause", at=4.0, heal=4.5).fault("second", "kill", at=5.0, heal=6.0)
    story.failover(PUBLISHER, 5.1, 5.2)
    assert list(values(story, "detection_time", fault="second").bounds) == pytest.approx([0.1])
    first = values(story, "detection_time", fault="first")
    assert list(first.bounds) == pytest.approx([0.5])
    assert first.censored == 1


def test_every_turn_of_a_rolling_restart_is_measured_where_the_client_then_was() -> None:
    story = one_publisher().fault("roll", "rolling-restart", nodes=["n1"], at=4.0, heal=6.0)
    story.event(5.0, "fault.hit", fault="roll", action="rolling-restart", node="n2", how="SIGTERM")
    story.failover(PUBLISHER, 4.1, 4.2, server="n2").failover(PUBLISHER, 5.3, 5.5, server="n3")
    assert list(values(story, "failover_time", role="publisher").bounds) == pytest.approx(
        [0.2, 0.5]
    )


def test_a_disconnect_that_no_fault_explains_is_shown_and_noted() -> None:
    story = one_publisher().failover(PUBLISHER, 3.0, 3.5, sign="StaleConnectionError")
    result = judged(story)
    shown = result.facts["disconnects"][PUBLISHER][0]
    assert (shown["fault"], shown["detection_time"]) == (None, None)
    assert shown["reconnect_latency"] == pytest.approx(0.5)
    (note,) = result.notes
    assert note.startswith(f"{PUBLISHER} lost its connection to n1 after 3.000 s (Stale")
    assert note.endswith("though no fault had struck that server")
    assert result.samples["failover_time"].select({}).n == 0


def test_a_client_that_ran_into_a_struck_server_needs_no_note() -> None:
    story = one_publisher().fault(nodes=["n1", "n2"])
    story.failover(PUBLISHER, 4.05, 4.1, server="n2").failover(PUBLISHER, 4.2, 4.3, server="n3")
    result = judged(story)
    assert len(result.facts["disconnects"][PUBLISHER]) == 2
    assert result.notes == ()


def lost(story: Story, **labels: str) -> tuple[int, int]:
    found = judged(story).tallies["disconnects"].select(labels)
    return found.count, found.of


def test_disconnects_are_counted_and_told_apart_by_whether_a_fault_explains_them() -> None:
    story = one_publisher().fault().failover(PUBLISHER, 4.05, 4.3)
    assert lost(story) == (1, 3)
    assert lost(story, explained="yes") == (1, 3)
    assert lost(story, explained="no") == (0, 3)
    story.failover(SUBSCRIBER, 4.5, 4.6)
    assert lost(story, explained="no") == (1, 4)
    assert lost(story, explained="yes") == (1, 4)
    assert lost(story) == (2, 4)
    assert lost(story, explained="no", role="publisher") == (0, 2)
    assert lost(story, explained="yes", role="publisher") == (1, 2)
    assert lost(story, role="subscriber", workload="hello") == (1, 2)


def test_a_connection_that_was_replaced_without_a_word_or_never_again_was_lost_as_well() -> None:
    assert lost(Story().core().failover(PUBLISHER, None, 4.3), explained="no") == (1, 3)
    assert lost(Story().core().failover(PUBLISHER, 4.1, None), explained="no") == (1, 2)
    assert lost(Story().core(), explained="no") == (0, 2)


def verdicts(story: Story) -> dict[str, Verdict]:
    judgement = judge(story.history())
    return {str(one.metric): one.verdict for one in judgement.findings if one.metric is not None}


def test_a_disconnect_that_nothing_explains_breaks_the_thresholds_that_forbid_it() -> None:
    forbidden = {"disconnects": ["count == 0"], "disconnects{explained:no}": ["count == 0"]}
    story = Story(thresholds=forbidden).core()
    assert set(verdicts(story).values()) == {Verdict.PASS}
    story.fault().failover(PUBLISHER, 4.05, 4.3)
    assert verdicts(story)["disconnects"] is Verdict.FAIL
    assert verdicts(story)["disconnects{explained:no}"] is Verdict.PASS
    story.failover(SUBSCRIBER, 7.5, 7.6)
    assert verdicts(story)["disconnects{explained:no}"] is Verdict.FAIL


def test_the_share_of_explained_disconnects_is_of_all_connections() -> None:
    limits = {"disconnects{explained:yes}": ["ratio < 50%"]}
    story = Story(thresholds=limits).core().fault().failover(PUBLISHER, 4.05, 4.3)
    assert verdicts(story) == {"disconnects{explained:yes}": Verdict.PASS}
    story = Story(thresholds=limits).core().fault().failover(PUBLISHER, 4.05, 4.3)
    story.event(5.0, "worker.lost", worker="hello-subscribers", returncode=-9)
    assert verdicts(story) == {"disconnects{explained:yes}": Verdict.INCONCLUSIVE}


def test_no_disconnect_is_no_pass_where_nobody_watched() -> None:
    story = Story(thresholds={"disconnects": ["count == 0"]}).core()
    story.events = [one for one in story.events if one["kind"] != "client.connected"]
    assert verdicts(story) == {"disconnects": Verdict.INCONCLUSIVE}
    story = Story(thresholds={"disconnects": ["count == 0"]}).core()
    story.event(5.0, "worker.lost", worker="hello-publishers", returncode=-9)
    assert verdicts(story) == {"disconnects": Verdict.INCONCLUSIVE}
