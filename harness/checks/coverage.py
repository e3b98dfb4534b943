"""Coverage: was there always somebody whose missing of a message would show?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.connections import closed_under_load, trace
from harness.history.facts import Iteration
from harness.history.ledger import Ledger
from harness.history.tables import Outcome

NAME = "coverage"
STUCK_NS = 1_000_000_000


def judge_coverage(case: Case) -> Result:
    """Judge whether the absence of a message could be seen at all.

    Loss is counted at confirmed subscriptions that are not closed, and of what was sent. So
    each of these leaves a hole in what was watched, and makes the run inconclusive:

    - an accepted message for which there was no such subscription;
    - a single subscription that was never confirmed for a sender it is planned to hear, for
      its loss of that sender's messages is not counted, whoever else got them; of a queue
      group one member suffices;
    - a client of any role, each member of a queue group too, that gave up for good under
      load;
    - a sender that, at the end of the load, had not attempted messages due more than a
      second before: what is not sent cannot be lost;
    - a client that lost its server under load and was not connected again by the end: the
      run was too short to tell what became of it.
    """
    ledger = case.ledger
    away = _away(ledger.iteration)
    return Result(
        findings=(
            *_uncovered(ledger),
            *_unconfirmed(ledger),
            *_closed(ledger.iteration),
            *_stuck(ledger),
            *away,
        )
    )


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


def _unconfirmed(ledger: Ledger) -> Iterator[Finding]:
    for _, where in ledger.places():
        if not where.receives or where.grouped:
            continue
        deaf_to = [
            one.name
            for one in ledger.senders
            if one.id in where.senders and one.id not in where.confirmed_ns
        ]
        if deaf_to:
            yield Finding(
                NAME,
                Verdict.INCONCLUSIVE,
                f"{where.name} was never confirmed to hear {', '.join(deaf_to)}; what it missed "
                "of that is not counted as lost",
                "look for why its subscription was not known to every server before the load",
                n=len(deaf_to),
            )


def _closed(iteration: Iteration) -> Iterator[Finding]:
    for client in iteration.clients:
        closed_ns = closed_under_load(iteration).get(client.name)
        if closed_ns is not None:
            hole = (
                "what it was to send from then on was not tested"
                if client.sends
                else "what it missed from then on is not counted as lost"
            )
            yield Finding(
                NAME,
                Verdict.INCONCLUSIVE,
                f"{client.name} gave up for good after {iteration.relative_s(closed_ns):.3f} s; "
                f"{hole}",
                "allow its clients more reconnect attempts",
            )


def _stuck(ledger: Ledger) -> Iterator[Finding]:
    stop_ns = ledger.iteration.load_stop_ns or 0
    for rank, sender in enumerate(ledger.senders):
        due_ns = ledger.unattempted_ns(rank)
        if count := int(np.count_nonzero(due_ns < stop_ns - STUCK_NS)):
            yield Finding(
                NAME,
                Verdict.INCONCLUSIVE,
                f"{sender.name} was stuck: {count} message(s) due more than "
                f"{STUCK_NS / 1e9:g} s before the load stopped were never attempted",
                "the client library may have blocked; see send_lateness, and the logs in workers/",
                n=count,
            )


def _away(iteration: Iteration) -> Iterator[Finding]:
    closed = closed_under_load(iteration)
    for client in iteration.clients:
        last = next(reversed(trace(iteration, client)), None)
        if last is None or last.broke_ns is None or client.name in closed:
            continue
        if last.back_ns is None and last.broke_ns < (iteration.load_stop_ns or 0):
            yield Finding(
                NAME,
                Verdict.INCONCLUSIVE,
                f"{client.name} lost {last.server} at {iteration.relative_s(last.broke_ns):.3f} s "
                "and was not connected again by the end",
                "give it more recovery, or look for why it cannot come back",
            )


CHECK = Check(NAME, judge_coverage)
