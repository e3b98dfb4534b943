"""The ledger: every delivery joined to the attempt it came from, by columns.

No loop runs over messages. Beside the columns the ledger keeps 7 bytes an attempt and 12
bytes a delivery.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.history.destinations import FOREVER_NS, Destination, find_destinations
from harness.history.facts import Client, Columns, Iteration
from harness.history.tables import Integrity
from harness.scenario.metrics import PHASES

Array = npt.NDArray[Any]

STRANGER = np.uint16(65535)
SPARE_SLOTS = 1_000_000
CUT_OFF_NS = 100_000_000


@dataclass(frozen=True)
class Ledger:
    """What was sent and where it arrived.

    n is the number of attempts by planned senders, m of deliveries at planned receivers.

    Attributes:
        senders: the sending clients; a sender's rank is its place here.
        sent, delivered: the columns, shape (n,) and (m,).
        rank: (n,) the sender's rank.
        phase: (n,) place in `PHASES` of the phase in which it was due.
        place: (m,) place in `destinations` of where it arrived.
        row: (m,) the attempt it came from; -1 when it came from none that is known.
        origin: (m,) the rank it says it is from; STRANGER when that is nobody.
        strangers: rows dropped because no planned client could have written them.
        repeated: attempts written twice.
        gaps: by sender name, how many sequence numbers are missing below its last one.
    """

    iteration: Iteration
    senders: tuple[Client, ...]
    destinations: tuple[Destination, ...]
    sent: Columns
    delivered: Columns
    rank: Array
    phase: Array
    place: Array
    row: Array
    origin: Array
    strangers: int
    repeated: int
    gaps: dict[str, int]

    @property
    def attempts(self) -> int:
        """Return n."""
        return len(self.rank)

    @cached_property
    def rank_of(self) -> dict[int, int]:
        """Return the rank of each sender by its id."""
        return {sender.id: rank for rank, sender in enumerate(self.senders)}

    @cached_property
    def by_sender(self) -> tuple[Array, ...]:
        """Return, by rank, the rows of each sender in the order they were recorded."""
        order = np.argsort(self.rank, kind="stable").astype(np.int32)
        ends = np.cumsum(np.bincount(self.rank, minlength=len(self.senders)))
        return tuple(np.split(order, ends[:-1])) if len(self.senders) else ()

    @cached_property
    def by_destination(self) -> tuple[Array, ...]:
        """Return, by place, the deliveries of each destination in the order they came."""
        if not self.destinations:
            return ()
        order = np.argsort(self.place, kind="stable").astype(np.int32)
        ends = np.cumsum(np.bincount(self.place, minlength=len(self.destinations)))
        return tuple(self._in_time(part) for part in np.split(order, ends[:-1]))

    def _in_time(self, deliveries: Array) -> Array:
        times = self.delivered["received_ns"][deliveries]
        if np.all(times[1:] >= times[:-1]):
            return deliveries
        return deliveries[np.argsort(times, kind="stable")]

    def awaited(self, destination: Destination) -> Array:
        """Return (n,) flags: attempts that the destination was there for.

        It was there for a sender's message when it had been confirmed for that sender
        before the attempt and had not been closed by then.
        """
        since = np.full(len(self.senders) + 1, FOREVER_NS, dtype=np.int64)
        for sender in destination.senders:
            if sender in self.rank_of:
                since[self.rank_of[sender]] = destination.confirmed_ns.get(sender, FOREVER_NS)
        attempted = self.sent["attempted_ns"]
        flags: Array = attempted >= since[self.rank]
        if destination.closed_ns != FOREVER_NS:
            flags &= attempted < destination.closed_ns
        return flags

    def heard_ranks(self, destination: Destination) -> Array:
        """Return flags by rank, one more than there are senders: whom the destination hears."""
        heard = np.zeros(len(self.senders) + 1, dtype=np.bool_)
        heard[[self.rank_of[one] for one in destination.senders if one in self.rank_of]] = True
        return heard

    def arrivals(self, place: int) -> tuple[Array, Array]:
        """Return the first arrivals at a destination, in time: (deliveries, rows)."""
        deliveries, first = self.matched(place)
        deliveries = deliveries[first]
        return deliveries, self.row[deliveries]

    def matched(self, place: int) -> tuple[Array, Array]:
        """Return the deliveries of attempted messages that the destination hears, in time.

        Returns:
            The deliveries, shape (k,), and flags (k,): the first arrival of its message
            there; the others are duplicates.
        """
        deliveries = self.by_destination[place]
        heard = self.heard_ranks(self.destinations[place])
        rows = self.row[deliveries]
        known = rows >= 0
        known[known] = heard[self.rank[rows[known]]]
        deliveries = deliveries[known]
        rows = rows[known]
        holder = np.full(self.attempts, -1, dtype=np.int32)
        holder[rows[::-1]] = deliveries[::-1]  # of equal rows the last one written stays
        return deliveries, holder[rows] == deliveries

    def find_first_ns(self) -> Array:
        """Return (n,) when each message first arrived anywhere; `FOREVER_NS` if nowhere.

        Not kept: it is wanted three times, and 8 bytes a message are many.
        """
        first = np.full(self.attempts, FOREVER_NS, dtype=np.int64)
        received = self.delivered["received_ns"]
        for place in range(len(self.destinations)):
            deliveries, rows = self.arrivals(place)
            first[rows] = np.minimum(first[rows], received[deliveries])
        return first

    def due_by_phase(self, sender: Client) -> dict[str, int]:
        """Return how many messages of a sender were due in each phase."""
        due = dict.fromkeys(PHASES, 0)
        for phase, start_ns, end_ns in phase_spans(self.iteration):
            due[phase] += self.iteration.due(sender, start_ns, end_ns)
        return due

    def phases_at(self, at_ns: Array) -> Array:
        """Return places in `PHASES` for times of shape (k,)."""
        return phase_codes(self.iteration, at_ns)

    def unattempted_ns(self, rank: int) -> Array:
        """Return when the messages were due that a sender never came to attempt.

        A sender works through its schedule in order, so these are its last ones. What was
        due in the last 100 ms of the load is left out: the stop may have come first. Of
        listed messages none is left out: there each one counts.
        """
        sender = self.senders[rank]
        attempted = len(self.by_sender[rank])
        due = sum(self.due_by_phase(sender).values())
        start_ns = self.iteration.load_start_ns
        if start_ns is None or due <= attempted or not self.iteration.trusts(sender):
            return np.empty(0, dtype=np.int64)
        if sender.listed:
            return self.iteration.listed_ns(sender)[attempted:]
        period_ns = 1e9 / sender.rate
        places = np.arange(attempted, due, dtype=np.float64) * period_ns + sender.offset_s * 1e9
        found: Array = start_ns + np.round(places).astype(np.int64)
        return found[found < (self.iteration.load_stop_ns or 0) - CUT_OFF_NS]

    def places(self) -> Iterator[tuple[int, Destination]]:
        """Yield each destination with its place."""
        yield from enumerate(self.destinations)


def open_ledger(iteration: Iteration) -> Ledger:
    """Join what was sent to what was delivered.

    Raises:
        ValueError: sequence numbers are out of all proportion to the number of messages.
    """
    senders = tuple(client for client in iteration.clients if client.sends)
    destinations = find_destinations(iteration)
    sent, rank, strange_sent = of_planned(
        iteration.sent, {one.id: place for place, one in enumerate(senders)}
    )
    delivered, place, strange_delivered = of_planned(
        iteration.delivered,
        {one.id: place for place, where in enumerate(destinations) for one in where.members},
    )
    slots = Slots.of(rank, sent["sequence"], len(senders))
    origin = look_up(delivered["sender"], {one.id: at for at, one in enumerate(senders)})
    origin[delivered["integrity"] != Integrity.INTACT] = STRANGER
    return Ledger(
        iteration=iteration,
        senders=senders,
        destinations=destinations,
        sent=sent,
        delivered=delivered,
        rank=rank,
        phase=phase_codes(iteration, sent["intended_ns"]),
        place=place,
        row=slots.find(origin, delivered["sequence"]),
        origin=origin,
        strangers=strange_sent + strange_delivered,
        repeated=slots.repeated,
        gaps={senders[at].name: int(gap) for at, gap in enumerate(slots.gaps) if gap},
    )


def phase_starts(iteration: Iteration) -> list[tuple[str, int]]:
    """Return the phases that messages belong to, with their starts, in time.

    A message belongs to the phase in which it was due: from a phase's start to the start
    of the next one; drain begins where the load stopped.
    """
    starts = [
        (phase.name, phase.start_ns)
        for phase in iteration.phases
        if phase.name in PHASES and phase.name != "drain"
    ]
    if iteration.load_stop_ns is not None and iteration.of_kind("load.stopped"):
        starts.append(("drain", iteration.load_stop_ns))
    return sorted(starts, key=lambda one: one[1])


def phase_spans(iteration: Iteration) -> list[tuple[str, int, int]]:
    """Return (phase, start_ns, end_ns) of the phases that messages belong to, without holes."""
    starts = phase_starts(iteration)
    edges = [0, *(start for _, start in starts[1:]), FOREVER_NS]
    return [(name, edges[at], edges[at + 1]) for at, (name, _) in enumerate(starts)]


def phase_codes(iteration: Iteration, at_ns: Array) -> Array:
    """Return places in `PHASES` for times of shape (n,)."""
    spans = phase_spans(iteration)
    if not spans:
        return np.zeros(len(at_ns), dtype=np.uint8)
    codes = np.array([PHASES.index(name) for name, _, _ in spans], dtype=np.uint8)
    edges = np.array([start for _, start, _ in spans[1:]], dtype=np.int64)
    found: Array = codes[np.searchsorted(edges, at_ns, side="right")]
    return found


def look_up(ids: Array, places: dict[int, int]) -> Array:
    """Return the place of each id as u16; STRANGER for an id without one."""
    table = np.full(max(places, default=-1) + 2, STRANGER, dtype=np.uint16)
    for one, place in places.items():
        table[one] = place
    found: Array = table[np.minimum(ids, len(table) - 1)]
    return found


def of_planned(columns: Columns, places: dict[int, int]) -> tuple[Columns, Array, int]:
    """Return the rows whose client is known, the client's places, and how many were dropped."""
    found = look_up(columns["client"], places)
    known = found != STRANGER
    if known.all():
        return columns, found, 0
    kept = {name: column[known] for name, column in columns.items()}
    return kept, found[known], int(len(known) - known.sum())


