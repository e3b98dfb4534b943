"""Correction for having looked at many metrics at once."""

from __future__ import annotations

from collections.abc import Sequence

from harness.stats.permutation import Significance


def count_able(tests: Sequence[Significance], alpha: float) -> int:
    """Return by how many tests to divide `alpha`: those that could have been significant at all.

    A test of values that hardly differ, such as zeros everywhere, cannot raise a false alarm,
    so it costs the others nothing. Which tests those are is known from both sides' values
    put together, before one asks which side had which (Tarone, 1990): the result is the
    least number k such that at most k tests can reach ``alpha / k``; at least 1.
    """
    number = 1
    while sum(test.least <= alpha / number for test in tests) > number:
        number += 1
    return number


def adjust(tests: Sequence[Significance], alpha: float) -> list[float]:
    """Return the p-values after Holm's correction, by Tarone over the tests that count.

    A test that could not have been significant keeps 1. The chance that any test of a
    metric that did not change has an adjusted p-value of at most `alpha` is at most `alpha`.
    """
    number = count_able(tests, alpha)
    counted = [place for place, test in enumerate(tests) if test.least <= alpha / number]
    adjusted = [1.0] * len(tests)
    largest = 0.0
    ranked = sorted(counted, key=lambda place: tests[place].p_value)
    for before, place in enumerate(ranked):
        largest = max(largest, min(1.0, tests[place].p_value * (len(counted) - before)))
        adjusted[place] = largest
    return adjusted
