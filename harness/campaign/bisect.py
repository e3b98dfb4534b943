"""`bisect`: the first release on the way from a good one to a bad one that fails a scenario.

The two ends are run first, until it is certain that they differ. Every release between is then
run until it is clear which end it is like (a sequential test that knows how little the ends'
few runs tell of them), so that a scenario that fails only now and then cannot mislead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.campaign.conduct import conduct, lay_out
from harness.campaign.model import Outcome
from harness.cluster.package_index import list_releases, order
from harness.cluster.release import DISTRIBUTION, PROGRAM
from harness.errors import (
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_INTERRUPTED,
    EXIT_PASS,
    HarnessError,
    UsageError,
)
from harness.session import Options
from harness.stats.sequential import LikenessTest, Trials, exceeds

CERTAIN = 0.01  # how likely it may be that the ends differ by chance
ERROR = 0.05  # how likely it may be that any step went the wrong way
FIRST_RUNS = 5  # the fewest, all failed against all passed, that are `CERTAIN`

Try = Callable[[str, int], Trials]


class Interrupted(Exception):  # noqa: N818 - it is no error
    """Say that somebody ended the command."""


@dataclass(frozen=True)
class Found:
    """What a bisection found.

    Attributes:
        last_good: the last release on the way that is like the good end.
        first_bad: the one after it.
        trials: all that was run, by release.
        error: how likely the answer is wrong at most, as far as releases do not differ in how
            often they fail beyond good and bad.
    """

    last_good: str
    first_bad: str
    trials: dict[str, Trials]
    error: float


def releases_between(good: str, bad: str, known: Sequence[str]) -> list[str]:
    """Return the releases from `good` to `bad`, both included, in that direction.

    Raises:
        UsageError: one of them is not known, or they are the same.
    """
    for name in (good, bad):
        if name not in known:
            raise UsageError(f"nats-server {name} is not a release that can be had")
    if good == bad:
        raise UsageError(f"--good and --bad are both {good}")
    low, high = sorted((good, bad), key=order)
    found = [one for one in known if order(low) <= order(one) <= order(high)]
    return found if good == low else found[::-1]


@dataclass
class Bisection:
    """The search itself.

    Attributes:
        releases: from the good one to the bad one.
        run: runs a release so many times more, and returns what became of all runs of it.
        most_runs: how often one release is run at most.
    """

    releases: Sequence[str]
    run: Try
    most_runs: int
    trials: dict[str, Trials] = field(default_factory=dict)

    def search(self) -> Found:
        """Return the first bad release.

        Raises:
            HarnessError: the ends do not differ for certain, or a release is like neither.
        """
        good, bad = self.releases[0], self.releases[-1]
        self._tell_ends_apart(good, bad)
        error = ERROR / max(1, math.ceil(math.log2(len(self.releases) - 1)))
        low, high = 0, len(self.releases) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if self._is_bad(self.releases[middle], good, bad, error):
                high = middle
            else:
                low = middle
        return Found(self.releases[low], self.releases[high], dict(self.trials), ERROR + CERTAIN)

    def _tell_ends_apart(self, good: str, bad: str) -> None:
        runs, looks = FIRST_RUNS, 0
        while True:
            for release in (bad, good):
                have = self.trials.get(release, Trials())
                self._try(release, max(0, runs - have.n))
            chance = exceeds(self.trials[good], self.trials[bad])
            looks += 1
            if chance <= CERTAIN / 2**looks:  # all looks together stay below it
                return
            if self.trials[bad].failed == 0 and runs >= 2 * FIRST_RUNS:
                raise HarnessError(f"{bad} passed {self.trials[bad].passed} of as many runs")
            if runs >= self.most_runs:
                raise HarnessError(
                    f"{good} failed {_share(self.trials[good])} and {bad} "
                    f"{_share(self.trials[bad])}: that may be chance (p = {chance:.2g}), so "
                    "nothing between can be told; allow more runs with --most-runs"
                )
            runs = min(2 * runs, self.most_runs)

    def _is_bad(self, release: str, good: str, bad: str, error: float) -> bool:
        """Tell which end a release is like; the ends are run as often as it, if that is needed."""
        runs = self._test(good, bad, error).least_trials()
        while True:
            self._try(release, min(runs, self.most_runs))
            trials = self.trials[release]
            decision = self._test(good, bad, error).decide(trials)
            if decision is None:
                for end in (bad, good):
                    self._try(end, min(trials.n, self.most_runs) - self.trials[end].n)
                decision = self._test(good, bad, error).decide(trials)
            if decision is not None:
                return decision == "high"
            if trials.n >= self.most_runs:
                raise HarnessError(
                    f"{release} failed {_share(trials)}, which is like neither end "
                    f"({_share(self.trials[good])} and {_share(self.trials[bad])}); "
                    "allow more runs with --most-runs"
                )
            runs = min(1 + trials.n // 4, self.most_runs - trials.n)

    def _test(self, good: str, bad: str, error: float) -> LikenessTest:
        low, high = self.trials[good], self.trials[bad]
        if low.rate >= high.rate:
            raise HarnessError(
                f"{good} failed {_share(low)} and {bad} {_share(high)}: "
                "after all they do not differ"
            )
        return LikenessTest(low, high, error)

    def _try(self, release: str, runs: int) -> None:
        if runs > 0:
            self.trials[release] = self.run(release, runs)


def _share(trials: Trials) -> str:
    return f"{trials.failed} of {trials.n} runs"


def bisect_command(
    name: str,
    *,
    good: str,
    bad: str,
    options: Options,
    jobs: int,
    most_runs: int,
    folder: Path | None,
    console: Console,
) -> int:
    """Find and tell the first release that fails; exit 0 when found, 3 when it cannot be told.

    Raises:
        UsageError: the scenario is wrong, or a release cannot be had.
    """
    releases = releases_between(good, bad, list_releases(DISTRIBUTION, PROGRAM))
    folder = folder or options.reports / f"bisect-{Path(name).stem}-{good}-{bad}"
    console.print(
        Text(f"{len(releases)} releases from {good} to {bad}; runs are kept in {folder}", "dim"),
        soft_wrap=True,
    )
    tried: dict[str, list[Outcome]] = {}

    def run(release: str, more: int) -> Trials:
        outcomes = tried.setdefault(release, [])
        column = {release: replace(options, server=release)}
        cells = lay_out([name], column, range(len(outcomes), len(outcomes) + more), console)
        done = conduct(cells, folder, jobs, console)
        if done.interrupted:
            raise Interrupted
        outcomes.extend(done.outcomes)
        return _count(release, outcomes)

    search = Bisection(releases, run, most_runs)
    try:
        found = search.search()
    except Interrupted:
        return EXIT_INTERRUPTED
    except UsageError:
        raise
    except HarnessError as error:
        console.print(_table(releases, search.trials, None))
        console.print(Text(f"not found: {error}", "yellow"), soft_wrap=True)
        return EXIT_INCONCLUSIVE
    console.print(_table(releases, found.trials, found))
    console.print(
        Text.assemble(
            ("first bad: ", "bold"),
            (found.first_bad, "bold red"),
            f"; {found.last_good} before it is good (wrong with a chance of at most "
            f"{found.error:.0%})",
        ),
        soft_wrap=True,
    )
    seen = replace(options, server=found.first_bad)
    words = seen.reproduce(name, options.backend, _seed_of(tried[found.first_bad]))
    console.print(Text(f"see it: {words}"), soft_wrap=True)
    return EXIT_PASS


def _seed_of(outcomes: Sequence[Outcome]) -> int:
    """Return the seed of a run that failed."""
    failed = [one for one in outcomes if one.code == EXIT_FAIL]
    return (failed or list(outcomes))[0].cell.scenario.seed


def _count(release: str, outcomes: Sequence[Outcome]) -> Trials:
    """Count passes and failures; HarnessError where too many runs were neither."""
    codes = [one.code for one in outcomes]
    failed, passed = codes.count(EXIT_FAIL), codes.count(EXIT_PASS)
    judged = (EXIT_FAIL, EXIT_PASS)
    neither = [one for one, code in zip(outcomes, codes, strict=True) if code not in judged]
    if len(neither) > max(2, len(outcomes) // 2):
        why = next((one.trouble for one in neither if one.trouble), "see their reports")
        raise HarnessError(
            f"{len(neither)} of {len(outcomes)} runs of {release} neither passed nor failed: {why}"
        )
    return Trials(failed, passed)


def _table(releases: Sequence[str], trials: dict[str, Trials], found: Found | None) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("release", "failed", "of", ""):
        table.add_column(title, justify="right" if title in ("failed", "of") else "left")
    for release in releases:
        if (tried := trials.get(release)) is None:
            continue
        word = ""
        if found is not None:
            word = {found.first_bad: "first bad", found.last_good: "last good"}.get(release, "")
        table.add_row(release, str(tried.failed), str(tried.n), word)
    return table
