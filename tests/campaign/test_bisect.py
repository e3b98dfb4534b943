from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from harness.campaign.bisect import Bisection, releases_between
from harness.errors import HarnessError, UsageError
from harness.stats.sequential import Trials

SEARCHES = 400
RELEASES = [f"2.{minor}.0" for minor in range(20)]


class Flaky:
    """Releases that fail now and then: `before` the first bad one, and from it on."""

    def __init__(self, first_bad: int, before: float, after: float, seed: int) -> None:
        self.first_bad, self.rates, self.dice = first_bad, (before, after), Random(seed)
        self.counts: Counter[tuple[str, bool]] = Counter()

    def __call__(self, release: str, more: int) -> Trials:
        rate = self.rates[RELEASES.index(release) >= self.first_bad]
        for _ in range(more):
            self.counts[release, self.dice.random() < rate] += 1
        return Trials(self.counts[release, True], self.counts[release, False])


def search(first_bad: int, before: float, after: float, seed: int = 1, most: int = 60) -> str:
    return Bisection(RELEASES, Flaky(first_bad, before, after, seed), most).search().first_bad


@pytest.mark.parametrize("first_bad", range(1, 20))
def test_a_clear_case_is_found_wherever_it_is_with_few_runs(first_bad: int) -> None:
    flaky = Flaky(first_bad, 0.0, 1.0, 1)
    found = Bisection(RELEASES, flaky, 40).search()
    assert found.first_bad == RELEASES[first_bad]
    assert found.last_good == RELEASES[first_bad - 1]
    assert flaky.counts.total() <= 10 + 5 * 4


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.4), (0.1, 0.9), (0.05, 0.5)])
def test_a_scenario_that_fails_only_now_and_then_does_not_mislead(
    before: float, after: float
) -> None:
    wrong, untold = 0, 0
    for seed in range(60):
        first_bad = 1 + seed % 19
        try:
            wrong += search(first_bad, before, after, seed) != RELEASES[first_bad]
        except HarnessError:
            untold += 1
    assert wrong <= 6
    assert untold <= 12


@pytest.mark.parametrize(
    ("before", "after", "releases", "most"),
    [
        (0.1, 0.5, 10, 40),
        (0.1, 0.5, 10, 200),
        (0.05, 0.4, 20, 200),
        (0.2, 0.8, 10, 40),
        (0.2, 0.5, 20, 200),
        (0.5, 1.0, 10, 40),
        (0.0, 0.33, 10, 200),
        (0.0, 1.0, 20, 40),
    ],
)
def test_an_answer_is_wrong_no_more_often_than_it_says(
    before: float, after: float, releases: int, most: int
) -> None:
    """Rates taken for known from the ends' few runs are wrong in 4 to 11 of 100 of these."""
    wrong, answers = 0, 0
    for seed in range(SEARCHES):
        first_bad = 1 + seed % (releases - 1)
        flaky = Flaky(first_bad, before, after, seed)
        try:
            found = Bisection(RELEASES[:releases], flaky, most).search()
        except HarnessError:
            continue
        answers += 1
        wrong += found.first_bad != RELEASES[first_bad]
        assert f"{found.error:.0%}" == "6%"
    assert answers >= SEARCHES // 2
    assert wrong <= 0.06 * answers


def test_a_case_that_is_always_the_same_takes_three_runs_a_release() -> None:
    flaky = Flaky(7, 0.0, 1.0, 1)
    found = Bisection(RELEASES, flaky, 40).search()
    assert [one.n for one in found.trials.values()] == [5, 5, *[3] * (len(found.trials) - 2)]


def test_ends_that_differ_no_more_once_they_ran_more_are_refused() -> None:
    def run(release: str, more: int) -> Trials:
        counts[release] += more
        n = counts[release]
        if release == RELEASES[-1]:
            return Trials(min(n, 5), max(0, n - 5))
        return Trials(n // 2 if release != RELEASES[0] else max(0, n - 5), min(n, 5))

    counts: Counter[str] = Counter()
    with pytest.raises(HarnessError, match="after all they do not differ"):
        Bisection(RELEASES, run, 40).search()


def test_one_run_each_would_have_been_misled() -> None:
    """The same rates, where the first failure or pass decides: the test above can fail."""
    wrong = 0
    for seed in range(60):
        first_bad = 1 + seed % 19
        flaky = Flaky(first_bad, 0.05, 0.5, seed)
        low, high = 0, len(RELEASES) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if flaky(RELEASES[middle], 1).failed else (middle, high)
        wrong += RELEASES[high] != RELEASES[first_bad]
    assert wrong > 20


def test_ends_that_do_not_differ_are_refused() -> None:
    with pytest.raises(HarnessError, match="passed 10 of as many runs"):
        search(19, 0.0, 0.0)
    with pytest.raises(HarnessError, match="that may be chance"):
        search(10, 1.0, 1.0)


def test_a_release_that_is_like_neither_end_is_told() -> None:
    def run(release: str, more: int) -> Trials:
        counts[release] += more
        share = {RELEASES[0]: 0, RELEASES[-1]: 1}.get(release, 0.5)
        failed = round(counts[release] * share)
        return Trials(failed, counts[release] - failed)

    counts: Counter[str] = Counter()
    with pytest.raises(HarnessError, match="like neither end"):
        Bisection(RELEASES, run, 12).search()


def test_neighbours_need_no_step() -> None:
    found = Bisection(["2.1.0", "2.2.0"], Flaky(2, 0.0, 1.0, 1), 40).search()
    assert (found.last_good, found.first_bad) == ("2.1.0", "2.2.0")


def test_the_way_leads_from_good_to_bad_whichever_is_newer() -> None:
    known = ["2.9.0", "2.10.0", "2.11.0", "2.12.0"]
    assert releases_between("2.9.0", "2.11.0", known) == ["2.9.0", "2.10.0", "2.11.0"]
    assert releases_between("2.11.0", "2.9.0", known) == ["2.11.0", "2.10.0", "2.9.0"]
    with pytest.raises(UsageError, match=r"2\.8\.0 is not a release"):
        releases_between("2.8.0", "2.9.0", known)
    with pytest.raises(UsageError, match="both"):
        releases_between("2.9.0", "2.9.0", known)
