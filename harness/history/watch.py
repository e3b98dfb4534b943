"""When each client had success: what an independent observer would have seen.

This looks at messages only, never at what the client library says of its connection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.history.destinations import FOREVER_NS
from harness.history.facts import Iteration
from harness.history.ledger import Array, Ledger
from harness.history.tables import Outcome

TAIL_NS = 100_000_000


@dataclass(frozen=True)
class Watch:
    """The successes of a sender, a subscription or a queue group.

    Attributes:
        name: of the client, or of the queue group with its workload.
        period_ns: how far apart successes are when all is well; 0 where messages are listed
            instead of due at a rate, and nobody can tell.
        times_ns: when they were, ascending; shape (successes,).
        grouped: it is a queue group, whose members say nothing one by one.
    """

    name: str
    workload: str
    role: str
    period_ns: float
    times_ns: Array
    grouped: bool = False


@dataclass(frozen=True)
class Gap:
    """The longest time without success, less one period.

    `from_ns` is the success before it. `open` says that a gap lasted to the end of the
    load, so that the length is a lower bound.
    """

    length_ns: float
    from_ns: int
    open: bool


def keep_watch(ledger: Ledger) -> tuple[Watch, ...]:
    """Return the watch over each sender and each destination.

    A publisher succeeds when a message of its arrives anywhere for the first time, a
    requester when a reply comes, a publisher to a stream when an acknowledgement does, a
    destination when a message comes to it for the first
    time. Members of a queue group are watched together: which of them gets a message is
    the server's choice, and one that gets none is not in trouble.
    """
    return (*_watch_senders(ledger), *_watch_destinations(ledger))


def _watch_senders(ledger: Ledger) -> list[Watch]:
    watches = []
    first_ns = ledger.find_first_ns()
    for sender, rows in zip(ledger.senders, ledger.by_sender, strict=True):
        if sender.asks:
            acked = rows[ledger.sent["outcome"][rows] == Outcome.ACKED]
            times = ledger.sent["finished_ns"][acked]
        else:
            times = first_ns[rows]
            times = times[times != FOREVER_NS]
        period_ns = 1e9 / sender.rate if sender.rate > 0 else 0.0
        watches.append(Watch(sender.name, sender.workload, sender.role, period_ns, np.sort(times)))
    return watches


def _watch_destinations(ledger: Ledger) -> list[Watch]:
    rates = {sender.id: sender.rate for sender in ledger.senders}
    watches = []
    for place, where in ledger.places():
        if not where.receives:
            continue
        rate = sum(rates.get(one, 0.0) for one in where.senders)
        times = ledger.delivered["received_ns"][ledger.arrivals(place)[0]]
        watches.append(
            Watch(
                where.name,
                where.workload,
                where.role,
                1e9 / rate if rate > 0 else 0.0,
                times,
                where.grouped,
            )
        )
    return watches


def longest_gap(watch: Watch, iteration: Iteration, from_ns: int, to_ns: int) -> Gap | None:
    """Return the longest gap that overlaps a span of time; None without any load.

    None too where messages are listed: that none came says nothing where none was due.

    Gaps lie between successes, from the start of the load to the first success, and from
    the last success to the end of the load when that is longer than two periods and
    100 ms: then the end was not seen.
    """
    start_ns, stop_ns = iteration.load_start_ns, iteration.load_stop_ns
    if start_ns is None or stop_ns is None or watch.period_ns <= 0:
        return None
    times = np.concatenate([[start_ns], watch.times_ns])
    first = max(0, int(np.searchsorted(times, from_ns, side="right")) - 1)
    last = int(np.searchsorted(times, to_ns, side="left"))
    inside = times[first : last + 1]
    gaps = np.diff(inside)
    longest, begin_ns = 0, int(inside[0])
    if len(gaps):
        at = int(np.argmax(gaps))
        longest, begin_ns = int(gaps[at]), int(inside[at])
    tail = int(stop_ns - times[-1])
    is_open = tail - watch.period_ns > max(watch.period_ns, TAIL_NS) and stop_ns > from_ns
    if is_open and tail > longest:
        longest, begin_ns = tail, int(times[-1])
    return Gap(max(0.0, longest - watch.period_ns), begin_ns, is_open)
