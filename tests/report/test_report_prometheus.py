from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families
from story import Story
from told_reports import HOSTILE, failing_over, good, report_on

from harness.report.model import Metric, Report
from harness.report.prometheus import render_prometheus

COMMON = {"scenario", "backend", "server_version", "verdict"}


def samples(report: Report) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    text = render_prometheus(report).decode()
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            assert sample.name == family.name
            assert sample.labels.keys() >= COMMON
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(report: Report, name: str, **labels: str) -> float:
    (one,) = (
        number
        for told, number in samples(report)[f"nats_harness_{name}"]
        if {key: said for key, said in told.items() if key not in COMMON} == labels
    )
    return one


def test_every_metric_of_the_report_is_there_with_its_values() -> None:
    report = failing_over()
    for name, metric in report.metrics.items():
        if "{" in name:
            continue
        if metric.kind == "counter":
            assert value(report, name) == metric.count
            assert value(report, f"{name}_possible") == metric.n
            continue
        assert value(report, f"{name}_observations") == metric.n
        assert value(report, f"{name}_censored_observations") == metric.censored
        if metric.p99 is not None:
            family = f"{name}_seconds" if metric.unit == "s" else name
            bound = "lower" if "p99" in metric.lower_bounds else "exact"
            assert value(report, family, statistic="p99", bound=bound) == metric.p99


def test_a_lower_bound_is_not_passed_off_as_a_measurement() -> None:
    report = failing_over()
    assert report.metrics["failover_time"].lower_bounds
    told = samples(report)["nats_harness_failover_time_seconds"]
    assert {one["bound"] for one, _ in told if one["statistic"] == "max"} == {"lower"}
    assert {one["bound"] for one, _ in told if one["statistic"] == "min"} == {"exact"}
    assert value(report, "failover_time_censored_observations") == 1


def test_a_metric_with_labels_has_them_as_labels() -> None:
    report = failing_over()
    assert value(report, "lost", phase="steady", workload="hello") == 10


def test_the_run_itself_is_told() -> None:
    report = failing_over()
    assert value(report, "run_exit_code") == 1
    assert value(report, "run_iterations", result="fail") == 1
    assert value(report, "run_iterations", result="pass") == 0
    assert value(report, "run_duration_seconds") >= 9
    (labels, one), *_ = samples(report)["nats_harness_run_info"]
    assert one == 1
    assert labels["verdict"] == "fail"


def test_names_follow_the_conventions() -> None:
    for name in samples(failing_over()):
        assert re.fullmatch(r"nats_harness_[a-z0-9_]+", name)
        assert not name.endswith(("_total", "_count", "_sum", "_bucket")), "for other types only"


def test_there_are_no_timestamps_and_nothing_twice() -> None:
    lines = [
        line
        for line in render_prometheus(failing_over()).decode().splitlines()
        if not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[a-z0-9_]+\{.*\} \S+", line) for line in lines)
    series = [line.rpartition(" ")[0] for line in lines]
    assert len(set(series)) == len(series)


def test_help_is_the_same_whatever_was_run() -> None:
    def helps(report: Report) -> dict[str, str]:
        lines = render_prometheus(report).decode().splitlines()
        told = (line.split(" ", 3) for line in lines if line.startswith("# HELP"))
        return {name: text for _, _, name, text in told}

    one, other = helps(good()), helps(failing_over())
    assert {name: one[name] for name in one.keys() & other} == {
        name: other[name] for name in one.keys() & other
    }


def test_hostile_labels_come_back_as_they_were() -> None:
    report = good()
    scenario = {**report.scenario, "name": HOSTILE}
    told = samples(report.model_copy(update={"scenario": scenario}))
    names = {labels["scenario"] for one in told.values() for labels, _ in one}
    assert names == {HOSTILE.encode(errors="replace").decode()}


@pytest.mark.parametrize("started", ["unknown", "2026-01-02T03:04:05.678Z"])
def test_a_start_that_is_not_known_is_left_out(started: str) -> None:
    found = samples(good().model_copy(update={"started_at": started}))
    assert ("nats_harness_run_start_time_seconds" in found) is (started != "unknown")


def test_a_metric_that_this_version_does_not_know_is_still_told() -> None:
    metric = Metric(kind="counter", unit="messages", n=5, count=2)
    report = report_on(Story().core()).model_copy(update={"metrics": {"novel": metric}})
    assert value(report, "novel") == 2
    assert "nats_harness_novel_ratio" not in samples(report)
