from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_runs import changed, count, draw_run, iteration, many, run, scaled, times

from harness.comparison import judge as judging
from harness.comparison.compare import compare_runs
from harness.comparison.judge import Case, Rules, judge
from harness.comparison.metrics import Limit
from harness.comparison.model import Comparison, MetricChange
from harness.comparison.runs import Run
from harness.comparison.samples import Sample

MIRRORED = {"regressed": "improved", "improved": "regressed"}


def spread(center: float, width: float, n: int = 20) -> np.ndarray:
    return center + width * np.linspace(-1, 1, n)


def sample(baseline: np.ndarray, candidate: np.ndarray, metric: str = "failover_time") -> Sample:
    return Sample(metric, "s", "mean", baseline, candidate, "ranks")


def only(case: Case, rules: Rules | None = None) -> MetricChange:
    (change,) = judge([case], rules or Rules())
    return change


def known(value: float | None) -> float:
    assert value is not None
    return value


def find(comparison: Comparison, metric: str, statistic: str) -> MetricChange:
    (found,) = [
        one
        for scenario in comparison.scenarios
        for one in scenario.metrics
        if (one.metric, one.statistic) == (metric, statistic)
    ]
    return found


def counted(metric: str, *counts: int, run_id: str, n: int = 1000) -> Run:
    return run([iteration({metric: count(one, n)}) for one in counts], run_id)


SLOWER = sample(spread(1.0, 0.05), spread(1.2, 0.05))


def test_a_shift_is_a_regression_when_all_three_conditions_hold() -> None:
    change = only(Case(SLOWER))
    assert change.change == "regressed"
    assert change.shift == pytest.approx(0.2)
    assert change.relative == pytest.approx(0.2)
    assert change.why.startswith("failover_time mean regressed: 1 s (950 ms to 1.05 s) -> 1.2 s")
    assert only(Case(replace(SLOWER, candidate=spread(0.8, 0.05)))).change == "improved"


def test_a_shift_that_is_not_significant_is_no_regression() -> None:
    noisy = sample(spread(1.0, 0.9), spread(1.2, 0.9))
    change = only(Case(noisy))
    assert change.shift == pytest.approx(0.2)
    limits = known(change.practical_limit), known(change.noise_floor)
    assert known(change.shift) > max(limits)
    assert known(change.p_adjusted) > 0.01
    assert change.change == "too-few-runs"


def test_a_shift_within_the_practical_limit_is_no_regression() -> None:
    change = only(Case(SLOWER), Rules(practical={"failover_time": 0.3}))
    assert known(change.p_adjusted) < 0.01
    assert known(change.practical_limit) > known(change.shift) > known(change.noise_floor)
    assert change.change == "unchanged"


def test_a_shift_below_the_resolution_is_no_regression() -> None:
    change = only(Case(SLOWER, resolution=0.25))
    assert known(change.p_adjusted) < 0.01
    assert known(change.noise_floor) > known(change.shift) > known(change.practical_limit)
    assert change.change == "unchanged"


def test_a_shift_that_a_busy_machine_may_explain_is_neither_a_regression_nor_none() -> None:
    change = only(Case(SLOWER, lag=0.25))
    assert change.change == "not-comparable"
    assert "the harness itself may have been later" in change.why
    assert only(Case(SLOWER, lag=0.05)).change == "regressed"


def test_a_busy_machine_does_not_make_a_wide_spread_unchanged() -> None:
    noisy = sample(spread(1.0, 0.9), spread(1.1, 0.9))
    assert only(Case(noisy, lag=5.0)).change == "too-few-runs"


def test_the_tail_of_lost_messages_is_left_to_what_is_lost() -> None:
    lost = many(0.001, 6.0, 100).model_copy(update={"lower_bounds": ["p99", "max"]})
    sides = [run([iteration({"e2e_latency": one}) for _ in range(12)], str(place))
             for place, one in enumerate((lost, many(0.001, 0.005)))]  # fmt: skip
    (same,) = compare_runs(sides[:1], [sides[0].model_copy(update={"run_id": "2"})]).scenarios
    assert [one.statistic for one in same.metrics] == ["p50"]
    (better,) = compare_runs(sides[:1], sides[1:]).scenarios
    assert [one.change for one in better.metrics] == ["unchanged", "improved"]


