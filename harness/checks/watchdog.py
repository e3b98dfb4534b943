"""Watchdog: outages as the messages show them, whatever client callbacks say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from harness.checks.base import NS_PER_S, Case, Check, Result
from harness.history.connections import attached, trace
from harness.history.destinations import FOREVER_NS
from harness.history.facts import Client, FaultWindow, Hit
from harness.history.ledger import Array, Ledger
from harness.history.tables import Outcome
from harness.history.watch import keep_watch, longest_gap
from harness.stats.labelled import Samples

NAME = "watchdog"
Row = tuple[float, bool, Mapping[str, str]]


def judge_watchdog(case: Case) -> Result:
    """Measure outages by the messages alone.

    - `time_to_first_delivery`: for each path from a publisher to a destination (a
      subscription, or a queue group as a whole) and each hit on a node that an end of the
      path was connected to: from the hit to the first delivery, along that path, of a
      message attempted after the effect of the hit had been seen. A path with neither end
      on a struck node counts once, from the fault's first hit.
    - `time_to_first_ack`: the same from a requester to a reply it got; responders are the
      other end of the path. The same from a publisher to a stream to an acknowledgement it
      got; its own connection is the only end that is looked at.
    - `outage_window`: for each sender and each destination, the longest gap between
      successes that overlaps a fault (from the start of its injection to the end of its
      healing), less one period. A publisher succeeds when a message of its first arrives
      anywhere, a requester when a reply comes, a publisher to a stream when an
      acknowledgement does, a destination when a message first comes to it. A gap that is
      still open at the end of the load makes the value a lower bound, also one that began
      after the healing.

    What was not seen by the end of the load is a lower bound, counted up to there. Where
    messages are listed instead of due at a rate, nothing is measured: it would say when they
    were due, and not how long anything was away.

    Facts: `watchdog`, by sender or destination name: its longest gap.
    """
    ledger = case.ledger
    outages, shown = _outages(ledger)
    deliveries, acks = _firsts(ledger)
    samples = {
        "time_to_first_delivery": Samples.of(deliveries),
        "time_to_first_ack": Samples.of(acks),
        "outage_window": Samples.of(outages),
    }
    return Result(samples=samples, facts={"watchdog": shown})


def _outages(ledger: Ledger) -> tuple[list[Row], dict[str, dict[str, Any]]]:
    iteration = ledger.iteration
    rows: list[Row] = []
    shown: dict[str, dict[str, Any]] = {}
    spans = [
        (fault.inject_started_ns, fault.healed_ns or iteration.end_ns)
        for fault in iteration.faults
        if fault.inject_started_ns is not None
    ]
    for watch in keep_watch(ledger):
        gaps = [
            gap
            for begin_ns, end_ns in spans
            if (gap := longest_gap(watch, iteration, begin_ns, end_ns)) is not None
        ]
        if not gaps:
            continue
        longest = max(gaps, key=lambda gap: gap.length_ns)
        is_open = any(gap.open for gap in gaps)
        length_s = longest.length_ns / NS_PER_S
        rows.append((length_s, is_open, {"workload": watch.workload, "role": watch.role}))
        shown[watch.name] = {
            "workload": watch.workload,
            "role": watch.role,
            "outage_window": length_s,
            "at": iteration.relative_s(longest.from_ns),
            "censored": is_open,
        }
    return rows, shown


def _firsts(ledger: Ledger) -> tuple[list[Row], list[Row]]:
    connections = {client.name: trace(ledger.iteration, client) for client in _clients(ledger)}

    def struck(ends: tuple[Client, ...], fault: FaultWindow) -> list[Hit]:
        """Return the hits that struck an end of a path; the first hit if none did."""
        own = [
            hit
            for hit in fault.hits
            if any(
                hit.strikes(one) and attached(connections[one.name], hit) is not None
                for one in ends
            )
        ]
        return own or list(fault.hits[:1])

    deliveries: list[Row] = []
    acks: list[Row] = []
    for sender, ends, attempts, times in _successes(ledger):
        for fault in ledger.iteration.faults:
            for hit in struck(ends, fault):
                row = _first_after(ledger, fault, hit, attempts, times)
                labels = {"fault": fault.name, "workload": sender.workload}
                (acks if sender.asks else deliveries).append((*row, labels))
    return deliveries, acks


def _successes(ledger: Ledger) -> Iterator[tuple[Client, tuple[Client, ...], Array, Array]]:
    """Yield each path: its sender, its ends, and when what succeeded was attempted and came.

    Where the servers themselves answer, a client is at one end only.
    """
    answered = {rank for rank, sender in enumerate(ledger.senders) if sender.asks}
    for place, where in ledger.places():
        for rank, sender in enumerate(ledger.senders):
            if where.receives and sender.id in where.senders and not sender.listed:
                answered.discard(rank)
                times = _replies(ledger, rank) if sender.asks else _path(ledger, place, rank)
                yield (sender, (sender, *where.members), *times)
    for rank in sorted(answered):
        sender = ledger.senders[rank]
        yield (sender, (sender,), *_replies(ledger, rank))


def _clients(ledger: Ledger) -> Iterator[Client]:
    yield from ledger.senders
    for _, where in ledger.places():
        if where.receives:
            yield from where.members


def _path(ledger: Ledger, place: int, rank: int) -> tuple[Array, Array]:
    """Return when messages of a sender that came to a destination were attempted, and came."""
    deliveries, rows = ledger.arrivals(place)
    mine = ledger.rank[rows] == rank
    attempted = ledger.sent["attempted_ns"][rows[mine]]
    return attempted, ledger.delivered["received_ns"][deliveries[mine]]


def _replies(ledger: Ledger, rank: int) -> tuple[Array, Array]:
    """Return when answered messages of a sender were attempted, and answered."""
    rows = ledger.by_sender[rank]
    acked = rows[ledger.sent["outcome"][rows] == Outcome.ACKED]
    return ledger.sent["attempted_ns"][acked], ledger.sent["finished_ns"][acked]


def _first_after(
    ledger: Ledger, fault: FaultWindow, hit: Hit, attempted: Array, came: Array
) -> tuple[float, bool]:
    """Return the time from a hit to the first success under it, and whether it is a bound."""
    under = attempted > fault.effect_ns(hit)
    first_ns = int(np.min(came[under], initial=FOREVER_NS))
    if first_ns != FOREVER_NS:
        return (first_ns - hit.at_ns) / NS_PER_S, False
    stop_ns = ledger.iteration.load_stop_ns or hit.at_ns
    return max(0, stop_ns - hit.at_ns) / NS_PER_S, True


CHECK = Check(
    NAME, judge_watchdog, ("time_to_first_delivery", "time_to_first_ack", "outage_window")
)
