from __future__ import annotations

import json
import math
from typing import Any

import pytest
from story import Story, ns, tell

from harness.checks import judge
from harness.report.build import MAX_HAPPENINGS, build, tame
from harness.report.model import Report
from harness.scenario.metrics import METRICS

STARTED = {
    "run_id": "20260101T000000Z-abc", "started_at": "2026-01-01T00:00:00.000Z", "seed": 42,
    "nats_harness_version": "0.1.0", "reproduce": "nats-harness run story --seed 42",
    "backend": "lab", "python": "3.11.7", "host": {"system": "Linux", "cores": 2},
}  # fmt: skip


def report_on(*stories: Story, **started: Any) -> Report:
    history = tell(list(stories), **(STARTED | started))
    return build(history, judge(history))


def failing_over() -> Story:
    story = Story(thresholds={"lost{phase:steady}": ["count == 0"], "failover_time": ["max < 1s"]})
    story.core(1, 1).fault()
    story.event(0.2, "server.described", name="n1", version="2.15.1", config={"port": 4222})
    adapter = {"name": "nats-py", "version": "2.16.0", "options": {"x": 1.0}}
    story.event(0.3, "worker.ready", worker="w", python="3.11.7", adapter=adapter)
    story.failover("hello-publisher-1", 4.1, 4.3)
    return story.failover("hello-subscriber-1", 4.2, None, attempts=9)


def test_the_report_has_what_the_design_promises() -> None:
    told = json.loads(report_on(failing_over()).model_dump_json())
    assert told["schema_version"] == "1"
    assert told["run_id"] == STARTED["run_id"]
    assert (told["seed"], told["reproduce"]) == (42, STARTED["reproduce"])
    environment = told["environment"]
    assert environment["client"] == {
        "adapter": "nats-py", "version": "2.16.0", "options": {"x": 1.0},
    }  # fmt: skip
    assert environment["servers"] == [
        {"name": "n1", "version": "2.15.1", "versions": ["2.15.1"], "config": {"port": 4222}}
    ]
    assert (environment["backend"], environment["cores"]) == ("lab", 2)
    (iteration,) = told["iterations"]
    assert {"index", "verdict", "faults", "messages", "clients", "timeline"} <= set(iteration)
    assert told["scenario"]["name"] == "story"


def test_a_server_that_went_on_as_another_release_is_told_with_all_that_it_was() -> None:
    story = failing_over()
    for at, version in ((5.0, "2.16.0"), (6.0, "2.15.1"), (7.0, "2.16.0")):
        story.event(at, "server.described", name="n1", version=version, config={"port": 4222})
    (server,) = report_on(story).environment.servers
    assert (server.version, server.versions) == ("2.15.1", ["2.15.1", "2.16.0"])


def test_times_count_from_the_start_of_the_iteration() -> None:
    (iteration,) = report_on(failing_over()).iterations
    (fault,) = iteration.faults
    assert (fault.inject_start, fault.heal_done) == (4.0, 6.0)
    assert [(one.kind, one.node) for one in fault.proof] == [
        ("hit", "n1"), ("effect", "n1"), ("undo", "n1"),
    ]  # fmt: skip
    disconnect = iteration.clients[0].disconnects[0]
    assert disconnect.at == pytest.approx(4.1)
    assert disconnect.failover_time == pytest.approx(0.3)
    assert disconnect.reconnected_to == "n2"
    assert not disconnect.censored
    assert iteration.clients[1].disconnects[0].censored
    assert [one.at for one in iteration.timeline] == sorted(one.at for one in iteration.timeline)


def test_every_metric_is_in_the_report_and_those_that_thresholds_select() -> None:
    report = report_on(failing_over())
    steady = {"lost{phase:steady}", "send_lateness{phase:steady}"}
    assert set(METRICS) | steady == set(report.metrics)
    failover = report.metrics["failover_time"]
    assert (failover.n, failover.censored, failover.lower_bounds) == (
        2,
        1,
        ["p90", "p95", "p99", "max"],
    )
    lost = report.metrics["lost{phase:steady}"]
    assert (lost.n, lost.count, lost.ratio) == (200, 0, 0.0)
    assert report.metrics["time_to_first_ack"].p99 is None


