"""What never arrived where it was to: the rows of core NATS that count as lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.history.destinations import Destination
from harness.history.ledger import Array, Ledger
from harness.history.tables import Outcome


@dataclass(frozen=True)
class CoreAbsence:
    """What a destination was to get and did not; flags of shape (n,), one an attempt.

    Attributes:
        due: accepted messages that it was there for; none where absence is no evidence.
        lost: of these, what did not arrive intact by the end of drain.
        uncertain: of `lost`, what may only have been late.
    """

    due: Array
    lost: Array
    uncertain: Array


def find_absence(ledger: Ledger, where: Destination, rows: Array) -> CoreAbsence:
    """Return what is absent at a destination, given the attempts that arrived there, (k,).

    When drain ended before every fence had arrived, what a sender sent after the last message
    of it that arrived may only have been late.
    """
    arrived = np.zeros(ledger.attempts, dtype=np.bool_)
    arrived[rows] = True
    due = (ledger.sent["outcome"] == Outcome.ACCEPTED) & ledger.awaited(where)
    if not where.trusted:
        due[:] = False
    lost = due & ~arrived
    drained = ledger.iteration.drained
    uncertain = np.zeros_like(lost) if drained else lost & _after_last(ledger, rows)
    return CoreAbsence(due, lost, uncertain)


def _after_last(ledger: Ledger, rows: Array) -> Array:
    """Return (n,) flags: attempts later than the sender's last message among `rows`."""
    last = np.full(len(ledger.senders), -1, dtype=np.int64)
    sequence = ledger.sent["sequence"].astype(np.int64)
    np.maximum.at(last, ledger.rank[rows], sequence[rows])
    flags: Array = sequence > last[ledger.rank]
    return flags