def test_a_new_mode_of_few_clients_is_a_regression() -> None:
    usual = [times([2.0 + one / 100 for one in range(8)]) for _ in range(30)]
    stuck = [
        times([*(one.values or ())[:7], 20.0 + place / 100]) for place, one in enumerate(usual)
    ]
    runs = [
        run([iteration({"reconnect_latency": one}) for one in each], str(place))
        for place, each in enumerate((usual, stuck))
    ]
    change = find(compare_runs(runs[:1], runs[1:]), "reconnect_latency", "share beyond mode 1")
    assert (change.change, change.practical_limit) == ("regressed", 0.05)


def test_a_shift_that_only_the_correction_makes_insignificant_is_no_regression() -> None:
    random = np.random.default_rng(3)
    slightly = sample(spread(1.0, 0.25, 20), spread(1.23, 0.25, 20))
    assert only(Case(slightly)).change == "regressed"
    others = [Case(sample(random.normal(1, 0.1, 20), random.normal(1, 0.1, 20))) for _ in range(80)]
    assert judge([Case(slightly), *others], Rules())[0].change != "regressed"


def test_too_few_values_cannot_tell_and_say_how_many_would() -> None:
    change = only(Case(sample(spread(1.0, 0.01, 4), spread(2.0, 0.01, 4))))
    assert change.change == "too-few-runs"
    assert change.runs_needed == 5
    assert only(Case(sample(spread(1.0, 0.01, 5), spread(2.0, 0.01, 5)))).change == "regressed"


def test_a_spread_that_no_number_of_runs_overcomes_says_more_than_the_bound() -> None:
    change = only(Case(sample(spread(1.0, 0.99), spread(1.0, 0.99)), lag=0), Rules(
        practical={"": 0.01}))  # fmt: skip
    assert change.change == "too-few-runs"
    assert change.runs_needed is None
    assert "more than 1000" in change.why


def test_narrow_values_without_a_shift_are_unchanged() -> None:
    change = only(Case(sample(spread(1.0, 0.05), spread(1.01, 0.05))))
    assert change.change == "unchanged"
    assert change.runs_needed is None


def test_clients_that_never_come_back_are_a_regression() -> None:
    back = run([iteration({"failover_time": times([0.3, 0.31])}) for _ in range(20)], "a")
    never = run([iteration({"failover_time": times([0.3], [5.0])}) for _ in range(20)], "b")
    comparison = compare_runs([back], [never])
    assert comparison.outcome == "regression"
    worst = find(comparison, "failover_time", "max")
    assert worst.change == "regressed"
    assert (worst.candidate.censored, worst.candidate.p50, worst.shift) == (20, None, None)
    assert "not seen to end" in worst.why


@pytest.mark.parametrize("metric", ["stream_lost", "kv_lost", "disconnects{explained:no}"])
def test_a_guarantee_that_breaks_in_many_iterations_is_a_regression(metric: str) -> None:
    never = counted(metric, *[0] * 20, run_id="a")
    often = counted(metric, *[0, 3] * 10, run_id="b")
    comparison = compare_runs([never], [often])
    assert comparison.exit_code == 4
    change = find(comparison, metric, "any")
    assert (change.change, change.test) == ("regressed", "Fisher")
    assert change.why.startswith(f"{metric} any regressed: 0% -> 50% (0% to 100%)")
    assert find(comparison, metric, "count").change == "regressed"


def test_a_guarantee_that_breaks_once_cannot_be_told_from_chance() -> None:
    never = counted("stream_lost", *[0] * 20, run_id="a")
    once = counted("stream_lost", 5, *[0] * 19, run_id="b")
    comparison = compare_runs([never], [once])
    assert comparison.outcome == "too-few-runs"
    assert find(comparison, "stream_lost", "any").runs_needed == 180
    assert compare_runs([once], [never]).outcome == "no-regression"


