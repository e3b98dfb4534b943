from __future__ import annotations

import math
import sys
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.stats.permutation import (
    EXACT,
    FISHER,
    MOST_DRAWN,
    NORMAL,
    compare_means,
    count_sums,
    countable,
    sum_test,
)

few = st.lists(st.integers(0, 30).map(float), min_size=1, max_size=7)


def by_all_choices(baseline: list[float], candidate: list[float]) -> float:
    pooled = np.array([*baseline, *candidate])
    sums = np.array(
        [pooled[list(one)].sum() for one in combinations(range(len(pooled)), len(candidate))]
    )
    seen = sum(candidate)
    below, above = (sums <= seen + 1e-9).mean(), (sums >= seen - 1e-9).mean()
    return min(1.0, 2 * float(min(below, above)))


@given(few, few)
def test_the_test_counts_all_choices(baseline: list[float], candidate: list[float]) -> None:
    found = compare_means(np.array(baseline), np.array(candidate), 0.95)
    assert found.test.p_value == pytest.approx(by_all_choices(baseline, candidate))
    assert found.test.least <= found.test.p_value + 1e-12


@pytest.mark.parametrize(("some", "others"), [(0, 8), (2, 10), (5, 5), (20, 0)])
def test_zeros_and_ones_are_tested_as_fisher_did(some: int, others: int) -> None:
    baseline = np.array([1.0] * some + [0.0] * (20 - some))
    candidate = np.array([1.0] * others + [0.0] * (20 - others))
    found = compare_means(baseline, candidate, 0.95)
    expected = stats.fisher_exact([[some, 20 - some], [others, 20 - others]]).pvalue
    assert found.test.p_value == pytest.approx(expected)
    assert found.test.name == FISHER


def test_other_numbers_are_rounded_to_steps_and_tested_exactly_then() -> None:
    random = np.random.default_rng(1)
    baseline, candidate = random.gamma(2, 1, 20), random.gamma(2, 1.6, 20)
    found = compare_means(baseline, candidate, 0.95)
    drawn = stats.permutation_test(
        (candidate, baseline),
        lambda one, other, axis: one.mean(axis=axis) - other.mean(axis=axis),
        vectorized=True, n_resamples=20_000, rng=np.random.default_rng(2),
    )  # fmt: skip
    assert found.test.name == EXACT
    assert found.test.p_value == pytest.approx(drawn.pvalue, abs=0.01)
    expected = stats.ttest_ind(candidate, baseline).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.15)


@given(few, few)
def test_swapped_sides_mirror_and_order_does_not_matter(
    baseline: list[float], candidate: list[float]
) -> None:
    there = compare_means(np.array(baseline), np.array(candidate), 0.9)
    back = compare_means(np.array(candidate[::-1]), np.array(baseline[::-1]), 0.9)
    assert (there.estimate, there.low, there.high) == (-back.estimate, -back.high, -back.low)
    assert there.test.p_value == pytest.approx(back.test.p_value)


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        found = compare_means(random.gamma(2, 1, 10), 1 + random.gamma(2, 1, 12), 0.95)
        covered += found.low <= 1 <= found.high
    assert 182 <= covered <= 199


def test_p_values_of_no_difference_are_not_too_small() -> None:
    random = np.random.default_rng(4)
    scores = [random.poisson(0.3, 40) for _ in range(500)]
    is_chosen = np.arange(40) < 20
    small = sum(sum_test(one, is_chosen, EXACT).p_value <= 0.05 for one in scores)
    assert small <= 35


def test_very_many_numbers_are_tested_by_the_normal_approximation() -> None:
    random = np.random.default_rng(5)
    baseline, candidate = random.gamma(2, 1, 250), random.gamma(2, 1.15, 250)
    found = compare_means(baseline, candidate, 0.95).test
    assert found.name == NORMAL
    assert found.p_value == pytest.approx(stats.ttest_ind(baseline, candidate).pvalue, rel=0.15)


@pytest.mark.parametrize("side", [512, 515, 600, 1000, 10_000])
@pytest.mark.parametrize("some", [0, 40, 400])
@pytest.mark.timeout(30)
def test_zeros_and_ones_of_many_iterations_are_tested_as_fisher_did(side: int, some: int) -> None:
    baseline, candidate = (np.arange(side) < ones for ones in (some, some + 100))
    found = compare_means(baseline.astype(float), candidate.astype(float), 0.95)
    table = [[some, side - some], [some + 100, side - some - 100]]
    assert found.test.name == FISHER
    assert found.test.p_value == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-6)
    expected = stats.ttest_ind(candidate.astype(float), baseline.astype(float))
    interval = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=0.1)


@pytest.mark.parametrize(("n", "ones", "chosen"), [(1030, 515, 515), (20_000, 10_000, 10_000)])
@pytest.mark.timeout(30)
def test_shares_of_choices_are_those_of_whole_numbers(n: int, ones: int, chosen: int) -> None:
    shares = count_sums((np.arange(n) < ones).astype(np.int64), chosen)
    for seen in (0, ones // 2 - 200, ones // 2, ones // 2 + 100):
        ways = math.comb(ones, seen) * math.comb(n - ones, chosen - seen)
        expected = float(Fraction(ways, math.comb(n, chosen)))
        assert shares[seen] == pytest.approx(expected, rel=1e-9, abs=sys.float_info.min)
    assert shares.sum() == pytest.approx(1)


def test_sums_of_more_scores_than_a_float_can_count_choices_of_are_counted() -> None:
    scores = np.array([0] * 1000 + [1] * 50 + [2] * 50)
    shares = count_sums(scores, 550)
    assert countable(scores, 550)
    for total in (0, 60, 75, 100):
        expected = sum(
            stats.hypergeom(1100, 50, 550).pmf(ones)
            * stats.hypergeom(1050, 50, 550 - ones).pmf((total - ones) // 2)
            for ones in range(total % 2, min(50, total) + 1, 2)
        )
        assert shares[total] == pytest.approx(expected)


def test_no_p_value_is_nothing_or_no_number() -> None:
    scores = (np.arange(20_000) >= 10_000).astype(np.int64)
    for is_chosen in (scores == 0, scores == 1):
        found = sum_test(scores, is_chosen, FISHER)
        assert 0 < found.least <= found.p_value < 1e-200
    with pytest.raises(ArithmeticError, match="cannot be counted"):
        count_sums(scores, 20_001)


def test_the_interval_of_very_many_values_is_as_that_of_many() -> None:
    random = np.random.default_rng(6)
    few = random.gamma(2, 1, MOST_DRAWN // 2)
    other = random.gamma(2, 1.15, MOST_DRAWN // 2)
    drawn = compare_means(few, other, 0.95)
    more = compare_means(np.repeat(few, 4), np.repeat(other, 4), 0.95)
    assert more.estimate == pytest.approx(drawn.estimate)
    assert more.high - more.low == pytest.approx((drawn.high - drawn.low) / 2, rel=0.05)
