"""Iterations that do not count: where they make a comparison say nothing, and where they do not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from planted_runs import count, iteration, run, times

from harness.comparison.compare import compare_runs
from harness.comparison.notes import left_out_unevenly
from harness.comparison.runs import Run

SIDE = 20
PAIRS = 1000


def side(run_id: str, doubtful: int, n: int = SIDE) -> list[Run]:
    iterations = [
        iteration(
            {"failover_time": times([0.3 + one / 1000]), "stream_lost": count(0)},
            trust="guarantees" if one < doubtful else "all",
        )
        for one in range(n)
    ]
    return [run(iterations, run_id)]


@pytest.mark.parametrize(
    ("baseline", "candidate", "outcome"),
    [
        (0, 0, "no-regression"),
        (0, 3, "no-regression"),  # 3 of 6, by chance in one of 9 comparisons
        (0, 4, "too-few-runs"),  # in one of 19
        (1, 4, "no-regression"),
        (1, 6, "too-few-runs"),
        (4, 0, "no-regression"),
        (6, 0, "too-few-runs"),
    ],
)
def test_more_doubtful_iterations_of_the_candidate_are_held_against_it(
    baseline: int, candidate: int, outcome: str
) -> None:
    assert compare_runs(side("a", baseline), side("b", candidate)).outcome == outcome


def test_shares_are_compared_where_a_side_has_more_iterations() -> None:
    assert not left_out_unevenly((side("a", 1), side("b", 3, n=60)))
    assert left_out_unevenly((side("a", 1, n=60), side("b", 3)))


@pytest.mark.parametrize(
    ("share", "n", "most"), [(0.02, 20, 0.01), (0.05, 20, 0.02), (0.3, 20, 0.1), (0.1, 100, 0.1)]
)
def test_an_iteration_without_proof_now_and_then_rarely_ends_a_comparison(
    share: float, n: int, most: float
) -> None:
    """Any more on the candidate's side, as a rule, would end 24 to 45 of 100 of these."""
    random = np.random.default_rng(26)
    drawn = random.binomial(n, share, (PAIRS, 2)).tolist()
    assert count_ended(drawn, n) <= most * PAIRS
    assert sum(other > one for one, other in drawn) > 0.2 * PAIRS


def test_doubtful_iterations_that_are_not_by_chance_are_found() -> None:
    drawn = np.random.default_rng(27).binomial(SIDE, (0.02, 0.4), (PAIRS, 2)).tolist()
    assert count_ended(drawn, SIDE) >= 0.9 * PAIRS


def count_ended(drawn: list[list[int]], n: int) -> int:
    """Return how many pairs of numbers of doubtful iterations differ too much."""
    pairs = Counter((one, other) for one, other in drawn)
    return sum(
        often
        for (one, other), often in pairs.items()
        if left_out_unevenly((side("a", one, n), side("b", other, n)))
    )