def test_each_iteration_has_its_own_metrics_with_the_values_of_small_ones() -> None:
    alone = failing_over()
    other = Story(index=1, thresholds={"failover_time": ["max < 1s"]}).core(1, 1).fault()
    other.failover("hello-publisher-1", 4.2, 4.3)
    first, second = report_on(alone, other).iterations
    assert set(first.metrics) == set(second.metrics) >= set(METRICS)
    failover = first.metrics["failover_time"]
    assert (failover.n, failover.censored, failover.kind) == (2, 1, "distribution")
    assert failover.values == pytest.approx([0.3])
    assert failover.lower_values is not None
    assert len(failover.lower_values) == 1
    assert second.metrics["failover_time"].values == pytest.approx([0.3])
    lost = first.metrics["lost{phase:steady}"]
    assert (lost.kind, lost.count, lost.values, lost.lower_values) == ("counter", 0, None, None)


def test_many_values_are_left_in_the_history() -> None:
    (iteration,) = report_on(failing_over()).iterations
    latency = iteration.metrics["e2e_latency"]
    assert latency.n > 256
    assert (latency.values, latency.lower_values) == (None, None)


def test_each_condition_has_one_finding_with_value_limit_and_margin() -> None:
    findings = [one for one in report_on(failing_over()).findings if one.check == "thresholds"]
    assert [(one.metric, one.condition) for one in findings] == [
        ("lost{phase:steady}", "count == 0"), ("failover_time", "max < 1s"),
    ]  # fmt: skip
    assert findings[1].limit == 1.0
    assert [findings[1].value, findings[1].margin] == pytest.approx([6.0, -5.0])
    assert findings[1].at_least


def test_verdict_and_exit_code_agree() -> None:
    assert (report_on(Story().core()).verdict, report_on(Story().core()).exit_code) == ("pass", 0)
    broken = report_on(failing_over())
    assert (broken.verdict, broken.exit_code) == ("fail", 1)


def test_an_interrupted_run_is_marked() -> None:
    story = Story().core()
    story.event(9.9, "run.interrupted", by="SIGINT")
    report = report_on(story)
    assert (report.interrupted, report.verdict, report.exit_code) == (True, "inconclusive", 130)


def test_the_same_history_always_gives_the_same_report() -> None:
    assert report_on(failing_over()) == report_on(failing_over())


def test_a_report_reads_back_to_an_equal_one() -> None:
    report = report_on(failing_over(), Story(index=1).core().fault())
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_what_json_cannot_hold_becomes_null_or_text() -> None:
    value = {"a": math.nan, "b": [math.inf, 1.5], 3: (True, None), "c": pytest}
    tamed = tame(value)
    assert tamed == {"a": None, "b": [None, 1.5], "3": [True, None], "c": str(pytest)}
    story = Story().core()
    story.event(5.0, "client.error", client="hello-publisher-1", error="x", odd=math.inf)
    text = report_on(story, host={"load": math.nan}).model_dump_json()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_a_history_without_a_beginning_still_gives_a_report() -> None:
    history = Story().history()
    assert build(history, judge(history)).run_id == "unknown"


def test_a_timeline_out_of_hand_is_cut_and_says_so() -> None:
    story = Story().core()
    for number in range(MAX_HAPPENINGS + 500):
        story.events.append({"at_ns": ns(5.0), "kind": "client.error", "iteration": 0,
                             "client": "hello-publisher-1", "error": str(number)})  # fmt: skip
    (iteration,) = report_on(story).iterations
    assert len(iteration.timeline) == MAX_HAPPENINGS
    assert iteration.timeline_left_out > 500


def test_phases_without_messages_are_left_out_of_the_summary() -> None:
    messages = report_on(Story().core()).iterations[0].messages
    assert messages is not None
    assert list(messages.by_phase) == ["warmup", "steady", "fault", "recovery"]
    assert sum(one.delivered for one in messages.by_phase.values()) == messages.delivered == 800
