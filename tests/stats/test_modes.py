from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.modes import Cluster, find_modes, within

RANDOM = np.random.default_rng(5)


def around(center: float, n: int, spread: float = 0.05) -> np.ndarray:
    return center * (1 + RANDOM.normal(0, spread, n))


def test_values_of_one_hump_have_one_mode() -> None:
    for draw in (RANDOM.normal, RANDOM.lognormal, RANDOM.gumbel):
        one, other = draw(3, 0.3, 40), draw(3, 0.3, 40)
        assert len(find_modes(one, other, 0.01)) == 1


def test_an_immediate_reconnect_and_one_after_a_wait_are_two_modes() -> None:
    side = np.concatenate([around(0.005, 30), around(0.255, 30)])
    fast, slow = find_modes(side, side * 1.01, 0.03)
    assert fast.high < 0.01
    assert 0.2 < slow.low < slow.high < 0.33


def test_a_slower_side_makes_no_modes_of_its_own() -> None:
    """Both sides' slow clients belong together, however far one side's are from the other's."""
    side = np.concatenate([around(0.005, 40, 0.01), around(0.255, 40, 0.01)])
    assert len(find_modes(side, side * 1.5, 0.03)) == 2
    narrow = around(1.0, 40, 0.01)
    assert find_modes(narrow, narrow * 2, 0.03) == (
        Cluster(float(narrow.min()), float(2 * narrow.max())),
    )


def test_a_mode_that_only_the_candidate_has_is_one() -> None:
    fast = around(0.005, 40)
    mixed = np.concatenate([around(0.005, 20), around(0.255, 20)])
    assert len(find_modes(fast, mixed, 0.03)) == 2


def test_gaps_narrower_than_asked_tell_nothing_apart() -> None:
    side = np.concatenate([around(0.005, 30), around(0.025, 30)])
    assert len(find_modes(side, side, 0.03)) == 1


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.floats(0, 1))
def test_every_value_is_in_just_one_mode(values: list[float], least_gap: float) -> None:
    side = np.array(values)
    modes = find_modes(side, side[:0], least_gap)
    assert sum(len(within(side, mode)) for mode in modes) == len(side)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_as_many_modes_are_told_apart_as_there_are(number: int) -> None:
    side = np.concatenate([around(0.25 * (1 + one), 25, 0.01) for one in range(number)])
    assert len(find_modes(side, side, 0.03)) == number
