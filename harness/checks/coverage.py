"""Coverage: was there always somebody whose missing of a message would show?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.ledger import Ledger
from harness.history.tables import Outcome

NAME = "coverage"


def judge_coverage(case: Case) -> Result:
    """Judge whether the absence of a message could be seen at all.

    Loss is counted at confirmed subscriptions that are not closed. So an accepted message
    for which there was none, or a subscription that gave up for good under load, leaves
    a hole in what was watched, and the run is inconclusive.
    """
    return Result(findings=(*_uncovered(case.ledger), *_closed(case.ledger)))


def _uncovered(ledger: Ledger) -> Iterator[Finding]:
    covered = np.zeros(ledger.attempts, dtype=np.bool_)
    for _, where in ledger.places():
        covered |= ledger.awaited(where)
    bare = (ledger.sent["outcome"] == Outcome.ACCEPTED) & ~covered
    if count := int(np.count_nonzero(bare)):
        yield Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"{count} accepted message(s) had no confirmed, open subscription to arrive at",
            "look for subscribers that closed or were never confirmed",
            n=count,
        )


def _closed(ledger: Ledger) -> Iterator[Finding]:
    iteration = ledger.iteration
    for _, where in ledger.places():
        under_load = where.closed_ns < (iteration.load_stop_ns or 0)
        if where.receives and under_load:
            yield Finding(
                NAME,
                Verdict.INCONCLUSIVE,
                f"{where.name} gave up for good after "
                f"{iteration.relative_s(where.closed_ns):.3f} s; what it missed from then on "
                "is not counted as lost",
                "allow its clients more reconnect attempts",
            )


CHECK = Check(NAME, judge_coverage)
