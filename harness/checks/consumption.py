"""Consumption: what consumers of streams delivered, and what they did not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.checks.base import Case, Check, Finding, Result, Verdict, judge_guarantee
from harness.history.stream_absence import find_absences
from harness.history.stream_ledger import Consumption, StreamLedger
from harness.history.stream_words import name_first, name_sequences
from harness.history.tables import Outcome
from harness.scenario.metrics import PHASES
from harness.stats.labelled import Count, Tally

NAME = "consumption"
METRICS = ("consumer_lost", "redelivered")
Array = npt.NDArray[Any]
Cell = tuple[Mapping[str, str], Count]
ACKNOWLEDGING = frozenset({"explicit", "all"})


@dataclass(frozen=True)
class _Account:
    """What became of a consumer's messages.

    Flags of shape (n,), one place an attempt: `due` messages were to be delivered, `lost`
    ones were not, of which `open` ones may yet be; `missed` ones were not and are not due, for
    the stream had removed them by then. Flags of shape (m,), one place a
    delivery: of a `matched` message; the server called it `again`; a `repeated` one of a
    message and its place that the server did not call again; a `late` first one, after a later
    place of the same publisher at the same client.
    """

    stream: StreamLedger
    consumer: Consumption
    due: Array
    lost: Array
    open: Array
    missed: Array
    matched: Array
    again: Array
    repeated: Array
    late: Array


def judge_consumption(case: Case) -> Result:
    """Count what consumers did, by phase, workload (of the consumer) and stream.

    A consumer counts once, whichever of its clients gets a message. It is to deliver the
    messages that its filter takes (or, where that is not known, of the publishers that its
    clients hear), that a replica holds by the audit (or, without any audit, that were
    acknowledged); one that was made to deliver only new ones, those that were attempted after
    it was made; and of a stream that removes what was consumed, what one without
    acknowledgements was sent by its leader's word.

    - `consumer_lost`: never delivered to any of its clients by the end of drain. When drain
      ended before all had arrived, each is uncertain, for it may be delivered again after a
      time-out. So is a message below the first that was delivered where it is not on record
      how the consumer was made, one that the server may have stored on a subject that its
      filter does not take, and any without an audit of a stream that removes messages.
      Of: messages that it was to deliver. A consumer with a client whose columns are not
      whole is not counted.
    - `redelivered` (legal): deliveries beyond the first by the server's own count. Of:
      deliveries.
    - `duplicates`: deliveries of a message at one place in the stream beyond the first that
      the server did not call a redelivery. Of: deliveries.
    - `out_of_order`: first deliveries, no redeliveries among them, after one of a later place
      in the stream of the same publisher to the same client. Where a place was delivered with
      another message before, the stream began again there, and what it gave out until then
      was no later place. Of: first deliveries, with those of messages that came only as
      redeliveries.

    A consumer that was made for the run, with acknowledgements, and lost messages fails the
    run, unless a threshold on `consumer_lost` decides about it. Of one without them, or that
    clients made themselves, loss is noted: a threshold is needed for more. What a stream
    removed as its limits or retention allow, before a consumer got it, is noted.
    """
    accounts = [_account(stream, one) for stream in case.streams for one in stream.consumers]
    if not accounts:
        return Result(tallies=dict.fromkeys(METRICS, Tally(())))
    findings: list[Finding] = []
    notes: list[str] = []
    facts: dict[str, list[dict[str, Any]]] = {}
    for account in accounts:
        told = _tell(case, account)
        if told is not None and told.verdict is Verdict.PASS:
            notes.append(told.detail)
        elif told is not None:
            findings.append(told)
        notes += _tell_missed(account)
        facts.setdefault(account.stream.name, []).append(_show(account))
    if not findings:
        count = sum(int(one.consumer.first.sum()) for one in accounts)
        detail = f"{count} first deliveries by {len(accounts)} consumer(s)"
        findings.append(Finding(NAME, Verdict.PASS, detail, n=count))
    return Result(
        tallies={
            metric: Tally(tuple(cell for one in accounts for cell in cells(one)))
            for metric, cells in (
                ("consumer_lost", _lost_cells),
                ("redelivered", _redelivered_cells),
                ("duplicates", _duplicate_cells),
                ("out_of_order", _disorder_cells),
            )
        },
        findings=tuple(findings),
        notes=tuple(notes),
        facts={"stream_consumers": facts},
    )


def _account(stream: StreamLedger, consumer: Consumption) -> _Account:
    matched = consumer.row >= 0
    again = matched & (consumer.columns["delivery"] > 1)
    fresh = matched & ~again
    got = np.zeros(stream.attempts, dtype=np.bool_)
    got[consumer.row[matched]] = True
    wanted = _find_wanted(stream, consumer)
    due = wanted & (got | (stream.held if stream.replicas else stream.acked))
    due |= wanted & _find_sent_off(stream, consumer)
    lost = due & ~got
    return _Account(
        stream=stream,
        consumer=consumer,
        due=due,
        lost=lost,
        open=lost & _find_doubtful(stream, consumer),
        missed=_find_removed(stream, wanted & ~got & ~due),
        matched=matched,
        again=again,
        repeated=fresh & ~consumer.first,
        late=_find_late(stream, consumer, fresh & consumer.first),
    )


def find_undelivered(stream: StreamLedger, consumer: Consumption) -> Array:
    """Return (n,) flags: the messages that count as `consumer_lost` of this consumer."""
    flags: Array = _account(stream, consumer).lost
    return flags


def _find_wanted(stream: StreamLedger, consumer: Consumption) -> Array:
    """Return (n,) flags: messages that it was to deliver if the stream has them."""
    if not consumer.trusted:
        return np.zeros(stream.attempts, dtype=np.bool_)
    heard, known = stream.heard_by(consumer)
    wanted = heard | ~known
    late = consumer.config.get("deliver_policy") not in (None, "all")
    if consumer.created is not None and late:
        wanted &= stream.sent["attempted_ns"] >= consumer.created["at_ns"]
    return wanted


def _find_doubtful(stream: StreamLedger, consumer: Consumption) -> Array:
    """Return (n,) flags: messages that may yet come, or were not to come, if they are absent."""
    doubtful = np.full(
        stream.attempts,
        not stream.iteration.drained or not (stream.replicas or stream.settings.keeps_all),
    )
    _, known = stream.heard_by(consumer)
    doubtful |= ~known
    if consumer.created is None:
        lowest = int(consumer.sequence.min(initial=np.iinfo(np.int64).max))
        doubtful |= _places(stream) < lowest
    return doubtful


def _find_sent_off(stream: StreamLedger, consumer: Consumption) -> Array:
    """Return (n,) flags: what a stream removed because a silent consumer had sent it."""
    if stream.settings.retention == "limits" or not consumer.silent:
        return np.zeros(stream.attempts, dtype=np.bool_)
    found: Array = stream.acked & (stream.place <= (consumer.given_out or 0))
    return found


def _find_removed(stream: StreamLedger, absent: Array) -> Array:
    """Return (n,) flags: those of some messages that every replica removed as it is allowed to."""
    removed = absent & stream.acked & bool(stream.replicas and not stream.settings.keeps_all)
    if removed.any():
        for one in find_absences(stream):
            removed &= one.removed
    return removed


def _places(stream: StreamLedger) -> Array:
    """Return (n,) where messages lie: as acknowledged, or else in a replica; 0 for unknown."""
    place = stream.place.copy()
    for one in stream.replicas:
        known = one.row >= 0
        rows, sequence = one.row[known], one.sequence[known]
        unset = place[rows] == 0
        place[rows[unset]] = sequence[unset]
    return place


def _find_late(stream: StreamLedger, consumer: Consumption, first: Array) -> Array:
    """Return (m,) flags: first deliveries after a later place of the publisher at the client."""
    at = np.flatnonzero(first)
    sequence = consumer.sequence[at]
    begun = _count_beginnings(sequence)
    pair = consumer.place[at].astype(np.int64) * max(1, len(stream.publishers))
    pair += stream.rank[consumer.row[at]]
    group = pair * (int(begun.max(initial=0)) + 1) + begun
    order = np.argsort(group, kind="stable")
    key = sequence[order] + group[order] * (int(sequence.max(initial=0)) + 1)
    flags = np.zeros_like(first)
    flags[at[order[key < np.maximum.accumulate(key)]]] = True
    return flags


def _count_beginnings(sequence: Array) -> Array:
    """Return (k,) how often places that were given out before had been given out again by then.

    `sequence` (k,) are the places of different messages in the order they came.
    """
    order = np.argsort(sequence, kind="stable")
    _, counts = np.unique(sequence, return_counts=True)
    nth = np.empty(len(sequence), dtype=np.int64)
    nth[order] = np.arange(len(sequence)) - np.repeat(np.cumsum(counts) - counts, counts)
    found: Array = np.maximum.accumulate(nth)
    return found


def _lost_cells(one: _Account) -> Iterator[Cell]:
    at_least = not (one.consumer.trusted and one.stream.whole)
    lost, uncertain, due = (
        np.bincount(one.stream.phase[flags], minlength=len(PHASES))
        for flags in (one.lost, one.open, one.due)
    )
    for at, phase in enumerate(PHASES):
        of = int(due[at])
        count = Count(int(lost[at]), of, int(uncertain[at]), of, at_least=at_least)
        yield {**_labels(one), "phase": phase}, count


def _redelivered_cells(one: _Account) -> Iterator[Cell]:
    yield from _by_phase(one, one.again, one.matched)


def _duplicate_cells(one: _Account) -> Iterator[Cell]:
    yield from _by_phase(one, one.repeated, one.matched)


def _disorder_cells(one: _Account) -> Iterator[Cell]:
    yield from _by_phase(one, one.late, one.consumer.first)


def _by_phase(one: _Account, counted: Array, chances: Array) -> Iterator[Cell]:
    counts, ofs = (
        np.bincount(one.stream.phase[one.consumer.row[flags]], minlength=len(PHASES))
        for flags in (counted, chances)
    )
    for at, phase in enumerate(PHASES):
        of = int(ofs[at])
        count = Count(int(counts[at]), of, 0, of, at_least=not one.consumer.trusted)
        yield {**_labels(one), "phase": phase}, count


def _labels(one: _Account) -> dict[str, str]:
    return {"workload": one.consumer.workload, "stream": one.stream.name}


def _tell(case: Case, one: _Account) -> Finding | None:
    """Return a finding on what a consumer lost, pass where it is only to be noted."""
    rows = np.flatnonzero(one.lost)
    if not len(rows):
        return None
    verdict = judge_guarantee(case.left_open("consumer_lost", Tally(tuple(_lost_cells(one)))))
    policy = one.consumer.config.get("ack_policy")
    if one.consumer.created is None or policy not in ACKNOWLEDGING:
        verdict = Verdict.PASS
    uncertain = int(one.open.sum())
    doubt = f"; {uncertain} of them may still come, or were not to come" if uncertain else ""
    unknown = int(np.count_nonzero(one.stream.sent["outcome"][rows] == Outcome.UNKNOWN))
    also = f", {unknown} of them of unknown outcome" if unknown else ""
    return Finding(
        NAME,
        verdict,
        f"consumer {one.stream.name}/{one.consumer.name} never delivered {len(rows)} message(s) "
        f"of the stream{also}: sequences {name_sequences(_places(one.stream)[rows])} "
        f"({name_first(one.stream, rows)}){doubt}",
        "give drain more time, or see why the consumer stands still",
        value=len(rows),
        limit=0,
        margin=-len(rows),
        n=int(one.due.sum()),
    )


def _tell_missed(one: _Account) -> Iterator[str]:
    if count := int(one.missed.sum()):
        yield (
            f"consumer {one.stream.name}/{one.consumer.name} never got {count} message(s) that "
            "the stream had removed first, as its limits or retention allow"
        )


def _show(one: _Account) -> dict[str, Any]:
    return {
        "name": one.consumer.name,
        "expected": int(one.due.sum()),
        "delivered": int(one.consumer.first.sum()),
        "lost": int(one.lost.sum()),
        "uncertain": int(one.open.sum()),
        "redelivered": int(one.again.sum()),
        "duplicates": int(one.repeated.sum()),
        "out_of_order": int(one.late.sum()),
    }


CHECK = Check(NAME, judge_consumption, METRICS, adds=("duplicates", "out_of_order"))