@dataclass(frozen=True)
class Slots:
    """One slot for each sequence number of each sender, holding the row of its attempt.

    Attributes:
        repeated: attempts written twice.
        gaps: by rank, how many sequence numbers are missing below its last one.
    """

    starts: Array
    lengths: Array
    rows: Array
    repeated: int
    gaps: Array

    @classmethod
    def of(cls, rank: Array, sequence: Array, senders: int) -> Slots:
        """Lay out the attempts; ValueError when sequence numbers are out of all proportion."""
        lengths = np.zeros(senders, dtype=np.uint64)
        np.maximum.at(lengths, rank, sequence + np.uint64(1))
        total = sum(int(length) for length in lengths)
        if total > 4 * len(rank) + SPARE_SLOTS:
            raise ValueError(f"sequence numbers reach {total} for {len(rank)} messages")
        starts = np.concatenate([[0], np.cumsum(lengths.astype(np.int64))])[:-1]
        at = starts[rank] + sequence.astype(np.int64)
        rows = np.full(total, -1, dtype=np.int32)
        own = np.arange(len(rank), dtype=np.int32)
        rows[at] = own
        repeated = int(np.count_nonzero(rows[at] != own))
        empty = np.concatenate([[0], np.cumsum(rows < 0)])
        ends = starts + lengths.astype(np.int64)
        return cls(starts, lengths, rows, repeated, empty[ends] - empty[starts])

    def find(self, origin: Array, sequence: Array) -> Array:
        """Return the row of each (rank, sequence) as i32; -1 where there is none."""
        found = np.full(len(origin), -1, dtype=np.int32)
        known = origin != STRANGER
        known[known] = sequence[known] < self.lengths[origin[known]]
        at = self.starts[origin[known]] + sequence[known].astype(np.int64)
        found[known] = self.rows[at]
        return found
