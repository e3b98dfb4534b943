"""Comparisons of hundreds of iterations a side, where choices are more than a float can count."""

from __future__ import annotations

import numpy as np
import pytest
from planted_runs import count, draw_run, iteration, run, times

from harness.comparison.compare import compare_runs
from harness.comparison.runs import Run

pytestmark = pytest.mark.timeout(120)


def drawn(run_id: str, side: int, *, doubtful: int = 0, corrupted: int = 0) -> Run:
    """Return a run of `side` iterations, the first of which are doubtful, or corrupted."""
    return run(
        [
            iteration(
                {
                    "failover_time": times([0.3 + (one * 7 % 50) / 1000]),
                    "corrupted": count(one < corrupted),
                },
                seed=f"42/{one}",
                trust="guarantees" if one < doubtful else "all",
            )
            for one in range(side)
        ],
        run_id,
    )


@pytest.mark.parametrize("side", [500, 515, 600])
def test_a_side_that_mostly_has_no_proof_is_not_without_regression(side: int) -> None:
    baseline = drawn("a", side)
    assert compare_runs([baseline], [drawn("b", side)]).outcome == "no-regression"
    doubtful = compare_runs([baseline], [drawn("b", side, doubtful=side * 4 // 5)])
    assert (doubtful.outcome, doubtful.exit_code) == ("too-few-runs", 3)


@pytest.mark.parametrize("side", [500, 515, 600])
def test_a_guarantee_that_is_broken_again_and_again_is_a_regression(side: int) -> None:
    comparison = compare_runs([drawn("a", side)], [drawn("b", side, corrupted=100)])
    changes = {one.statistic: one.change for one in comparison.scenarios[0].metrics}
    assert changes == {"mean": "unchanged", "count": "regressed", "any": "regressed"}
    assert comparison.exit_code == 4


def test_a_thousand_iterations_a_side_are_compared_in_seconds() -> None:
    random = np.random.default_rng(25)
    sides = draw_run(random, 1000, "a"), draw_run(random, 1000, "b")
    assert compare_runs([sides[0]], [sides[1]]).outcome == "no-regression"
