"""Which messages claim which places of a stream, and whether the claims agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.history.stream_ledger import Replica, StreamLedger

Array = npt.NDArray[Any]

NOWHERE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Conflicts:
    """Stream sequences, each array sorted and without repetition, by what is wrong with them.

    Attributes:
        between_replicas: replicas hold different messages there.
        against_acks: a publisher was told that its message lies there, and a replica holds
            another one there, or holds that message elsewhere only.
        partial: a message that was not acknowledged lies there in some replicas, and others
            do not have it at all. Only of a stream that removes nothing by itself.
        told_twice: publishers were told so of two messages.
        backwards: a publisher was told so of a message that it sent after it had been told
            a later sequence.
    """

    between_replicas: Array
    against_acks: Array
    partial: Array
    told_twice: Array
    backwards: Array

    @property
    def all(self) -> Array:
        """Return every sequence that anything is wrong with."""
        found: Array = np.unique(
            np.concatenate(
                [
                    self.between_replicas,
                    self.against_acks,
                    self.partial,
                    self.told_twice,
                    self.backwards,
                ]
            )
        )
        return found


def find_conflicts(stream: StreamLedger) -> Conflicts:
    """Return where messages, replicas and acknowledgements contradict one another."""
    told = stream.place[stream.in_place]
    told = told[told > 0]
    against = [_against(stream, one, told) for one in stream.replicas]
    return Conflicts(
        between_replicas=_between_replicas(stream.replicas),
        against_acks=np.unique(np.concatenate([np.empty(0, np.int64), *against])),
        partial=_held_by_some(stream),
        told_twice=np.unique(told[1:][told[1:] == told[:-1]]),
        backwards=np.unique(stream.place[find_backwards(stream, stream.place)]),
    )


def _between_replicas(replicas: tuple[Replica, ...]) -> Array:
    if not replicas:
        return np.empty(0, np.int64)
    sequence = np.concatenate([one.sequence for one in replicas])
    row = np.concatenate([one.row for one in replicas])
    sequence, row = sequence[row >= 0], row[row >= 0]
    order = np.argsort(sequence, kind="stable")
    sequence, row = sequence[order], row[order]
    differs = (sequence[1:] == sequence[:-1]) & (row[1:] != row[:-1])
    return np.unique(sequence[1:][differs])


def _held_by_some(stream: StreamLedger) -> Array:
    if not stream.settings.keeps_all:
        return np.empty(0, np.int64)
    holders = np.zeros(stream.attempts, dtype=np.uint8)
    for one in stream.replicas:
        holders += one.holds(stream.attempts)
    partial = np.append((holders > 0) & (holders < len(stream.replicas)) & ~stream.acked, False)
    found = [one.sequence[partial[one.row]] for one in stream.replicas]
    return np.unique(np.concatenate([np.empty(0, np.int64), *found]))


def _against(stream: StreamLedger, replica: Replica, told: Array) -> Array:
    """Return the sequences at which a replica contradicts what publishers were told.

    Args:
        stream: whose replica it is.
        replica: what is held where.
        told: the sequences that publishers were told, sorted.
    """
    known = replica.row >= 0
    sequence, row = replica.sequence[known], replica.row[known]
    in_place = np.zeros(stream.attempts, dtype=np.bool_)
    in_place[row[stream.place[row] == sequence]] = True
    elsewhere = replica.holds(stream.attempts) & ~in_place & (stream.place > 0)
    if not stream.settings.keeps_all:  # where it was told may be empty by now, and a copy be left
        elsewhere &= (stream.place >= replica.reading.first) & (_allowed_copies(stream) == 0)
    other = np.flatnonzero(stream.place[row] != sequence)
    at = np.searchsorted(told, sequence[other])
    claimed = np.zeros(len(other), dtype=np.bool_)
    within = at < len(told)
    claimed[within] = told[at[within]] == sequence[other][within]
    return np.concatenate([stream.place[elsewhere], sequence[other][claimed]])


def find_backwards(stream: StreamLedger, place: Array) -> Array:
    """Return the rows of messages that lie before one acknowledged before they were sent.

    A publisher that has been told of a message, and only then sends another, finds it
    behind the first, whatever is in flight at the same time and however often anything is
    published again.

    Args:
        stream: whose publishers are asked.
        place: (n,) where each message lies; 0 where that is not known.
    """
    found = []
    attempted, finished = stream.sent["attempted_ns"], stream.sent["finished_ns"]
    for rank in range(len(stream.publishers)):
        mine = np.flatnonzero((stream.rank == rank) & (place > 0))
        before = mine[stream.acked[mine] & (finished[mine] > 0)]
        before = before[np.argsort(finished[before], kind="stable")]
        highest = np.maximum.accumulate(place[before])
        earlier = np.searchsorted(finished[before], attempted[mine], side="left")
        later = mine[earlier > 0]
        found.append(later[place[later] < highest[earlier[earlier > 0] - 1]])
    return np.concatenate([np.empty(0, np.int64), *found])


def first_places(stream: StreamLedger, replica: Replica) -> Array:
    """Return (n,) the first sequence at which a replica holds each message; 0 for nowhere."""
    place = np.full(stream.attempts, NOWHERE, dtype=np.int64)
    known = replica.row >= 0
    np.minimum.at(place, replica.row[known], replica.sequence[known])
    place[place == NOWHERE] = 0
    return place


def count_copies(stream: StreamLedger) -> Array:
    """Return (n,) in how many places the replica with the most of them holds each message.

    Of a stream that removes messages by itself: in how many places it is known to have had
    it. A place that was given to two messages, as when a stream loses its end or begins
    again, is not one of them.
    """
    copies = np.zeros(stream.attempts, dtype=np.int32)
    for one in stream.replicas:
        rows = one.row[one.row >= 0]
        counted = np.bincount(rows, minlength=stream.attempts).astype(np.int32)
        np.maximum(copies, counted, out=copies)
    if not stream.settings.keeps_all:
        rows, places = stream.places  # in the order of places
        _, first, claims = np.unique(places, return_index=True, return_counts=True)
        alone = rows[first[claims == 1]]
        counted = np.bincount(alone, minlength=stream.attempts).astype(np.int32)
        np.maximum(copies, counted, out=copies)
    return copies


def illegal_copies(stream: StreamLedger, copies: Array) -> Array:
    """Return (n,) how many copies beyond the first nothing explains.

    A workload that publishes again without a message id may leave a copy each time: of an
    acknowledged message it is on record how often it did, of another how often at most. With
    a message id, only a copy later than the stream's window for duplicates is explained.
    """
    found: Array = np.maximum(np.maximum(copies - 1, 0) - _allowed_copies(stream), 0)
    return found


def _allowed_copies(stream: StreamLedger) -> Array:
    """Return (n,) how many copies beyond the first each message may have."""
    named = np.array([one.msg_id for one in stream.retries], dtype=np.bool_)
    most = np.array([one.most for one in stream.retries], dtype=np.int32)[stream.rank]
    tried = np.maximum(stream.tries.astype(np.int32) - 1, 0)
    allowed = np.minimum(most, np.where(stream.acked, tried, most))
    took_ns = stream.sent["finished_ns"] - stream.sent["attempted_ns"]
    unfinished = stream.sent["finished_ns"] == 0
    late = unfinished | (took_ns > stream.settings.duplicate_window_ns)
    found: Array = np.where(late | ~named[stream.rank], allowed, 0)
    return found
