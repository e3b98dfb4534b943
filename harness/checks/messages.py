"""The summary of messages that a report shows, from the ledger and the tallies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from harness.history.ledger import Array, Ledger
from harness.history.stream_ledger import StreamLedger
from harness.history.tables import Outcome
from harness.scenario.metrics import PHASES
from harness.stats.labelled import Tally

BY_PHASE = ("lost", "unknown", "recovered", "refused", "duplicates", "out_of_order")
ONLY_ALL = ("corrupted", "unexpected")
MAX_BINS = 120
BIN_NS = 100_000_000


def summarise_messages(ledger: Ledger, tallies: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    """Return counts by phase name, with ``all`` first for the sum over phases.

    `intended` messages were due, `attempted` ones were given to the library, `accepted`
    ones came back without an error (`acked` ones among them). `expected` counts accepted
    messages once for each destination that was to get them, `delivered` counts first
    arrivals at destinations and first deliveries by consumers of streams.
    """
    due = [ledger.due_by_phase(sender) for sender in ledger.senders]
    summary: dict[str, dict[str, int]] = {}
    for place, phase in enumerate(PHASES):
        outcome = ledger.sent["outcome"][ledger.phase == place]
        known = np.bincount(outcome, minlength=max(Outcome) + 1)
        wanted = {"phase": phase}
        summary[phase] = {
            "intended": max(len(outcome), sum(one[phase] for one in due)),
            "attempted": len(outcome),
            "accepted": int(known[Outcome.ACCEPTED] + known[Outcome.ACKED]),
            "acked": int(known[Outcome.ACKED]),
            "expected": tallies["lost"].select(wanted).of,
            "delivered": _count_arrivals(tallies["out_of_order"], wanted),
            **{name: tallies[name].select(wanted).count for name in BY_PHASE},
        }
    total = {name: sum(one[name] for one in summary.values()) for name in summary[PHASES[0]]}
    total.update({name: tallies[name].select({}).count for name in ONLY_ALL})
    return {"all": total, **summary}


def _count_arrivals(out_of_order: Tally, wanted: Mapping[str, str]) -> int:
    """Return how many deliveries could be out of order: messages that lie in streams are not."""
    stored = out_of_order.select({**wanted, "at": "stream"})
    return out_of_order.select(wanted).of - stored.of


def summarise_rate(
    ledger: Ledger, streams: Sequence[StreamLedger] = ()
) -> tuple[float, float, list[int]]:
    """Return arrivals over time: (first bin's start, bin width, counts), in seconds.

    First arrivals at destinations, first deliveries by consumers of streams, and answers to
    operations on buckets. Times are relative to the iteration. Bins are 100 ms wide, or
    wider so that there are at most 120.
    """
    iteration = ledger.iteration
    start_ns, end_ns = iteration.load_start_ns, max(iteration.end_ns, iteration.load_stop_ns or 0)
    if start_ns is None or end_ns <= start_ns:
        return 0.0, BIN_NS / 1e9, []
    width_ns = max(BIN_NS, -(-(end_ns - start_ns) // MAX_BINS))
    bins = -(-(end_ns - start_ns) // width_ns)
    counts = np.zeros(bins, dtype=np.int64)
    for came in find_arrivals_ns(ledger, streams):
        counts += _bin(came - start_ns, end_ns - start_ns, width_ns, bins)
    return iteration.relative_s(start_ns), width_ns / 1e9, [int(count) for count in counts]


def find_arrivals_ns(ledger: Ledger, streams: Sequence[StreamLedger] = ()) -> Iterator[Array]:
    """Yield, source by source, when what `summarise_rate` counts arrived."""
    for place, where in ledger.places():
        if where.receives:
            yield ledger.delivered["received_ns"][ledger.arrivals(place)[0]]
    for consumer in (one for stream in streams for one in stream.consumers):
        yield consumer.columns["received_ns"][consumer.first]
    yield _answered_by_servers(ledger)


def _answered_by_servers(ledger: Ledger) -> Array:
    """Return when messages were answered that go to no other client, and into no stream."""
    heard = {one for _, where in ledger.places() for one in where.senders}
    alone = [one.asks and one.stream is None and one.id not in heard for one in ledger.senders]
    flags = np.array([*alone, False], dtype=np.bool_)[ledger.rank]
    flags &= ledger.sent["outcome"] == Outcome.ACKED
    times: Array = ledger.sent["finished_ns"][flags]
    return times


def _bin(came_ns: Array, span_ns: int, width_ns: int, bins: int) -> Array:
    """Return how many of some times, from the first bin's start on, lie in each bin."""
    within = came_ns[(came_ns >= 0) & (came_ns < span_ns)]
    found: Array = np.bincount(within // width_ns, minlength=bins)
    return found
