from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats.correction import adjust, count_able
from harness.stats.permutation import Significance
from harness.stats.power import MOST_RUNS, least_runs, runs_for_rate, runs_for_shift
from harness.stats.shift import compare_ranks


def results(*p_values: float, least: float = 1e-6) -> list[Significance]:
    return [Significance(p_value, least, "") for p_value in p_values]


def test_holm_s_correction_is_the_textbook_s() -> None:
    assert adjust(results(0.01, 0.04, 0.03, 0.005), 0.05) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_what_cannot_be_significant_costs_the_others_nothing() -> None:
    hopeless = results(1.0, 1.0, 1.0, least=1.0)
    assert adjust([*results(0.009), *hopeless], 0.01) == [0.009, 1.0, 1.0, 1.0]
    assert count_able([*results(0.009), *hopeless], 0.01) == 1
    assert adjust(results(*[0.009] * 4), 0.01)[0] == pytest.approx(0.036)


def test_as_many_values_as_the_rank_test_needs() -> None:
    assert [least_runs(alpha) for alpha in (0.05, 0.01, 0.001)] == [4, 5, 7]
    for alpha in (0.05, 0.01, 0.001):
        n = least_runs(alpha)
        assert 2 / math.comb(2 * n, n) <= alpha < 2 / math.comb(2 * n - 2, n - 1)


def test_with_the_runs_that_are_asked_for_twice_the_limit_is_found() -> None:
    random = np.random.default_rng(6)
    limit, alpha = 0.1, 0.001
    first = compare_ranks(random.normal(1, 0.2, 8), random.normal(1, 0.2, 8), 0.95)
    half_width = (first.high - first.low) / 2
    needed = runs_for_shift((8, 8), half_width, limit, alpha=alpha, confidence=0.95)
    assert needed is not None
    found = 0
    for _ in range(100):
        shift = compare_ranks(
            random.normal(1, 0.2, needed), random.normal(1 + 2 * limit, 0.2, needed), 0.95
        )
        found += shift.test.p_value <= alpha and shift.estimate > limit
    assert found >= 80
    assert needed < 200


def test_more_spread_needs_more_runs_up_to_a_bound() -> None:
    asked = [
        runs_for_shift((20, 20), half_width, 0.1, alpha=0.001, confidence=0.95)
        for half_width in (0.01, 0.1, 0.2, 10.0)
    ]
    assert asked[0] == least_runs(0.001)
    assert asked[1] is not None
    assert asked[2] is not None
    assert asked[0] < asked[1] < asked[2] <= MOST_RUNS
    assert asked[3] is None


def test_a_rare_event_needs_runs_by_its_rate() -> None:
    assert runs_for_rate((0.0, 0.5), 0.01) == 16
    assert runs_for_rate((0.0, 0.05), 0.01) == 160
    assert runs_for_rate((0.0, 0.001), 0.01) is None
    assert runs_for_rate((0.2, 0.2), 0.01) is None
