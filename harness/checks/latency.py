"""Latency: how long messages took, counted from when they were due."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.checks.base import NS_PER_S, Case, Check, Result
from harness.history.ledger import Array, Ledger
from harness.history.tables import Outcome
from harness.scenario.metrics import PHASES
from harness.stats.labelled import Labels, Samples

NAME = "latency"


@dataclass(frozen=True)
class Ends:
    """Rows of messages of shape (k,) and when they ended, or until when they had not."""

    rows: Array
    at_ns: Array
    censored: bool = False


def judge_latency(case: Case) -> Result:
    """Measure latencies, by the phase in which a message was due and by workload.

    - `e2e_latency`: from when a message was due to its first delivery at a destination;
      one value for each destination that it came to. Of a request, to its reply; of a
      message to a stream, to its acknowledgement.
    - `service_latency`: the same from the attempt.
    - `send_lateness`: from when a message was due to its attempt. A message that was due
      more than 100 ms before the load stopped and was never attempted has a lower bound,
      up to the stop.

    What never came to its end is not dropped; it enters `e2e_latency` and
    `service_latency` with a lower bound. A request or a message to a stream that was refused
    or is unknown took at least until it finished, or to the stop of the load when it never
    did. An accepted message that was awaited at a destination and is absent there took at
    least to the stop. Where the columns of a destination's workers are not whole, absence
    says nothing.
    """
    ledger = case.ledger
    names = tuple(dict.fromkeys(sender.workload for sender in ledger.senders))
    width = np.min_scalar_type(len(names))
    of_rank = np.array([names.index(one.workload) for one in ledger.senders], dtype=width)
    ends = list(find_ends(ledger))
    rows = np.concatenate([np.empty(0, np.int32), *(one.rows for one in ends)])
    ended_ns = np.concatenate([np.empty(0, np.int64), *(one.at_ns for one in ends)])
    censored = np.repeat([one.censored for one in ends], [len(one.rows) for one in ends])
    del ends
    labels = {
        "phase": Labels(PHASES, ledger.phase[rows]),
        "workload": Labels(names, of_rank[ledger.rank[rows]]),
    }
    sent = ledger.sent
    e2e = _seconds(ended_ns - sent["intended_ns"][rows])
    service = _seconds(ended_ns - sent["attempted_ns"][rows])
    return Result(
        samples={
            "e2e_latency": Samples(e2e, censored, labels),
            "service_latency": Samples(service, censored, labels),
            "send_lateness": _lateness(ledger, names, of_rank),
        }
    )


def find_ends(ledger: Ledger) -> Iterator[Ends]:
    """Yield all messages that `judge_latency` has an end or a lower bound for."""
    yield from _successes(ledger)
    yield from _failures(ledger)


def _successes(ledger: Ledger) -> Iterator[Ends]:
    """Yield the messages that came to their end: by destination, by who was answered."""
    asks = _asking(ledger)
    for place, where in ledger.places():
        if where.receives:
            deliveries, rows = ledger.arrivals(place)
            kept = ~asks[ledger.rank[rows]]
            yield Ends(rows[kept], ledger.delivered["received_ns"][deliveries[kept]])
    acked = ledger.sent["outcome"] == Outcome.ACKED
    answered = np.flatnonzero(acked & asks[ledger.rank]).astype(np.int32)
    yield Ends(answered, ledger.sent["finished_ns"][answered])


def _failures(ledger: Ledger) -> Iterator[Ends]:
    """Yield the messages that did not, with until when they were seen not to."""
    asks, outcome = _asking(ledger), ledger.sent["outcome"]
    attempted_ns, stop_ns = ledger.sent["attempted_ns"], ledger.iteration.load_stop_ns or 0
    for place, where in ledger.places():
        if where.receives and where.trusted:
            absent = (outcome == Outcome.ACCEPTED) & ledger.awaited(where)
            absent &= ~asks[ledger.rank]
            absent[ledger.arrivals(place)[1]] = False
            rows = np.flatnonzero(absent).astype(np.int32)
            yield Ends(rows, np.maximum(stop_ns, attempted_ns[rows]), censored=True)
    failed = (outcome == Outcome.REFUSED) | (outcome == Outcome.UNKNOWN)
    rows = np.flatnonzero(failed & asks[ledger.rank]).astype(np.int32)
    finished_ns = ledger.sent["finished_ns"][rows]
    until_ns = np.where(finished_ns == 0, stop_ns, finished_ns)
    yield Ends(rows, np.maximum(until_ns, attempted_ns[rows]), censored=True)


def _asking(ledger: Ledger) -> Array:
    """Return flags by rank: an answer ends the sender's messages."""
    return np.array([sender.asks for sender in ledger.senders], dtype=np.bool_)


def _seconds(times_ns: Array) -> Array:
    """Return seconds in 4 bytes each: exact to 60 ns in a second, and 1 ns in 10 ms."""
    return np.divide(times_ns, NS_PER_S, dtype=np.float64).astype(np.float32)


def _lateness(ledger: Ledger, names: tuple[str, ...], of_rank: Array) -> Samples:
    sent, iteration = ledger.sent, ledger.iteration
    late = _seconds(sent["attempted_ns"] - sent["intended_ns"])
    phase, workload = ledger.phase, of_rank[ledger.rank]
    missing = [ledger.unattempted_ns(rank) for rank in range(len(ledger.senders))]
    due = np.concatenate([np.empty(0, np.int64), *missing])
    censored = None
    if len(due) and iteration.load_stop_ns is not None:
        ranks = np.repeat(np.arange(len(missing)), [len(one) for one in missing])
        late = np.concatenate([late, _seconds(iteration.load_stop_ns - due)])
        censored = np.arange(len(late)) >= ledger.attempts
        phase = np.concatenate([phase, ledger.phases_at(due)])
        workload = np.concatenate([workload, of_rank[ranks]])
    labels = {"phase": Labels(PHASES, phase), "workload": Labels(names, workload)}
    return Samples(late, censored, labels)


CHECK = Check(NAME, judge_latency, ("e2e_latency", "service_latency", "send_lateness"))