def test_what_is_recovered_is_better_the_more_there_is() -> None:
    few = counted("recovered", *[10, 11] * 10, run_id="a", n=100)
    much = counted("recovered", *[90, 91] * 10, run_id="b", n=100)
    change = find(compare_runs([few], [much]), "recovered", "ratio")
    assert (change.change, change.lower_is_better) == ("improved", False)
    assert find(compare_runs([much], [few]), "recovered", "ratio").change == "regressed"


def test_messages_of_one_iteration_are_not_counted_as_if_they_were_many() -> None:
    """One iteration that lost a thousand is one bad iteration, whatever a pooled test says."""
    none = counted("lost", *[0] * 20, run_id="a", n=10_000)
    once = counted("lost", 1000, *[0] * 19, run_id="b", n=10_000)
    change = find(compare_runs([none], [once]), "lost", "ratio")
    assert change.p_value == 1
    assert change.change == "too-few-runs"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.7, 1.0, 1.25]))
def test_swapped_sides_mirror(seed: int, slower: float) -> None:
    random = np.random.default_rng(seed)
    baseline = draw_run(random, 12, "a")
    candidate = draw_run(random, 12, "b", slower)
    there = compare_runs([baseline], [candidate]).scenarios[0].metrics
    back = compare_runs([candidate], [baseline]).scenarios[0].metrics
    mirrored = {(one.metric, one.statistic): one for one in back}
    assert len(there) == len(back)
    for one in there:
        other = mirrored[one.metric, one.statistic]
        assert one.shift == pytest.approx(None if other.shift is None else -other.shift)
        assert one.p_adjusted == pytest.approx(other.p_adjusted)
        if {one.change, other.change} & {"regressed", "improved"}:
            assert MIRRORED.get(one.change) == other.change or "not-comparable" in (
                one.change, other.change)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1.0, 1.15, 1.4]))
def test_the_order_of_iterations_does_not_matter(seed: int, slower: float) -> None:
    random = np.random.default_rng(seed)
    sides = draw_run(random, 12, "a"), draw_run(random, 12, "b", slower)
    shuffled = [
        one.model_copy(
            update={"iterations": [one.iterations[place] for place in random.permutation(12)]}
        )
        for one in sides
    ]

    def judged(*runs: Run) -> dict[tuple[str, str], tuple[object, ...]]:
        changes = compare_runs([runs[0]], [runs[1]]).scenarios[0].metrics
        return {
            (one.metric, one.statistic): (one.change, one.shift, one.p_value, one.runs_needed)
            for one in changes
        }

    there, again = judged(*sides), judged(*shuffled)
    assert there.keys() == again.keys()
    for name, facts in there.items():
        assert facts[0] == again[name][0]
        assert facts[1:] == pytest.approx(again[name][1:])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1e-3, 60.0, 1e6]))
def test_the_unit_does_not_matter(seed: int, factor: float) -> None:
    """Times in other units, with the limits in these, give the same changes."""
    random = np.random.default_rng(seed)
    sides = draw_run(random, 12, "a"), draw_run(random, 12, "b", 1.3)
    timed = ("failover_time", "detection_time", "e2e_latency", "outage_window")

    def judged(scale: float) -> list[tuple[str, str, str]]:
        runs = [
            changed(
                one,
                one.run_id,
                lambda metrics: {name: scaled(metrics[name], scale) for name in timed},
            )
            for one in sides
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("harness.comparison.samples.LEAST_GAP", 0.03 * scale)
            patch.setattr(judging, "limit_of", lambda *names: scale_limit(names, scale))
            changes = compare_runs([runs[0]], [runs[1]]).scenarios[0].metrics
        return [(one.metric, one.statistic, one.change) for one in changes]

    assert judged(1.0) == judged(factor)


def scale_limit(names: tuple[str, ...], scale: float) -> Limit:
    from harness.comparison.metrics import limit_of

    limit = limit_of(names[0], names[1])
    return limit if names[1].startswith("share") else Limit(limit.share, limit.least * scale)


def test_the_same_runs_give_the_same_comparison() -> None:
    random = np.random.default_rng(9)
    baseline, candidate = draw_run(random, 10, "a"), draw_run(random, 10, "b")
    assert compare_runs([baseline], [candidate]) == compare_runs([baseline], [candidate])
