from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.stats.shift import EXACT, EXACT_WITH_TIES, NORMAL, compare_ranks, rank_test

values = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=7)
distinct = st.lists(st.floats(0, 1e3), min_size=4, max_size=24, unique=True)


@given(distinct, st.data())
def test_without_ties_the_test_is_the_exact_one_of_mann_and_whitney(
    pooled: list[float], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(pooled) - 1))
    baseline, candidate = np.array(pooled[:cut]), np.array(pooled[cut:])
    found = rank_test(baseline, candidate)
    assert found.name == EXACT
    assert found.p_value == pytest.approx(
        stats.mannwhitneyu(baseline, candidate, method="exact").pvalue
    )
    assert found.least == pytest.approx(min(1.0, 2 / math.comb(len(pooled), cut)))


@given(values, values)
def test_with_ties_the_test_is_the_permutation_of_all_choices(
    baseline: list[float], candidate: list[float]
) -> None:
    ranks = stats.rankdata([*baseline, *candidate])
    is_candidate = np.arange(len(ranks)) >= len(baseline)
    sums = [sum(ranks[list(chosen)]) for chosen in combinations(range(len(ranks)), len(candidate))]
    seen = ranks[is_candidate].sum()
    tail = min(np.mean(np.array(sums) <= seen + 1e-9), np.mean(np.array(sums) >= seen - 1e-9))
    found = rank_test(np.array(baseline), np.array(candidate))
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))
    assert found.name == (EXACT if len({*baseline, *candidate}) == len(ranks) else EXACT_WITH_TIES)


def test_very_many_values_are_tested_by_the_normal_approximation() -> None:
    random = np.random.default_rng(1)
    baseline, candidate = random.normal(0, 1, 150), random.normal(0.2, 1, 150)
    found = rank_test(baseline, candidate)
    assert found.name == NORMAL
    expected = stats.mannwhitneyu(baseline, candidate, method="asymptotic").pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-6)


def test_the_shift_is_the_median_difference_and_its_interval_the_book_s() -> None:
    baseline = np.array([0.8, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46])
    candidate = np.array([1.15, 0.88, 0.9, 0.74, 1.21])
    found = compare_ranks(baseline, candidate, 0.95)  # Hollander and Wolfe, example 4.1
    assert found.estimate == pytest.approx(-0.305)
    assert (found.low, found.high) == pytest.approx((-0.76, 0.15))


def test_the_interval_covers_the_true_shift_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        found = compare_ranks(random.gamma(2, 1, 12), 3 + random.gamma(2, 1, 15), 0.95)
        covered += found.low <= 3 <= found.high
    assert 370 <= covered <= 396


@given(values, values)
def test_swapped_sides_mirror(baseline: list[float], candidate: list[float]) -> None:
    there = compare_ranks(np.array(baseline), np.array(candidate), 0.9)
    back = compare_ranks(np.array(candidate), np.array(baseline), 0.9)
    assert (there.estimate, there.low, there.high) == (-back.estimate, -back.high, -back.low)
    assert there.test.p_value == pytest.approx(back.test.p_value)


def test_values_whose_end_was_not_seen_rank_above_all_others() -> None:
    known = np.arange(1.0, 11.0)
    never = np.array([*known[7:], *[math.inf] * 7])
    found = compare_ranks(known, never, 0.95)
    assert found.test.p_value < 0.05
    assert found.high == math.inf
    assert compare_ranks(never, never, 0.95).estimate == 0


def test_an_interval_of_too_few_values_has_no_ends() -> None:
    found = compare_ranks(np.array([1.0, 2.0]), np.array([3.0, 4.0]), 0.95)
    assert (found.low, found.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("endless", [0, 30, 90])
def test_differences_of_very_many_pairs_are_found_without_listing_them(
    endless: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(7)
    baseline, candidate = random.gamma(2, 1, 120), np.round(random.gamma(2, 1.2, 100), 1)
    baseline[: endless // 2] = math.inf
    candidate[:endless] = math.inf
    listed = compare_ranks(baseline, candidate, 0.95)
    monkeypatch.setattr("harness.stats.shift.MOST_PAIRS", 0)
    found = compare_ranks(baseline, candidate, 0.95)
    for name in ("estimate", "low", "high"):
        assert getattr(found, name) == pytest.approx(getattr(listed, name), rel=1e-12)


@pytest.mark.timeout(60)
def test_ten_thousand_values_a_side_are_compared_in_seconds() -> None:
    random = np.random.default_rng(8)
    found = compare_ranks(random.normal(0, 1, 10_000), random.normal(0.5, 1, 10_000), 0.95)
    assert 0.4 < found.low < found.estimate < found.high < 0.6
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(2 / 10_000), rel=0.1)
    same = np.repeat([1.0, 2.0], 5_000)
    assert compare_ranks(same, same, 0.95).estimate == 0
