"""Integrity of streams: nothing damaged, nothing that nobody sent, nothing that was refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.stream_ledger import Consumption, Replica, StreamLedger
from harness.history.stream_words import name_first, name_sequences
from harness.history.tables import Integrity, Outcome
from harness.stats.labelled import Count, Tally

NAME = "stream-integrity"
Array = npt.NDArray[Any]
Cell = tuple[Mapping[str, str], Count]
DAMAGED = "damaged payload(s): the checksum does not hold"
NEVER_SENT = "message(s) that were never sent to it"
REFUSED = "message(s) whose publisher was told that they were refused"
ELSEWHERE = "message(s) on subjects that its filter does not take"


def judge_stream_integrity(case: Case) -> Result:
    """Judge what no stream may hold and no consumer may deliver, whatever is broken.

    - `corrupted`: stream sequences at which a replica holds a payload of this harness whose
      checksum does not hold, and deliveries of such. Of: sequences that a replica holds;
      deliveries.
    - `unexpected`: stream sequences at which a replica holds a message that was never
      attempted, is of another run or of no harness at all, or whose publisher was given a
      definite error; and deliveries of messages never attempted, of refused ones that no
      replica holds, and of those that the consumer's filter does not take, where nobody else
      decides about subjects. Of: the same. Of a publisher whose columns are not whole, only
      what no missing row could explain counts.

    Each fails the run without any threshold. Messages of core workloads whose subject the
    stream takes as well are none of these.
    """
    findings: list[Finding] = []
    cells: dict[str, list[Cell]] = {"corrupted": [], "unexpected": []}
    for stream in case.streams:
        for metric, count in _count_stored(stream).items():
            cells[metric].append(({"workload": _workload(stream)}, count))
        findings += _judge_stored(stream)
        for consumer in stream.consumers:
            misfits = _delivered_misfits(stream, consumer)
            of = len(consumer.row)
            gone = ~np.append(stream.held, True)[consumer.row]  # what is held was counted there
            unexpected = misfits[NEVER_SENT] | misfits[ELSEWHERE] | (misfits[REFUSED] & gone)
            for metric, flags in (("corrupted", misfits[DAMAGED]), ("unexpected", unexpected)):
                count = Count(int(flags.sum()), of, 0, of, at_least=not consumer.trusted)
                cells[metric].append(({"workload": consumer.workload}, count))
            findings += _judge_delivered(stream, consumer, misfits)
    if case.streams and not findings:
        findings.append(
            Finding(NAME, Verdict.PASS, "nothing damaged, and nothing that had not been sent")
        )
    return Result(
        tallies={metric: Tally(tuple(rows)) for metric, rows in cells.items() if rows},
        findings=tuple(findings),
    )


def _workload(stream: StreamLedger) -> str:
    """Return whose stream it is: what nobody published is nobody's, and counted there."""
    return (stream.workloads or tuple(one.workload for one in stream.consumers))[0]


def _stored_misfits(stream: StreamLedger, replica: Replica) -> dict[str, Array]:
    """Return (k,) flags by what is wrong with the messages that a replica holds."""
    refused = np.append(stream.sent["outcome"] == Outcome.REFUSED, np.False_)
    return {
        DAMAGED: replica.columns["integrity"] == Integrity.CORRUPTED,
        NEVER_SENT: replica.misfit,
        REFUSED: refused[replica.row],
    }


def _delivered_misfits(stream: StreamLedger, consumer: Consumption) -> dict[str, Array]:
    """Return (m,) flags by what is wrong with the messages that a consumer delivered."""
    refused = np.append(stream.sent["outcome"] == Outcome.REFUSED, np.False_)
    heard, known = stream.heard_by(consumer)
    strange = np.append(known & ~heard, np.False_)
    return {
        DAMAGED: consumer.columns["integrity"] == Integrity.CORRUPTED,
        NEVER_SENT: consumer.misfit,
        REFUSED: refused[consumer.row],
        ELSEWHERE: strange[consumer.row],
    }


def _count_stored(stream: StreamLedger) -> dict[str, Count]:
    if not stream.replicas:
        return {}
    found: dict[str, list[Array]] = {DAMAGED: [], NEVER_SENT: [], REFUSED: []}
    for replica in stream.replicas:
        for what, flags in _stored_misfits(stream, replica).items():
            found[what].append(replica.sequence[flags])
    of = max(len(one.row) for one in stream.replicas)
    at_least = not (stream.audit.whole and stream.whole)

    def count(kinds: Sequence[str]) -> Count:
        sequences = np.unique(np.concatenate([one for kind in kinds for one in found[kind]]))
        return Count(len(sequences), of, 0, of, at_least=at_least)

    return {"corrupted": count([DAMAGED]), "unexpected": count([NEVER_SENT, REFUSED])}


def _judge_stored(stream: StreamLedger) -> Iterator[Finding]:
    for replica in stream.replicas:
        for what, flags in _stored_misfits(stream, replica).items():
            if not flags.any():
                continue
            where = name_sequences(replica.sequence[flags])
            who = f" ({name_first(stream, replica.row[flags])})" if what == REFUSED else ""
            yield _broken(
                f"{stream.name} on {replica.node} holds {int(flags.sum())} {what}: "
                f"sequences {where}{who}",
                int(flags.sum()),
                len(flags),
            )


def _judge_delivered(
    stream: StreamLedger, consumer: Consumption, misfits: Mapping[str, Array]
) -> Iterator[Finding]:
    for what, flags in misfits.items():
        if flags.any():
            first = stream.iteration.relative_s(int(consumer.columns["received_ns"][flags][0]))
            yield _broken(
                f"consumer {stream.name}/{consumer.name} delivered {int(flags.sum())} {what}: "
                f"sequences {name_sequences(consumer.sequence[flags])}, the first after "
                f"{first:.3f} s",
                int(flags.sum()),
                len(flags),
            )


def _broken(detail: str, count: int, of: int) -> Finding:
    return Finding(
        NAME,
        Verdict.FAIL,
        detail,
        "see whether anything else publishes to this stream",
        value=count,
        limit=0,
        margin=-count,
        n=of,
    )


CHECK = Check(NAME, judge_stream_integrity, adds=("corrupted", "unexpected"))
