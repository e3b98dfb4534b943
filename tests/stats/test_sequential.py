from __future__ import annotations

from random import Random

import pytest
from scipy import stats

from harness.stats.sequential import LikenessTest, Trials, exceeds


def test_rates_are_never_certain() -> None:
    assert 0 < Trials(0, 5).rate < 0.1
    assert 0.9 < Trials(5, 0).rate < 1
    assert Trials().rate == 0.5


def test_five_failures_against_five_passes_are_no_chance_and_four_might_be() -> None:
    assert exceeds(Trials(0, 5), Trials(5, 0)) == pytest.approx(1 / 252)
    assert exceeds(Trials(0, 4), Trials(4, 0)) == pytest.approx(1 / 70)
    assert exceeds(Trials(2, 3), Trials(2, 3)) > 0.5
    assert exceeds(Trials(5, 0), Trials(0, 5)) == pytest.approx(1)


@pytest.mark.timeout(30)
def test_chance_is_told_of_as_many_trials_as_one_likes() -> None:
    table = [[1100, 8900], [1000, 9000]]
    expected = stats.fisher_exact(table, alternative="greater").pvalue
    assert exceeds(Trials(1000, 9000), Trials(1100, 8900)) == pytest.approx(expected, rel=1e-6)
    assert exceeds(Trials(0, 0), Trials(3, 2)) == 1


def known(rate: float) -> Trials:
    """Return so many trials that their rate is known."""
    return Trials(round(100_000 * rate), round(100_000 * (1 - rate)))


@pytest.mark.parametrize(
    ("low", "high", "error"), [(0.5, 0.5, 0.1), (0.6, 0.5, 0.1), (0.1, 0.9, 0.5), (0.1, 0.9, 0)]
)
def test_what_cannot_be_told_apart_is_no_test(low: float, high: float, error: float) -> None:
    with pytest.raises(ValueError, match="no test"):
        LikenessTest(known(low), known(high), error)


def test_clear_trials_decide_soon_and_mixed_ones_do_not() -> None:
    for test in (
        LikenessTest(known(0.08), known(0.92), 0.01),
        LikenessTest(Trials(0, 5), Trials(5, 0), 0.01),
    ):
        assert test.decide(Trials(0, test.least_trials())) == "low"
        assert test.decide(Trials(test.least_trials(), 0)) == "high"
        assert test.decide(Trials(2, 2)) is None
        assert test.least_trials() <= 3


def test_ends_of_few_trials_take_more_to_decide_than_known_ones() -> None:
    few = LikenessTest(Trials(1, 9), Trials(5, 5), 0.01)
    sure = LikenessTest(Trials(100, 900), Trials(500, 500), 0.01)
    assert sure.decide(Trials(3, 0)) == "high"
    assert few.decide(Trials(4, 0)) is None
    assert few.least_trials() > sure.least_trials()
    assert LikenessTest(Trials(4, 6), Trials(6, 4), 0.01).least_trials() == 10


@pytest.mark.parametrize(("low", "high"), [(0.02, 0.3), (0.08, 0.92), (0.3, 0.7)])
def test_wrong_decisions_stay_below_the_error_that_was_asked_for(low: float, high: float) -> None:
    dice, wrong = Random(5), 0
    test = LikenessTest(known(low), known(high), 0.02)
    for turn in range(1000):
        rate = low if turn % 2 else high
        trials, decision = Trials(), None
        while decision is None:
            failed = dice.random() < rate
            trials = Trials(trials.failed + failed, trials.passed + (not failed))
            decision = test.decide(trials)
        wrong += (decision == "low") is not (rate == low)
    assert wrong <= 35  # 20 are expected at most; 35 are beyond three standard deviations
