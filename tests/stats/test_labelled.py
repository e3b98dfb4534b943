from __future__ import annotations

import numpy as np

from harness.stats.labelled import Count, PooledSamples, PooledTally, Samples, Tally

SAMPLES = Samples.of(
    [
        (1.0, False, {"fault": "a", "role": "publisher"}),
        (2.0, True, {"fault": "a", "role": "subscriber"}),
        (3.0, False, {"fault": "b", "role": "publisher"}),
    ]
)


def test_samples_are_picked_by_all_wanted_labels() -> None:
    assert SAMPLES.select({}).n == 3
    assert list(SAMPLES.select({"fault": "a"}).bounds) == [1.0, 2.0]
    assert list(SAMPLES.select({"fault": "a", "role": "publisher"}).bounds) == [1.0]
    assert SAMPLES.select({"fault": "a"}).censored == 1


def test_a_label_value_that_nothing_carries_picks_nothing() -> None:
    assert SAMPLES.select({"fault": "c"}).n == 0
    assert Samples.of([]).select({"fault": "a"}).n == 0


def test_pooling_puts_samples_together_and_keeps_what_is_censored() -> None:
    pooled = PooledSamples((SAMPLES, SAMPLES)).select({"fault": "a"})
    assert list(pooled.bounds) == [1.0, 1.0, 2.0, 2.0]
    assert list(pooled.exact) == [1.0, 1.0]
    assert PooledSamples(()).select({}).n == 0


def test_pooling_without_censored_values_keeps_one_array() -> None:
    exact = Samples(np.array([2.0, 1.0]), None, {})
    pooled = PooledSamples((exact, exact)).select({})
    assert pooled.censored == 0
    assert list(pooled.bounds) == [1.0, 1.0, 2.0, 2.0]


def test_a_tally_sums_the_cells_with_all_wanted_labels() -> None:
    tally = Tally(
        (
            ({"phase": "steady", "workload": "w"}, Count(1, 10, 0, 10)),
            ({"phase": "fault", "workload": "w"}, Count(2, 20, 1, 20)),
        )
    )
    assert tally.select({}) == Count(3, 30, 1, 30)
    assert tally.select({"phase": "fault"}) == Count(2, 20, 1, 20)
    assert tally.select({"phase": "drain"}) == Count()
    assert PooledTally((tally, tally)).select({"phase": "steady"}) == Count(2, 20, 0, 20)


def test_exposure_narrows_the_count_but_not_what_was_seen() -> None:
    tally = Tally(
        (
            ({"phase": "steady", "state": "connected"}, Count(0, 10, 0, 10)),
            ({"phase": "steady", "state": "disconnected"}, Count(0, 0, 0, 0)),
        ),
        frozenset({"state"}),
    )
    assert tally.select({"state": "disconnected"}) == Count(0, 0, 0, 10)


def test_one_lower_bound_makes_the_sum_a_lower_bound() -> None:
    assert (Count(1) + Count(1, at_least=True)).at_least
