"""Places in streams: one message at one sequence, in the order of its publisher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.checks.base import Case, Check, Finding, Result, Verdict, judge_guarantee
from harness.history.stream_ledger import Consumption, Replica, StreamLedger
from harness.history.stream_sequences import (
    Conflicts,
    count_copies,
    find_backwards,
    find_conflicts,
    first_places,
    illegal_copies,
)
from harness.history.stream_words import name_first, name_sequences
from harness.scenario.metrics import PHASES
from harness.stats.labelled import Count, Tally

NAME = "stream-order"
METRICS = ("sequence_conflicts",)
Array = npt.NDArray[Any]
Cell = tuple[Mapping[str, str], Count]
CONFLICTS = {
    "between_replicas": "where replicas hold different messages",
    "against_acks": "where a replica contradicts an acknowledgement",
    "partial": "whose messages, not acknowledged, some replicas hold and others lack",
    "told_twice": "that were acknowledged for two messages",
    "backwards": "that were acknowledged after a later one of the same publisher",
}


def judge_order(case: Case) -> Result:
    """Count contradictions about which message lies where in a stream.

    - `sequence_conflicts`: stream sequences at which replicas hold different messages; which
      were acknowledged for a message while a replica holds another there, or that message
      only elsewhere; at which some replicas hold a message that was not acknowledged, and
      others lack it (of streams that remove nothing by themselves); which were acknowledged
      for two messages; or which a publisher was told of a message that it had sent after it
      was told a later sequence. A sequence counts once. Of: sequences up to the last.
    - `duplicates`: places beyond its first that a message has in a replica, in the one where
      it has most; in a stream that removes messages by itself, that it is known to have had.
      Of: messages that had a place.
    - `out_of_order`: messages that lie before one that the same publisher had acknowledged
      when it sent them, in any replica. Of: messages that a replica holds.

    Each fails the run, unless a threshold on the metric decides about it. Copies that a
    workload may have made itself, by publishing again without a message id or after the
    window for duplicates, are legal: they are counted, and noted.
    """
    cells: dict[str, list[Cell]] = {"sequence_conflicts": [], "duplicates": [], "out_of_order": []}
    findings: list[Finding] = []
    notes: list[str] = []
    facts = {}
    for stream in case.streams:
        if not stream.replicas and not stream.acked.any():
            continue
        conflicts = find_conflicts(stream)
        copies, held = count_copies(stream), stream.held
        own = {
            "sequence_conflicts": [_conflict_cell(stream, conflicts)],
            "duplicates": list(_cells(stream, np.maximum(copies - 1, 0), copies > 0)),
            "out_of_order": list(_cells(stream, _disordered(stream), held)),
        }
        for metric, rows in own.items():
            cells[metric] += rows
        told = [
            *_tell_conflicts(case, stream, conflicts, own["sequence_conflicts"]),
            *_tell_copies(case, stream, copies),
            *_tell_disorder(case, stream, own["out_of_order"]),
        ]
        findings += [one for one in told if one.verdict is not Verdict.PASS]
        notes += [one.detail for one in told if one.verdict is Verdict.PASS]
        facts[stream.name] = {
            "sequence_conflicts": len(conflicts.all),
            "duplicates": sum(count.count for _, count in own["duplicates"]),
        }
    if facts and not findings:
        findings.append(Finding(NAME, Verdict.PASS, "every message has its own place"))
    return Result(
        tallies={
            metric: Tally(tuple(rows))
            for metric, rows in cells.items()
            if rows or metric in METRICS
        },
        findings=tuple(findings),
        notes=tuple(notes),
        facts={"stream_places": facts},
    )


def _conflict_cell(stream: StreamLedger, conflicts: Conflicts) -> Cell:
    of = max(stream.last, len(conflicts.all))
    at_least = not (stream.audit.whole and stream.whole)
    return {"stream": stream.name}, Count(len(conflicts.all), of, 0, of, at_least=at_least)


def _disordered(stream: StreamLedger) -> Array:
    flags = np.zeros(stream.attempts, dtype=np.int32)
    for one in stream.replicas:
        flags[find_backwards(stream, first_places(stream, one))] = 1
    return flags


def _cells(stream: StreamLedger, counts: Array, had: Array) -> Iterator[Cell]:
    """Yield counts (n,) of what it had summed up; ``at`` tells them from counts of deliveries."""
    at_least = not (stream.audit.whole and stream.whole)
    for place, workload in enumerate(stream.workloads):
        for phase_at, phase in enumerate(PHASES):
            mine = (stream.workload == place) & (stream.phase == phase_at)
            of = int(np.count_nonzero(had & mine))
            count = Count(int(counts[mine].sum()), of, 0, of, at_least=at_least)
            yield {"phase": phase, "workload": workload, "at": "stream"}, count


def _tell_conflicts(
    case: Case, stream: StreamLedger, conflicts: Conflicts, cells: list[Cell]
) -> Iterator[Finding]:
    verdict = judge_guarantee(case.left_open("sequence_conflicts", Tally(tuple(cells))))
    for kind, words in CONFLICTS.items():
        sequences = getattr(conflicts, kind)
        if len(sequences):
            yield Finding(
                NAME,
                verdict,
                f"{stream.name} has {len(sequences)} sequence(s) {words}: "
                f"{name_sequences(sequences)}",
                "the replicas or their leader have parted ways: compare them before anything "
                "is written again",
                value=len(sequences),
                limit=0,
                margin=-len(sequences),
                n=stream.last,
            )


def _tell_copies(case: Case, stream: StreamLedger, copies: Array) -> Iterator[Finding]:
    illegal = illegal_copies(stream, copies)
    extra = np.maximum(copies - 1, 0)
    cells = tuple(_cells(stream, illegal, copies > 0))
    verdict = judge_guarantee(case.left_open("duplicates", Tally(cells)))
    rows = np.flatnonzero(illegal)
    verb = "holds" if stream.settings.keeps_all else "holds or held"
    if len(rows):
        yield Finding(
            NAME,
            verdict,
            f"{stream.name} {verb} {len(rows)} message(s) more than once, and nothing was "
            f"published again that could explain it: {_name(stream, rows)}",
            "see whether the message id reached the server, and how long its duplicate window is",
            value=int(illegal.sum()),
            limit=0,
            margin=-int(illegal.sum()),
            n=int(np.count_nonzero(copies)),
        )
    if legal := int(extra.sum() - illegal.sum()):
        yield Finding(
            NAME,
            Verdict.PASS,
            f"{stream.name}: {legal} legal duplicate(s): the workload published again without a "
            "message id, or after the duplicate window",
        )


def _tell_disorder(case: Case, stream: StreamLedger, cells: list[Cell]) -> Iterator[Finding]:
    rows = np.flatnonzero(_disordered(stream))
    if len(rows):
        yield Finding(
            NAME,
            judge_guarantee(case.left_open("out_of_order", Tally(tuple(cells)))),
            f"{stream.name} holds {len(rows)} message(s) before one that their publisher had "
            f"acknowledged when it sent them: {_name(stream, rows)}",
            "see whether the leader changed at that time",
            value=len(rows),
            limit=0,
            margin=-len(rows),
            n=int(np.count_nonzero(stream.held)),
        )


def _name(stream: StreamLedger, rows: Array) -> str:
    """Return where messages lie in the first replica that holds them, and who sent the first.

    Of what no replica holds any more, where a consumer found it.
    """
    wanted = np.zeros(stream.attempts, dtype=np.bool_)
    wanted[rows] = True
    found = []
    kept: list[Replica | Consumption] = [*stream.replicas, *stream.consumers]
    for one in kept:
        here = one.row >= 0
        here[here] = wanted[one.row[here]]
        found.append(one.sequence[here])
        wanted[one.row[here]] = False
    return f"sequences {name_sequences(np.concatenate(found))} ({name_first(stream, rows)})"


CHECK = Check(NAME, judge_order, METRICS, adds=("duplicates", "out_of_order"))
