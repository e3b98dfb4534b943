from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.distribution import QUANTILES, Distribution, rank
from harness.stats.interval import Interval

finite = st.floats(0, 1e6, allow_nan=False)
rows = st.lists(st.tuples(finite, st.booleans()), min_size=1, max_size=40)


def test_an_empty_distribution_has_a_number_of_values_and_nothing_else() -> None:
    empty = Distribution.of([])
    assert empty.statistic("n") == Interval.exactly(0)
    assert empty.statistic("p99") is None
    assert empty.statistic("censored") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("min", 1), ("p50", 50), ("p90", 90), ("p95", 95), ("p99", 99), ("max", 100)],
)
def test_percentiles_are_by_nearest_rank(name: str, expected: float) -> None:
    values = Distribution.of(np.arange(100, 0, -1))
    assert values.statistic(name) == Interval.exactly(expected)


def test_rank_is_not_thrown_off_by_binary_fractions() -> None:
    assert 0.95 * 20 != 19 or rank(0.95, 20) == 19
    assert [rank(0.95, n) for n in (1, 19, 20, 21, 40, 60, 100)] == [1, 19, 19, 20, 38, 57, 95]
    assert rank(0.99, 4) == 4


def test_a_censored_largest_value_leaves_the_maximum_open() -> None:
    values = Distribution.of([1.0, 2.0, 3.0], [False, False, True])
    assert values.censored == 1
    assert values.statistic("max") == Interval(3.0, math.inf)
    assert values.statistic("p50") == Interval.exactly(2.0)
    assert values.statistic("min") == Interval.exactly(1.0)


def test_a_censored_small_value_may_move_every_statistic_above_it() -> None:
    values = Distribution.of([0.5, 1.0, 2.0, 3.0], [True, False, False, False])
    assert values.statistic("min") == Interval(0.5, 1.0)
    assert values.statistic("p50") == Interval(1.0, 2.0)
    assert values.statistic("max") == Interval(3.0, math.inf)


def test_all_censored_means_that_only_lower_bounds_are_known() -> None:
    values = Distribution.of([4.0, 5.0], [True, True])
    assert values.statistic("min") == Interval(4.0, math.inf)
    assert values.statistic("censored") == Interval.exactly(2)


@pytest.mark.parametrize("bad", [[math.nan], [math.inf], [[1.0]]])
def test_what_is_no_flat_list_of_numbers_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        Distribution.of(bad)


def test_flags_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="flags"):
        Distribution.of([1.0, 2.0], [True])


def test_there_is_no_rank_beyond_the_values() -> None:
    with pytest.raises(ValueError, match="no rank 3"):
        Distribution.of([1.0, 2.0]).order(3)


@given(rows, st.lists(finite, min_size=40, max_size=40))
def test_the_true_statistic_lies_in_its_interval_whatever_was_not_seen(
    told: list[tuple[float, bool]], beyond: list[float]
) -> None:
    values = Distribution.of([value for value, _ in told], [cut for _, cut in told])
    truth = sorted(
        value + (more if cut else 0.0) for (value, cut), more in zip(told, beyond, strict=False)
    )
    for name, quantile in QUANTILES.items():
        interval = values.statistic(name)
        assert interval is not None
        true = truth[rank(quantile, len(truth)) - 1]
        assert interval.lower <= true <= interval.upper


def test_an_interval_refuses_ends_in_the_wrong_order() -> None:
    with pytest.raises(ValueError, match="no interval"):
        Interval(2.0, 1.0)
    with pytest.raises(ValueError, match="no interval"):
        Interval(math.nan, 1.0)


def test_a_widened_interval_does_not_reach_below_zero() -> None:
    assert Interval(0.01, 1.0).widened(0.1, 0.2) == Interval(0.0, 1.2)
