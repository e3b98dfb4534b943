"""Named: what happened to each message that the scenario names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from harness.checks.base import NS_PER_S, Case, Check, Finding, Result, Verdict
from harness.history.connections import Connection, trace
from harness.history.destinations import FOREVER_NS, Destination
from harness.history.facts import Client
from harness.history.ledger import Ledger
from harness.history.tables import Outcome
from harness.scenario.metrics import PHASES

NAME = "named"
OUTCOMES: Mapping[int, str] = {
    Outcome.ACCEPTED: "accepted",
    Outcome.ACKED: "accepted",
    Outcome.REFUSED: "refused",
    Outcome.UNKNOWN: "unknown",
}


def judge_named(case: Case) -> Result:
    """Tell of each named message what its sender knows of it, and each subscriber.

    A named message that was never attempted makes the run inconclusive, also when the load
    ended before it was due: what the scenario asks about it was not tested. What became of
    the others counts as of any message; accounting counts the same losses.

    Facts: `named`, one mapping for each message, in the order of senders and due times:
    `workload`, `text`, `publisher`, `server` (which it was on at the attempt, else when the
    message was due; None without connection), `due` (s), `phase` (None after the end of the
    load), `attempted` (s or None), `outcome` (accepted, refused, unknown, not-attempted or
    unrecorded) and `subscribers`, a mapping each: `name`, `server`, `fate`, `at` (s or None),
    `latency` (s from when it was due, or None) and `copies`. The fate is the first that is
    true of

    - delivered: it came, intact;
    - not-sent: it was refused or never attempted;
    - unrecorded: the columns of a worker are not whole, so that absence says nothing;
    - not-delivered: its outcome is unknown, and it did not come;
    - not-confirmed, closed: nobody had seen the subscription work before the attempt, or the
      subscriber had given up for good by then;
    - uncertain: it may only have been late, since drain ended before every fence arrived;
    - lost.
    """
    ledger = case.ledger
    shown = [one for sender in ledger.senders if sender.listed for one in _tell(ledger, sender)]
    return Result(findings=tuple(_judge(shown)), facts={"named": shown} if shown else {})


def _judge(shown: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    missed = [one for one in shown if one["outcome"] == "not-attempted"]
    for one in missed:
        why = (
            "the load ended before it was due"
            if one["phase"] is None
            else f"due after {one['due']:.3f} s, it was never attempted"
        )
        yield Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"{one['publisher']} did not send {one['text']!a}: {why}",
            "see what kept its sender, or what ended the fault phase early",
        )
    if shown and not missed:
        yield Finding(NAME, Verdict.PASS, f"{len(shown)} named message(s) were sent", n=len(shown))


def _tell(ledger: Ledger, sender: Client) -> Iterator[dict[str, Any]]:
    iteration = ledger.iteration
    if iteration.load_start_ns is None or iteration.load_stop_ns is None:
        return
    rows = ledger.by_sender[ledger.rank_of[sender.id]]
    row_of = dict(zip(ledger.sent["sequence"][rows].tolist(), rows.tolist(), strict=True))
    connections = trace(iteration, sender)
    heard = [
        _Ear(ledger, place, one, rows) for place, one in ledger.places() if sender.id in one.senders
    ]
    for number, (due_s, text) in enumerate(zip(sender.due_s, sender.texts, strict=True)):
        due_ns = iteration.load_start_ns + round(due_s * 1e9)
        row = row_of.get(number)
        attempted_ns = None if row is None else int(ledger.sent["attempted_ns"][row])
        outcome = "not-attempted" if iteration.trusts(sender) else "unrecorded"
        if row is not None:
            outcome = OUTCOMES.get(int(ledger.sent["outcome"][row]), "unknown")
        yield {
            "workload": sender.workload,
            "text": text,
            "publisher": sender.name,
            "server": _server(connections, attempted_ns or due_ns),
            "due": iteration.relative_s(due_ns),
            "phase": _phase(ledger, due_ns),
            "attempted": None if attempted_ns is None else iteration.relative_s(attempted_ns),
            "outcome": outcome,
            "subscribers": [one.tell(sender, number, row, outcome, due_ns) for one in heard],
        }


class _Ear:
    """A destination, and what came to it of a sender's messages (`rows`)."""

    def __init__(self, ledger: Ledger, place: int, where: Destination, rows: Any) -> None:
        self._ledger, self._where = ledger, where
        self._connections = trace(ledger.iteration, where.members[0])
        deliveries, _ = ledger.matched(place)
        origin = ledger.row[deliveries]
        mine = np.isin(origin, rows)
        self._came: dict[int, list[int]] = {}
        for row, delivery in zip(origin[mine].tolist(), deliveries[mine].tolist(), strict=True):
            self._came.setdefault(row, []).append(delivery)
        self._last = max((int(ledger.sent["sequence"][row]) for row in self._came), default=-1)

    def tell(
        self, sender: Client, number: int, row: int | None, outcome: str, due_ns: int
    ) -> dict[str, Any]:
        """Return what became of message `number` here; `row` is its attempt's, if any."""
        ledger = self._ledger
        came = [] if row is None else self._came.get(row, [])
        at_ns = int(ledger.delivered["received_ns"][came[0]]) if came else None
        asked_ns = due_ns if row is None else int(ledger.sent["attempted_ns"][row])
        return {
            "name": self._where.name,
            "server": _server(self._connections, asked_ns if at_ns is None else at_ns),
            "fate": "delivered" if came else self._absence(sender, number, outcome, asked_ns),
            "at": None if at_ns is None else ledger.iteration.relative_s(at_ns),
            "latency": None if at_ns is None else (at_ns - due_ns) / NS_PER_S,
            "copies": len(came),
        }

    def _absence(self, sender: Client, number: int, outcome: str, attempted_ns: int) -> str:
        where = self._where
        if outcome in ("refused", "not-attempted"):
            return "not-sent"
        if outcome == "unrecorded" or not where.trusted:
            return "unrecorded"
        if outcome == "unknown":
            return "not-delivered"
        if attempted_ns < where.confirmed_ns.get(sender.id, FOREVER_NS):
            return "not-confirmed"
        if attempted_ns >= where.closed_ns:
            return "closed"
        late = not self._ledger.iteration.drained and number > self._last
        return "uncertain" if late else "lost"


def _server(connections: Sequence[Connection], at_ns: int) -> str | None:
    """Return the node that a client was connected to at a time, as far as it knew."""
    return next((one.server for one in connections if one.covers(at_ns)), None)


def _phase(ledger: Ledger, due_ns: int) -> str | None:
    if due_ns >= (ledger.iteration.load_stop_ns or 0):
        return None
    return PHASES[int(ledger.phases_at(np.array([due_ns]))[0])]


CHECK = Check(NAME, judge_named)
