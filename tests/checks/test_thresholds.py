from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks.base import Finding, Verdict
from harness.checks.thresholds import Evidence, decide, judge_thresholds
from harness.scenario.metrics import METRICS, PHASES
from harness.scenario.thresholds import Threshold, parse_selector, parse_threshold
from harness.stats.interval import Interval
from harness.stats.labelled import Count, PooledSamples, PooledTally, Samples, Tally

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
NO_LAG = dict.fromkeys((*PHASES, "under fault"), 0.0)


def judged(
    condition: str,
    values: list[float],
    censored: list[float] | None = None,
    *,
    metric: str = "failover_time",
    whole: bool = True,
    ended: bool = True,
    lags: dict[str, float] | None = None,
) -> Finding:
    cut = censored or []
    samples = Samples(
        np.array([*values, *cut]), np.array([False] * len(values) + [True] * len(cut)), {}
    )
    evidence = Evidence({metric: PooledSamples((samples,))}, whole, ended, lags or NO_LAG)
    (finding,) = judge_thresholds({"thresholds": {metric: [condition]}}, evidence)
    return finding


def counted(condition: str, count: Count, metric: str = "lost", *, ended: bool = True) -> Finding:
    tally = Tally((({"phase": "steady", "workload": "w", "state": "connected"}, count),))
    evidence = Evidence({metric: PooledTally((tally,))}, whole=True, ended=ended, lags=NO_LAG)
    (finding,) = judge_thresholds({"thresholds": {metric: [condition]}}, evidence)
    return finding


def threshold(condition: str, metric: str = "failover_time") -> Threshold:
    return parse_threshold(parse_selector(metric), condition, METRICS[metric])


def test_a_finding_says_value_limit_margin_and_number() -> None:
    finding = judged("p99 < 3s", [1.0, 2.0])
    assert (finding.verdict, finding.value, finding.limit, finding.margin, finding.n) == (
        PASS, 2.0, 3.0, 1.0, 2,
    )  # fmt: skip
    assert finding.detail == "failover_time: p99 < 3s: 2 s (n=2)"
    broken = judged("max < 1500ms", [1.0, 2.0])
    assert (broken.verdict, broken.margin) == (FAIL, -0.5)


def test_a_limit_that_is_just_met_is_broken_by_less_and_held_by_at_most() -> None:
    assert judged("max < 2s", [2.0]).verdict is FAIL
    assert judged("max <= 2s", [2.0]).verdict is PASS
    assert judged("min > 2s", [2.0]).verdict is FAIL
    assert judged("min >= 2s", [2.0]).verdict is PASS


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("p99 < 3s", INCONCLUSIVE),
        ("max < 100s", INCONCLUSIVE),
        ("max < 2s", FAIL),
        ("max < 3s", INCONCLUSIVE),
        ("max <= 2s", FAIL),
        ("max > 2s", PASS),
        ("max >= 3s", INCONCLUSIVE),
        ("max == 1s", FAIL),
        ("max == 5s", INCONCLUSIVE),
        ("min < 2s", PASS),
        ("min > 500ms", PASS),
        ("p50 < 3s", PASS),
        ("p50 == 1s", PASS),
        ("censored == 0", FAIL),
        ("n >= 3", PASS),
    ],
)
def test_a_value_that_was_not_seen_to_its_end_never_helps_to_pass(
    condition: str, verdict: Verdict
) -> None:
    assert judged(condition, [1.0, 1.0], [2.5]).verdict is verdict


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("min < 2s", INCONCLUSIVE),
        ("min > 400ms", PASS),
        ("min > 600ms", INCONCLUSIVE),
        ("p50 < 3s", INCONCLUSIVE),
        ("max > 400ms", PASS),
        ("max == 400ms", FAIL),
    ],
)
def test_when_nothing_was_seen_to_its_end_only_lower_bounds_decide(
    condition: str, verdict: Verdict
) -> None:
    assert judged(condition, [], [0.5, 0.5]).verdict is verdict


def test_a_small_bound_that_may_be_anything_can_move_a_percentile_past_the_limit() -> None:
    assert judged("p50 < 2s", [1.0, 3.0], [0.1, 0.1]).verdict is INCONCLUSIVE
    assert judged("p50 < 2s", [1.0, 1.0, 3.0], [0.1]).verdict is PASS


@given(
    st.floats(0, 10),
    st.floats(0, 10),
    st.sampled_from(["<", "<=", ">", ">=", "=="]),
    st.floats(0, 10),
    st.lists(st.floats(0, 1), min_size=5, max_size=5),
)
def test_the_verdict_on_an_interval_is_right_for_every_value_in_it(
    one: float, other: float, operator: str, limit: float, shares: list[float]
) -> None:
    low, high = sorted((one, other))
    asked = Threshold(parse_selector("failover_time"), "max", operator, limit, "")
    verdict = decide(asked, Interval(low, high))
    inside = [low, high, *(low + share * (high - low) for share in shares)]
    holds = [asked.holds(min(high, max(low, value))) for value in inside]
    if verdict is PASS:
        assert all(holds)
    elif verdict is FAIL:
        assert not any(holds)
    else:
        assert low < high


