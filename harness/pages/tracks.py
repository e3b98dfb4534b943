"""What a timeline shows of messages: rates, latencies and the messages that went wrong.

However many messages there were, the result is of bounded size; what is extreme in it is
exact: the slowest message of each bin, the least and greatest rate, and every lost message,
alone or counted in a mark with its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.checks.consumption import find_undelivered
from harness.checks.latency import find_ends
from harness.checks.messages import find_arrivals_ns
from harness.history.absence import find_absence
from harness.history.facts import Iteration
from harness.history.ledger import Array, Ledger, open_ledger
from harness.history.stream_absence import find_absences
from harness.history.stream_join import open_streams
from harness.history.stream_ledger import StreamLedger
from harness.history.tables import Outcome

FINE_NS = 100_000_000  # the width of a bin of rates, where there is room for all
FEWEST_BINS = 60
WORTH_A_BIN = 8  # of fewer messages a p99 is but the slowest one


@dataclass(frozen=True)
class Rates:
    """A rate over time: bin k is from `start_s` + k * `width_s` on; all in messages a second.

    `low` and `high` are the extremes within each bin, of bins of 100 ms; equal to `mean`
    where the bins are no wider.
    """

    name: str
    start_s: float
    width_s: float
    mean: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Latencies:
    """Latencies by when messages were due; one place a bin that has any.

    Attributes:
        at_s: the middle of the bin.
        slowest_at_s: when the slowest message of the bin was due, exactly.
    """

    at_s: list[float]
    p50: list[float]
    p99: list[float]
    slowest: list[float]
    slowest_at_s: list[float]


@dataclass(frozen=True)
class Mark:
    """Messages that went wrong in one way, close together: `count` of them.

    Attributes:
        at_s, to_s: when the first and the last of them were attempted.
        what: of a mark that stands for one message, which one it is.
        bound_s: the longest of their lower bounds of latency; None where there is none.
    """

    at_s: float
    to_s: float
    count: int
    what: str = ""
    bound_s: float | None = None


@dataclass(frozen=True)
class Tracks:
    """The messages of one iteration over time; `marks` are by what went wrong."""

    rates: tuple[Rates, ...]
    latencies: Latencies
    unfinished: tuple[Mark, ...]
    marks: Mapping[str, tuple[Mark, ...]]


def measure_tracks(iteration: Iteration, scenario: Mapping[str, Any], bins: int) -> Tracks:
    """Return the tracks of an iteration with at most so many bins, and marks of a kind.

    Raises:
        ValueError: the columns make no sense.
    """
    ledger = open_ledger(iteration)
    streams = open_streams(iteration, scenario)
    latencies, unfinished = _measure_latencies(ledger, bins)
    return Tracks(
        rates=tuple(_measure_rates(ledger, streams, bins)),
        latencies=latencies,
        unfinished=unfinished,
        marks=_find_marks(ledger, streams, bins),
    )


def _measure_rates(ledger: Ledger, streams: Sequence[StreamLedger], bins: int) -> Iterator[Rates]:
    iteration = ledger.iteration
    start_ns = iteration.load_start_ns
    end_ns = max(iteration.end_ns, iteration.load_stop_ns or 0)
    if start_ns is None or end_ns <= start_ns:
        return
    fine = -(-(end_ns - start_ns) // FINE_NS)
    joined = -(-fine // bins)
    for name, parts in (
        ("sent", [ledger.sent["attempted_ns"]]),
        ("delivered", find_arrivals_ns(ledger, streams)),
    ):
        counts = np.zeros(-(-fine // joined) * joined, dtype=np.int64)
        for at_ns in parts:
            places = (at_ns - start_ns) // FINE_NS
            within = places[(places >= 0) & (places < fine)]
            counts += np.bincount(within, minlength=len(counts))
        grouped = counts.reshape(-1, joined) * (1e9 / FINE_NS)
        grouped = np.ma.masked_array(grouped, np.arange(len(counts)).reshape(-1, joined) >= fine)
        yield Rates(
            name,
            iteration.relative_s(start_ns),
            joined * FINE_NS / 1e9,
            _round(grouped.mean(axis=1)),
            _round(grouped.min(axis=1)),
            _round(grouped.max(axis=1)),
        )


def _measure_latencies(ledger: Ledger, bins: int) -> tuple[Latencies, tuple[Mark, ...]]:
    due = [np.empty(0, np.int64)]
    took = [np.empty(0, np.int64)]
    open_due, open_took = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for one in find_ends(ledger):
        intended = ledger.sent["intended_ns"][one.rows]
        (open_due if one.censored else due).append(intended)
        (open_took if one.censored else took).append(one.at_ns - intended)
    latencies = _summarise(ledger.iteration, np.concatenate(due), np.concatenate(took), bins)
    bounds = np.concatenate(open_took) / 1e9
    marks = _merge(ledger.iteration, np.concatenate(open_due), bins, bounds=bounds)
    return latencies, marks


def _summarise(iteration: Iteration, due_ns: Array, took_ns: Array, bins: int) -> Latencies:
    if not len(due_ns):
        return Latencies([], [], [], [], [])
    first, span = int(due_ns.min()), int(due_ns.max() - due_ns.min())
    many = min(max(FEWEST_BINS, bins // 2), max(1, len(due_ns) // WORTH_A_BIN))
    width = max(FINE_NS // 2, span // many + 1)
    place = (due_ns - first) // width
    order = np.lexsort((took_ns, place))
    filled, starts, sizes = np.unique(place[order], return_index=True, return_counts=True)
    ranked = took_ns[order] / 1e9

    def quantile(share: float) -> list[float]:
        ranks = np.clip(np.ceil(np.round(share * sizes, 9)).astype(np.int64), 1, sizes)
        return _round(ranked[starts + ranks - 1])

    slowest = order[starts + sizes - 1]
    return Latencies(
        at_s=_round((first + (filled + 0.5) * width - iteration.start_ns) / 1e9),
        p50=quantile(0.5),
        p99=quantile(0.99),
        slowest=_round(took_ns[slowest] / 1e9),
        slowest_at_s=_round((due_ns[slowest] - iteration.start_ns) / 1e9),
    )


def _find_marks(
    ledger: Ledger, streams: Sequence[StreamLedger], bins: int
) -> dict[str, tuple[Mark, ...]]:
    found = {
        "lost": _merge_named(ledger, _find_lost(ledger), bins),
        "stream lost": _merge_streams(streams, _stream_lost, bins),
        "consumer lost": _merge_streams(streams, _consumer_lost, bins),
    }
    for name, outcome in (("unknown", Outcome.UNKNOWN), ("refused", Outcome.REFUSED)):
        rows = np.flatnonzero(ledger.sent["outcome"] == outcome)
        found[name] = _merge_named(ledger, [(rows, "")], bins)
    return {name: marks for name, marks in found.items() if marks}


def _find_lost(ledger: Ledger) -> Iterator[tuple[Array, str]]:
    """Yield the attempts that are lost at each destination, certain ones before the others."""
    for place, where in ledger.places():
        if where.receives:
            absence = find_absence(ledger, where, ledger.row[ledger.matched(place)[0]])
            yield np.flatnonzero(absence.lost & ~absence.uncertain), f"not at {where.name}"
            yield np.flatnonzero(absence.uncertain), f"not at {where.name}, lost or late"


def _merge_named(ledger: Ledger, parts: Iterable[tuple[Array, str]], bins: int) -> tuple[Mark, ...]:
    sent = ledger.sent
    names = [one.name for one in ledger.senders]
    listed = [part for part in parts if len(part[0])]
    rows = np.concatenate([np.empty(0, np.int64), *(part[0] for part in listed)])
    whys = np.repeat(np.arange(len(listed)), [len(part[0]) for part in listed])

    def name(at: int) -> str:
        row, why = rows[at], listed[whys[at]][1]
        state = "connected" if sent["connected"][row] else "not connected"
        sender = f"{names[ledger.rank[row]]} #{sent['sequence'][row]}, {state}"
        return f"{sender}; {why}" if why else sender

    return _merge(ledger.iteration, sent["attempted_ns"][rows], bins, name=name)


def _stream_lost(stream: StreamLedger) -> Iterator[tuple[Array, str]]:
    lost = np.zeros(stream.attempts, dtype=np.bool_)
    for one in find_absences(stream):
        lost |= one.lost
    yield np.flatnonzero(lost), f"absent from a replica of {stream.name}"


def _consumer_lost(stream: StreamLedger) -> Iterator[tuple[Array, str]]:
    for one in stream.consumers:
        rows = np.flatnonzero(find_undelivered(stream, one))
        yield rows, f"never delivered by {stream.name}/{one.name}"


def _merge_streams(streams: Sequence[StreamLedger], find: Any, bins: int) -> tuple[Mark, ...]:
    marks: list[Mark] = []
    for stream in streams:
        for rows, why in find(stream):

            def name(at: int, rows: Array = rows, why: str = why, own: Any = stream) -> str:
                row = rows[at]
                return f"{own.publishers[own.rank[row]].name} #{own.sent['sequence'][row]}; {why}"

            attempted = stream.sent["attempted_ns"][rows]
            marks += _merge(stream.iteration, attempted, bins, name=name)
    return tuple(marks)


def _merge(
    iteration: Iteration, at_ns: Array, bins: int, *, bounds: Array | None = None, name: Any = None
) -> tuple[Mark, ...]:
    """Return a mark for each message, or if there are too many, for each narrow bin of them.

    Args:
        iteration: whose start times count from.
        at_ns: when, shape (k,).
        bins: how many marks there may be.
        bounds: (k,) in seconds.
        name: tells which message the one at a place is.
    """
    if not len(at_ns):
        return ()
    order = np.argsort(at_ns, kind="stable")
    first, last = int(at_ns[order[0]]), int(at_ns[order[-1]])
    place = np.arange(len(at_ns))
    if len(at_ns) > bins:
        place = (at_ns[order] - first) // max(1, (last - first) // bins + 1)
    _, starts, sizes = np.unique(place, return_index=True, return_counts=True)
    times = (at_ns[order] - iteration.start_ns) / 1e9
    longest = None if bounds is None else np.maximum.reduceat(bounds[order], starts)
    return tuple(
        Mark(
            at_s=round(float(times[start]), 6),
            to_s=round(float(times[start + size - 1]), 6),
            count=int(size),
            what=name(int(order[start])) if name is not None and size == 1 else "",
            bound_s=None if longest is None else round(float(longest[number]), 6),
        )
        for number, (start, size) in enumerate(zip(starts, sizes, strict=True))
    )


def _round(values: Array) -> list[float]:
    return [round(float(one), 6) for one in values]
