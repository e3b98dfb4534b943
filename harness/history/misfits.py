"""Deliveries that should not be: damaged ones, and ones that nobody attempted."""

from __future__ import annotations

import numpy as np

from harness.history.ledger import STRANGER, Array, Ledger
from harness.history.tables import Integrity


def find_misfits(ledger: Ledger, place: int) -> tuple[Array, Array]:
    """Return the corrupted and the unexpected deliveries of a destination.

    Corrupted: of this harness by the mark, but the checksum does not hold. Unexpected: of
    another run or of no harness; intact but never attempted; or attempted on a subject
    that is not this destination's. Where rows of a sender are missing from its columns, a
    message that they could have held is not called unexpected.
    """
    deliveries = ledger.by_destination[place]
    integrity = ledger.delivered["integrity"][deliveries]
    origin = ledger.origin[deliveries]
    row = ledger.row[deliveries]
    named = np.where(origin == STRANGER, len(ledger.senders), origin)
    never = (row < 0) & np.append(_trusted(ledger), True)[named]
    elsewhere = (row >= 0) & ~np.append(_on_subject(ledger, place), True)[named]
    intact = integrity == Integrity.INTACT
    unexpected = (integrity == Integrity.FOREIGN) | (intact & (never | elsewhere))
    return deliveries[integrity == Integrity.CORRUPTED], deliveries[unexpected]


def _trusted(ledger: Ledger) -> Array:
    return np.array([ledger.iteration.trusts(one) for one in ledger.senders], dtype=np.bool_)


def _on_subject(ledger: Ledger, place: int) -> Array:
    """Return flags by rank: the sender publishes on the destination's subject."""
    subjects = ledger.iteration.subjects

    def subject_of(workload: str) -> str:
        return subjects.get(workload, workload)

    here = subject_of(ledger.destinations[place].workload)
    return np.array([subject_of(one.workload) == here for one in ledger.senders], dtype=np.bool_)