def test_an_open_interval_fails_an_equality_below_it_only() -> None:
    assert decide(threshold("max == 1s"), Interval(2.0, math.inf)) is FAIL
    assert decide(threshold("max == 3s"), Interval(2.0, math.inf)) is INCONCLUSIVE


@pytest.mark.parametrize("condition", ["p99 < 3s", "censored == 0", "min > 1s"])
def test_a_metric_without_values_is_inconclusive(condition: str) -> None:
    finding = judged(condition, [])
    assert finding.verdict is INCONCLUSIVE
    assert (finding.value, finding.n) == (None, 0)


def test_how_many_values_there_are_is_known_even_when_there_are_none() -> None:
    assert judged("n >= 1", []).verdict is FAIL
    assert judged("n == 0", []).verdict is PASS


def test_a_metric_that_no_check_could_compute_is_inconclusive() -> None:
    evidence = Evidence({}, whole=True, ended=True, lags=NO_LAG)
    (finding,) = judge_thresholds({"thresholds": {"lost": ["count == 0"]}}, evidence)
    assert finding.verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("metric", "condition"), [("nonsense", "max < 1s"), ("lost", "p99 < 1s"), ("lost{", "x")]
)
def test_a_condition_of_another_version_is_inconclusive(metric: str, condition: str) -> None:
    evidence = Evidence({}, whole=True, ended=True, lags=NO_LAG)
    (finding,) = judge_thresholds({"thresholds": {metric: [condition]}}, evidence)
    assert finding.verdict is INCONCLUSIVE
    assert "this version cannot judge it" in finding.detail


@pytest.mark.parametrize(
    ("condition", "count", "verdict"),
    [
        ("count == 0", Count(0, 100, 0, 100), PASS),
        ("count == 0", Count(1, 100, 0, 100), FAIL),
        ("count == 0", Count(2, 100, 2, 100), INCONCLUSIVE),
        ("count == 0", Count(3, 100, 2, 100), FAIL),
        ("count < 5", Count(3, 100, 2, 100), PASS),
        ("count == 0", Count(0, 0, 0, 0), INCONCLUSIVE),
        ("count == 0", Count(0, 0, 0, 100), PASS),
        ("ratio < 1%", Count(1, 100, 0, 100), FAIL),
        ("ratio <= 1%", Count(1, 100, 0, 100), PASS),
        ("ratio < 1%", Count(2, 100, 2, 100), INCONCLUSIVE),
        ("ratio < 1%", Count(0, 0, 0, 100), PASS),
        ("ratio >= 90%", Count(0, 0, 0, 100), INCONCLUSIVE),
        ("ratio < 1%", Count(0, 0, 0, 0), INCONCLUSIVE),
        ("count == 0", Count(0, 100, 0, 100, at_least=True), INCONCLUSIVE),
        ("count == 0", Count(1, 100, 0, 100, at_least=True), FAIL),
        ("count > 0", Count(1, 100, 0, 100, at_least=True), PASS),
        ("ratio < 1%", Count(0, 100, 0, 100, at_least=True), INCONCLUSIVE),
        ("ratio < 1%", Count(0, 0, 0, 100, at_least=True), INCONCLUSIVE),
    ],
)
def test_counts_are_judged_with_what_is_uncertain_about_them(
    condition: str, count: Count, verdict: Verdict
) -> None:
    assert counted(condition, count).verdict is verdict


def test_a_ratio_is_shown_as_a_share() -> None:
    finding = counted("ratio < 1%", Count(5, 1000, 0, 1000))
    assert (finding.value, finding.limit, finding.margin) == (0.005, 0.01, 0.005)
    assert "0.5%" in finding.detail


def test_a_run_that_was_cut_short_passes_no_threshold_and_fails_only_proven_counts() -> None:
    assert judged("max < 3s", [1.0], ended=False).verdict is INCONCLUSIVE
    assert judged("max < 3s", [4.0], ended=False).verdict is INCONCLUSIVE
    assert judged("n >= 4", [1.0], ended=False).verdict is INCONCLUSIVE
    assert counted("count == 0", Count(0, 9, 0, 9), ended=False).verdict is INCONCLUSIVE
    assert counted("count == 0", Count(1, 9, 0, 9), ended=False).verdict is FAIL


@pytest.mark.parametrize(
    ("metric", "cause", "check"),
    [
        ("stream_lost", "not every replica could be audited", "stream-audit"),
        ("kv_lost", "the state of a key was not seen or not decided", "check kv"),
        ("object_lost", "an object was not looked for", "check objects"),
        ("disconnects", "a client did not tell of all its connections", "check ledger"),
        ("consumer_lost", "rows are missing", "check ledger"),
    ],
)
def test_a_lower_bound_says_what_was_not_seen(metric: str, cause: str, check: str) -> None:
    finding = counted("count == 0", Count(0, 9, 0, 9, at_least=True), metric)
    assert finding.detail.endswith(f"{cause}, so this is a lower bound")
    assert check in (finding.advice or "")


