"""Accounting: what became of every message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.absence import find_absence
from harness.history.connections import closed_under_load
from harness.history.destinations import FOREVER_NS, Destination
from harness.history.ledger import Ledger
from harness.history.misfits import find_misfits
from harness.history.tables import Outcome
from harness.scenario.metrics import PHASES
from harness.stats.labelled import Count, Tally

NAME = "accounting"
STATES = ("disconnected", "connected")
Array = npt.NDArray[Any]


def judge_accounting(case: Case) -> Result:
    """Count what became of every message, by phase, workload and publisher state.

    A destination is a subscription, or a queue group as a whole. It counts for a message
    when it was confirmed for the message's sender before the attempt and was not closed
    by then. The phase of a message is the one in which it was due.

    - `lost`: accepted (publish returned) and not delivered intact to a destination that
      counts for it, by the end of drain. One message absent at two subscriptions is lost
      twice; a queue group counts once. Of: accepted messages, once for each such
      destination. When drain ended before every fence had arrived, what was sent after
      the last message that arrived from the same sender may only have been late, and is
      uncertain. Acknowledged, refused and unknown messages are never lost.
    - `duplicates`: deliveries of a message to a destination beyond the first. Of: all
      intact deliveries.
    - `out_of_order`: first deliveries to a destination after a later message of the same
      sender had come to the same client. Of: first deliveries.
    - `corrupted`: deliveries of this harness's payloads whose checksum does not hold. Their
      ids mean nothing, so the message counts as lost as well. Of: all deliveries.
    - `unexpected`: deliveries of messages that were never attempted, are of another run
      or no harness's at all, or went to another subject. Of: all deliveries. Of a sender
      whose columns are not whole, only what no missing row could explain is counted.
    - `refused`, `unknown`: attempts with a definite error; attempts that timed out or were
      cut off. Of: attempts.
    - `recovered`: unknown attempts that were found delivered. Of: unknown attempts.
    """
    ledger = case.ledger
    tables = [_account(ledger, place, where) for place, where in ledger.places()]
    whole = case.iteration.whole
    tallies = {
        "lost": _tally(_lost(tables, whole=whole), frozenset({"state"})),
        "duplicates": _tally(_by_phase(tables, "duplicates", "matched", ledger, whole=whole)),
        "out_of_order": _tally(_by_phase(tables, "out_of_order", "delivered", ledger, whole=whole)),
        "corrupted": _tally(_by_workload(tables, "corrupted", whole=whole)),
        "unexpected": _tally(_by_workload(tables, "unexpected", whole=whole)),
        **_outcomes(ledger, whole=whole),
    }
    return Result(tallies=tallies, findings=tuple(_open(ledger, tables)))


@dataclass(frozen=True)
class _Account:
    """The counts of one destination; arrays have one place a phase, or (phase, state)."""

    where: Destination
    accepted: Array
    lost: Array
    uncertain: Array
    matched: Array
    delivered: Array
    duplicates: Array
    out_of_order: Array
    total: int
    corrupted: int
    unexpected: int


def _account(ledger: Ledger, place: int, where: Destination) -> _Account:
    deliveries, first = ledger.matched(place)
    rows = ledger.row[deliveries]
    absence = find_absence(ledger, where, rows)
    corrupted, unexpected = find_misfits(ledger, place)
    return _Account(
        where=where,
        accepted=_cells(ledger, absence.due),
        lost=_cells(ledger, absence.lost),
        uncertain=_cells(ledger, absence.uncertain),
        matched=_phases(ledger, rows),
        delivered=_phases(ledger, rows[first]),
        duplicates=_phases(ledger, rows[~first]),
        out_of_order=_phases(ledger, rows[first & _overtaken(ledger, deliveries, rows)]),
        total=len(ledger.by_destination[place]),
        corrupted=len(corrupted),
        unexpected=len(unexpected),
    )


def _cells(ledger: Ledger, flags: Array) -> Array:
    code = ledger.phase[flags] * np.uint8(2) + (ledger.sent["connected"][flags] != 0)
    return np.bincount(code, minlength=2 * len(PHASES)).reshape(len(PHASES), 2)


def _phases(ledger: Ledger, rows: Array) -> Array:
    return np.bincount(ledger.phase[rows], minlength=len(PHASES))


def _overtaken(ledger: Ledger, deliveries: Array, rows: Array) -> Array:
    """Return (k,) flags: a later message of the same sender had come to the same client.

    The deliveries of each (client, sender) pair are brought together in the order they
    came; within a pair, a key below the highest so far is late.
    """
    clients = np.unique(ledger.delivered["client"][deliveries])
    pairs = len(clients) * len(ledger.senders)
    pair = np.searchsorted(clients, ledger.delivered["client"][deliveries])
    pair = (pair * len(ledger.senders) + ledger.rank[rows]).astype(np.min_scalar_type(pairs))
    order = np.argsort(pair, kind="stable").astype(np.int32)
    key = ledger.sent["sequence"][rows[order]].astype(np.int64)
    key += pair[order].astype(np.int64) * (int(key.max(initial=0)) + 1)
    flags = np.zeros(len(rows), dtype=np.bool_)
    flags[order] = key < np.maximum.accumulate(key)
    return flags


def _tally(
    cells: Iterable[tuple[Mapping[str, str], Count]], exposure: frozenset[str] = frozenset()
) -> Tally:
    return Tally(tuple(cells), exposure)


def _lost(tables: list[_Account], *, whole: bool) -> Iterator[tuple[Mapping[str, str], Count]]:
    for table in tables:
        for at, phase in enumerate(PHASES):
            for state_at, state in enumerate(STATES):
                of = int(table.accepted[at, state_at])
                yield (
                    {"phase": phase, "workload": table.where.workload, "state": state},
                    Count(
                        int(table.lost[at, state_at]),
                        of,
                        int(table.uncertain[at, state_at]),
                        of,
                        at_least=not whole,
                    ),
                )


def _by_phase(
    tables: list[_Account], counted: str, chances: str, ledger: Ledger, *, whole: bool
) -> Iterator[tuple[Mapping[str, str], Count]]:
    seen = {name: _phases(ledger, rows) for name, rows in _workload_rows(ledger)}
    for table in tables:
        for at, phase in enumerate(PHASES):
            labels = {"phase": phase, "workload": table.where.workload}
            count, of = int(getattr(table, counted)[at]), int(getattr(table, chances)[at])
            yield labels, Count(count, of, 0, 0, at_least=not whole)
    for name, by_phase in seen.items():
        for at, phase in enumerate(PHASES):
            yield {"phase": phase, "workload": name}, Count(seen=int(by_phase[at]))


def _by_workload(
    tables: list[_Account], counted: str, *, whole: bool
) -> Iterator[tuple[Mapping[str, str], Count]]:
    for table in tables:
        count = Count(getattr(table, counted), table.total, 0, table.total, at_least=not whole)
        yield {"workload": table.where.workload}, count


def _workload_rows(ledger: Ledger) -> Iterator[tuple[str, Array]]:
    names = dict.fromkeys(sender.workload for sender in ledger.senders)
    for name in names:
        theirs = [
            rows
            for sender, rows in zip(ledger.senders, ledger.by_sender, strict=True)
            if sender.workload == name
        ]
        yield name, np.concatenate(theirs)


def _outcomes(ledger: Ledger, *, whole: bool) -> dict[str, Tally]:
    cells: dict[str, list[tuple[Mapping[str, str], Count]]] = {
        "refused": [],
        "unknown": [],
        "recovered": [],
    }
    first_ns = ledger.find_first_ns()
    for name, rows in _workload_rows(ledger):
        outcome = ledger.sent["outcome"][rows]
        attempted = _phases(ledger, rows)
        refused = _phases(ledger, rows[outcome == Outcome.REFUSED])
        open_rows = rows[outcome == Outcome.UNKNOWN]
        unknown = _phases(ledger, open_rows)
        found = _phases(ledger, open_rows[first_ns[open_rows] != FOREVER_NS])
        for at, phase in enumerate(PHASES):
            labels = {"phase": phase, "workload": name}
            n = int(attempted[at])
            for metric, counted, of in (
                ("refused", refused, n),
                ("unknown", unknown, n),
                ("recovered", found, int(unknown[at])),
            ):
                count = Count(int(counted[at]), of, 0, n, at_least=not whole)
                cells[metric].append((labels, count))
    return {metric: _tally(rows) for metric, rows in cells.items()}


def _open(ledger: Ledger, tables: list[_Account]) -> Iterator[Finding]:
    gave_up = ", ".join(closed_under_load(ledger.iteration))
    advice = (
        f"{gave_up} gave up for good, so waiting longer shows no more: allow more reconnect "
        "attempts"
        if gave_up
        else "give drain more time"
    )
    for table in tables:
        if count := int(table.uncertain.sum()):
            yield Finding(
                NAME,
                Verdict.INCONCLUSIVE,
                f"drain ended before {count} message(s) to {table.where.name} were accounted "
                "for: they are lost or late",
                advice,
                n=count,
            )


CHECK = Check(
    NAME,
    judge_accounting,
    (
        "lost",
        "duplicates",
        "out_of_order",
        "corrupted",
        "unexpected",
        "refused",
        "unknown",
        "recovered",
    ),
)
