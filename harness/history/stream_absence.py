"""What replicas of a stream lack, apart from what the stream may have removed by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.history.stream_ledger import Consumption, Replica, StreamLedger

Array = npt.NDArray[Any]

PARTS = ("prefix", "middle", "postfix")
HALF = 2
TENTH = 10


@dataclass(frozen=True)
class Absence:
    """What one replica lacks of the acknowledged messages; flags of shape (n,).

    Attributes:
        lost: it should be there and is not, or nobody can tell whether it should.
        open: of `lost`, what the stream may have removed as it was told to.
        removed: the stream was told to remove it, and nothing speaks against that.
    """

    node: str
    lost: Array
    open: Array
    removed: Array

    @property
    def certain(self) -> Array:
        """Return flags: what is lost without any doubt."""
        found: Array = self.lost & ~self.open
        return found


def find_absences(stream: StreamLedger) -> tuple[Absence, ...]:
    """Return what each replica that was read lacks of the acknowledged messages.

    A limit or a policy of removal explains an absence in these ways; what none explains is
    lost, and what one may explain or not is open:

    - workqueue, interest: a consumer that was to get the message (each one, for interest)
      has acknowledged it; one without acknowledgements was sent it, by its leader's word.
      Delivered and not acknowledged on record is open; so is all that a consumer was to get
      whose record is not whole or, for interest, whose making is not on record, and what it is
      not known to be to get.
    - `max_msgs` (discard old): below the replica's first sequence, and so far back that as
      many newer sequences exist.
    - `max_age`: below the first sequence, and that old when the replica was read.
    - `max_bytes` (discard old): below the first sequence of every replica that was read, and
      the replica is full, but for two messages or a tenth; what another replica still has is
      open, as is all below the first sequence of one that is at least half full, or of which
      it is not known how full it is.
    - `max_msgs_per_subject`: as many newer places were given to the same subject, as
      publishers were told, a replica holds or a consumer delivered. Where subjects are not
      known, everything absent is open.
    """
    absences = []
    for replica in stream.replicas:
        lacking = stream.acked & ~replica.holds(stream.attempts)
        allowed = np.zeros_like(lacking)
        doubtful = np.zeros_like(lacking)
        if lacking.any() and not stream.settings.keeps_all:
            for sure, unsure in _explain(stream, replica):
                allowed |= sure
                doubtful |= unsure
        lost = lacking & ~allowed
        absences.append(Absence(replica.node, lost, lost & doubtful, lacking & allowed))
    return tuple(absences)


def _explain(stream: StreamLedger, replica: Replica) -> Iterator[tuple[Array, Array]]:
    """Yield flags (n,) for each rule: messages it explains, and those it may explain."""
    settings, reading = stream.settings, replica.reading
    never = np.zeros(stream.attempts, dtype=np.bool_)
    below = stream.place < reading.first if reading.last else stream.place <= stream.last
    if settings.retention != "limits":
        yield _explain_by_consumers(stream)
    if settings.max_age_ns:
        yield below & (stream.sent["attempted_ns"] + settings.max_age_ns <= reading.at_ns), never
    if settings.max_msgs and settings.discard == "old":
        yield below & (stream.place <= stream.last - settings.max_msgs), never
    if settings.max_bytes and settings.discard == "old":
        held, limit = reading.held_bytes, settings.max_bytes
        floor = min(one.reading.first for one in stream.replicas)
        two = 0 if held is None else 2 * held // max(1, len(replica.row))
        if held is not None and held + max(two, limit // TENTH) >= limit:
            yield below & (stream.place < floor), below
        elif held is None or held * HALF >= limit:
            yield never, below
    if settings.max_msgs_per_subject:
        yield _explain_by_subjects(stream, settings.max_msgs_per_subject)


def _explain_by_consumers(stream: StreamLedger) -> tuple[Array, Array]:
    every = stream.settings.retention == "interest"
    settled = np.full(stream.attempts, fill_value=every)
    perhaps = np.full(stream.attempts, fill_value=every)
    for consumer in stream.consumers:
        heard, known = stream.heard_by(consumer)
        acked = find_taken(stream, consumer, acked=True)
        seen = find_taken(stream, consumer, acked=False)
        if consumer.silent and consumer.given_out is not None:
            acked |= stream.acked & (stream.place <= consumer.given_out)
        unsure = not consumer.trusted or (every and consumer.created is None)
        if unsure or (consumer.silent and consumer.given_out is None):
            seen[:] = True  # it may have had it, or not have been there to wait for it
        if every:
            settled &= acked | (~heard & known)
            perhaps &= acked | seen | ~heard | ~known
        else:
            settled |= acked & heard
            perhaps |= seen & (heard | ~known)
    return settled, perhaps


def find_taken(stream: StreamLedger, consumer: Consumption, *, acked: bool) -> Array:
    """Return (n,) flags: messages that a consumer delivered, or that a client acknowledged.

    A consumer without acknowledgements counts every delivery as one.
    """
    flags = np.zeros(stream.attempts, dtype=np.bool_)
    rows = consumer.row
    if acked and not consumer.silent:
        rows = rows[consumer.columns["acked"] != 0]
    flags[rows[rows >= 0]] = True
    return flags


def _explain_by_subjects(stream: StreamLedger, kept: int) -> tuple[Array, Array]:
    sure = np.zeros(stream.attempts, dtype=np.bool_)
    unsure = np.zeros(stream.attempts, dtype=np.bool_)
    subjects = np.array([one or "" for one in stream.subjects])
    if "" in subjects:
        unsure[:] = True
        return sure, unsure
    rows, places = stream.places
    for subject in np.unique(subjects):
        mine = (subjects == subject)[stream.rank]
        known = np.unique(places[mine[rows]])
        if len(known) > kept:
            sure |= mine & (stream.place < known[-kept])
    return sure, unsure


def name_parts(stream: StreamLedger, lost: Array) -> Array:
    """Return (n,) places in `PARTS`: where in the stream the loss of each message lies.

    Of the acknowledged messages in the order of the stream, a run of lost ones from the
    first on is the prefix, and one up to the last the postfix. What is lost altogether is
    prefix. Of messages that are not lost the place says nothing.
    """
    parts = np.full(stream.attempts, PARTS.index("middle"), dtype=np.uint8)
    order = stream.in_place
    kept = np.flatnonzero(~lost[order])
    if len(kept) == 0:
        parts[order] = PARTS.index("prefix")
    else:
        parts[order[: kept[0]]] = PARTS.index("prefix")
        parts[order[kept[-1] + 1 :]] = PARTS.index("postfix")
    return parts