def test_times_from_messages_say_nothing_where_rows_are_missing() -> None:
    for condition in ("max < 3s", "max < 500ms", "n >= 1"):
        finding = judged(condition, [1.0], metric="outage_window", whole=False)
        assert finding.verdict is INCONCLUSIVE
        assert "rows missing" in finding.detail
    assert judged("max < 3s", [1.0], metric="failover_time", whole=False).verdict is PASS


LAGGED = {**NO_LAG, "under fault": 0.3, "steady": 0.3}


@pytest.mark.parametrize(
    ("metric", "condition", "value", "verdict"),
    [
        ("failover_time", "max < 3s", 2.9, PASS),  # a late loop only makes it longer
        ("failover_time", "max < 3s", 3.2, INCONCLUSIVE),
        ("failover_time", "max < 3s", 3.4, FAIL),
        ("failover_time", "min > 3s", 3.2, INCONCLUSIVE),
        ("outage_window", "max < 3s", 2.9, INCONCLUSIVE),  # its beginning may be late too
        ("outage_window", "max < 3s", 2.6, PASS),
        ("reconnect_latency", "max < 3s", 2.9, INCONCLUSIVE),
        ("e2e_latency", "max < 3s", 3.2, INCONCLUSIVE),
        ("reconnect_attempts", "max < 3", 3.0, FAIL),
        ("failover_time", "n >= 2", 1.0, FAIL),
    ],
)
def test_the_harness_being_late_widens_times_by_its_lag(
    metric: str, condition: str, value: float, verdict: Verdict
) -> None:
    finding = judged(condition, [value], metric=metric, lags=LAGGED)
    assert finding.verdict is verdict
    assert ("the harness itself was up to 0.300 s late" in finding.detail) == (
        verdict is INCONCLUSIVE
    )


def test_only_lag_in_the_selected_phase_counts() -> None:
    samples = Samples.of([(3.2, False, {"phase": "recovery"})])
    evidence = Evidence(
        {"e2e_latency": PooledSamples((samples,))}, whole=True, ended=True, lags=LAGGED
    )
    scenario = {"thresholds": {"e2e_latency{phase:recovery}": ["max < 3s"]}}
    (finding,) = judge_thresholds(scenario, evidence)
    assert finding.verdict is FAIL


def advice_on(condition: str, evidence: Evidence, metric: str = "e2e_latency") -> str | None:
    (finding,) = judge_thresholds({"thresholds": {metric: [condition]}}, evidence)
    assert finding.verdict is INCONCLUSIVE
    return finding.advice


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "give recovery and drain more time"),
        ({"gave_up": True}, "allow its clients more reconnect attempts"),
        ({"whole": False}, "the finding of the check ledger"),
        ({"ended": False}, "let the run go to its end"),
    ],
)
def test_the_advice_fits_what_the_doubt_comes_from(changes: dict[str, bool], words: str) -> None:
    samples = Samples(np.array([1.0, 0.5]), np.array([False, True]), {})
    metrics = {"e2e_latency": PooledSamples((samples,))}
    facts: dict[str, Any] = {"whole": True, "ended": True, **changes}
    evidence = Evidence(metrics, lags=NO_LAG, **facts)
    assert words in str(advice_on("max < 3s", evidence))


def test_only_a_late_harness_asks_for_a_quieter_machine() -> None:
    late = judged("max < 3s", [3.2], lags=LAGGED)
    assert "a quieter machine" in str(late.advice)
    whole = judged("max < 3s", [1.0], metric="e2e_latency", whole=False)
    assert "quieter" not in str(whole.advice)
    assert "give drain more time" in str(counted("count == 0", Count(2, 100, 2, 100)).advice)
    missing = counted("count == 0", Count(0, 100, 0, 100, at_least=True))
    assert "missing rows" in str(missing.advice)


def test_without_any_value_the_advice_says_why_there_is_none() -> None:
    empty = {"e2e_latency": PooledSamples((Samples.of([]),))}
    told = Evidence(empty, whole=True, ended=True, lags=NO_LAG)
    assert "nothing of this kind happened" in str(advice_on("max < 1s", told))
    broken = Evidence(empty, whole=False, ended=True, lags=NO_LAG)
    assert "missing rows" in str(advice_on("max < 1s", broken))
    crashed = Evidence({}, whole=True, ended=True, lags=NO_LAG)
    assert "could not be computed" in str(advice_on("max < 1s", crashed))


def test_a_limit_within_the_time_between_two_looks_is_for_no_machine_to_mend() -> None:
    name = "server_detection_time"
    labels = {"fault": "f", "server": "n2", "what": "route-gone"}
    samples = PooledSamples((Samples.of([(1.1, False, labels)]),))
    evidence = Evidence(
        {name: samples}, whole=True, ended=True, lags=NO_LAG, resolutions={name: 0.25}
    )
    (finding,) = judge_thresholds({"thresholds": {name: ["max < 1s"]}}, evidence)
    assert finding.verdict is INCONCLUSIVE
    assert "keep the limit farther than that" in str(finding.advice)
    assert "quieter" not in str(finding.advice)
