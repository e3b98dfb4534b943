"""Loss in streams: what was acknowledged must be there, on every replica."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.checks.base import Case, Check, Finding, Result, Verdict, judge_guarantee
from harness.history.stream_absence import PARTS, Absence, find_absences, find_taken, name_parts
from harness.history.stream_ledger import StreamLedger
from harness.history.stream_words import name_messages
from harness.history.tables import Outcome
from harness.scenario.metrics import PHASES
from harness.stats.labelled import Count, Tally

NAME = "stream-loss"
METRICS = ("stream_lost", "replica_lost", "health_lied")
Array = npt.NDArray[Any]
Cell = tuple[Mapping[str, str], Count]


@dataclass(frozen=True)
class _Loss:
    """What one stream lost; flags of shape (n,)."""

    stream: StreamLedger
    absences: tuple[Absence, ...]
    lost: Array
    open: Array
    parts: Array

    @classmethod
    def of(cls, stream: StreamLedger) -> _Loss:
        absences = find_absences(stream)
        lost = np.zeros(stream.attempts, dtype=np.bool_)
        certain = np.zeros(stream.attempts, dtype=np.bool_)
        for one in absences:
            lost |= one.lost
            certain |= one.certain
        return cls(stream, absences, lost, lost & ~certain, name_parts(stream, lost))


def judge_loss(case: Case) -> Result:
    """Count the acknowledged messages that streams have lost, by phase, workload and part.

    Only replicas that the audit read whole are looked at; where one was not, counts are
    lower bounds. The phase of a message is the one in which it was due.

    - `stream_lost`: acknowledged and absent, intact, from at least one replica; a message
      counts once. Of: acknowledged messages. `part` tells where in the stream, in the order
      of the acknowledged sequences, the loss lies: a run from the first on (`prefix`), up to
      the last (`postfix`), or between (`middle`; a whole stream is prefix). Selected by part,
      the ratio is of what lies in that part, kept messages being in the middle.
    - `replica_lost`: the same, once for each replica that lacks it. Of: acknowledged
      messages, once for each replica that was read.
    - `recovered`: unknown publishes that a replica holds or a consumer delivered. They are
      never lost, whatever became of them.
    - `health_lied`: replicas that their node's health endpoint called fine after the cluster
      was quiet, and that lack acknowledged messages without any doubt. Of: replicas that
      were read and whose health was asked.

    What the stream's own limits or retention explain is not lost and only noted; what they
    may explain or not is uncertain (`harness.history.stream_absence`). Where limits explain the
    absence of every message, nothing was seen, and the run is inconclusive.

    Losing acknowledged messages fails the run, and so does a lie about it, and a replica that
    is gone though none of the messages was due to be there any more. Where the
    scenario has a threshold on `stream_lost`, that decides about the messages that it
    selects, and there a lie is only noted, unless a threshold on `health_lied` decides.
    """
    losses = [_Loss.of(stream) for stream in case.streams]
    if not losses:
        return Result(tallies=dict.fromkeys(METRICS, Tally(())))
    lost = [_lost_cells(one) for one in losses]
    tallies = {
        "stream_lost": Tally(
            tuple(cell for cells in lost for cell in cells), exposure=frozenset({"part"})
        ),
        "replica_lost": Tally(tuple(cell for one in losses for cell in _replica_cells(one))),
        "recovered": Tally(tuple(cell for one in losses for cell in _recovered_cells(one))),
        "health_lied": Tally(tuple(cell for one in losses for cell in _health_cells(one))),
    }
    findings, notes = [], []
    for one, cells in zip(losses, lost, strict=True):
        open_count = case.left_open("stream_lost", Tally(tuple(cells)))
        told = list(_tell(one, judge_guarantee(open_count)))
        told += [*_tell_gone(one), *_tell_unseen(one)]
        told += _tell_lies(case, one, decided=bool(one.lost.any()) and not open_count.count)
        findings += [finding for finding in told if finding.verdict is not Verdict.PASS]
        notes += [finding.detail for finding in told if finding.verdict is Verdict.PASS]
        notes += _tell_removed(one)
    if not findings:
        acked = sum(int(one.stream.acked.sum()) for one in losses)
        detail = f"{acked} acknowledged message(s) of {len(losses)} stream(s) were looked for"
        findings.append(Finding(NAME, Verdict.PASS, detail, n=acked))
    return Result(
        tallies=tallies,
        findings=tuple(findings),
        notes=tuple(notes),
        facts={"stream_losses": {one.stream.name: _show(one) for one in losses}},
    )


def _lost_cells(loss: _Loss) -> list[Cell]:
    stream = loss.stream
    if not stream.replicas:
        return []
    shape = (len(PHASES), len(stream.workloads), len(PARTS))
    parts = np.where(loss.lost, loss.parts, PARTS.index("middle"))
    code = np.ravel_multi_index((stream.phase, stream.workload, parts), shape)
    at_least = not (stream.audit.whole and stream.whole)
    of = np.bincount(code[stream.acked], minlength=np.prod(shape)).reshape(shape)
    lost = np.bincount(code[loss.lost], minlength=np.prod(shape)).reshape(shape)
    uncertain = np.bincount(code[loss.open], minlength=np.prod(shape)).reshape(shape)
    return [
        (
            {
                "phase": PHASES[at[0]],
                "workload": stream.workloads[at[1]],
                "stream": stream.name,
                "part": PARTS[at[2]],
            },
            Count(int(lost[at]), int(of[at]), int(uncertain[at]), int(of[at]), at_least=at_least),
        )
        for at in np.ndindex(*shape)
    ]


def _replica_cells(loss: _Loss) -> Iterator[Cell]:
    of = int(loss.stream.acked.sum())
    at_least = not (loss.stream.audit.whole and loss.stream.whole)
    for one in loss.absences:
        yield (
            {"server": one.node, "stream": loss.stream.name},
            Count(int(one.lost.sum()), of, int(one.open.sum()), of, at_least=at_least),
        )


def _recovered_cells(loss: _Loss) -> Iterator[Cell]:
    """Yield what was found of unknown publishes; accounting counts of how many that is."""
    stream = loss.stream
    found = (stream.sent["outcome"] == Outcome.UNKNOWN) & stream.held
    for consumer in stream.consumers:
        taken = find_taken(stream, consumer, acked=False)
        found |= taken & (stream.sent["outcome"] == Outcome.UNKNOWN)
    at_least = not (stream.audit.whole and stream.whole)
    for place, workload in enumerate(stream.workloads):
        by_phase = np.bincount(
            stream.phase[found & (stream.workload == place)], minlength=len(PHASES)
        )
        for phase, count in zip(PHASES, by_phase, strict=True):
            yield {"phase": phase, "workload": workload}, Count(int(count), at_least=at_least)


def _health_cells(loss: _Loss) -> Iterator[Cell]:
    healthy = loss.stream.audit.healthy
    for one in loss.absences:
        if one.node in healthy:
            lied = int(healthy[one.node] and bool(one.certain.any()))
            at_least = not loss.stream.audit.whole
            yield (
                {"server": one.node, "stream": loss.stream.name},
                Count(lied, 1, 0, 1, at_least=at_least),
            )


def _tell(loss: _Loss, verdict: Verdict) -> Iterator[Finding]:
    """Yield a finding for each replica that lacks anything; pass where thresholds decide."""
    stream = loss.stream
    for one in loss.absences:
        certain, doubtful = np.flatnonzero(one.certain), np.flatnonzero(one.open)
        if len(certain):
            where = " and ".join(
                name for at, name in enumerate(PARTS) if np.any(loss.parts[certain] == at)
            )
            yield Finding(
                NAME,
                verdict,
                f"{one.node} lacks {len(certain)} acked message(s) of {stream.name}: "
                f"{name_messages(stream, certain)}; {where}",
                "acknowledged and then gone: a threshold on stream_lost says how much is allowed",
                value=len(certain),
                limit=0,
                margin=-len(certain),
                n=int(stream.acked.sum()),
            )
        if len(doubtful):
            yield Finding(
                NAME,
                min(verdict, Verdict.INCONCLUSIVE, key=lambda one: one.severity),
                f"{one.node} lacks {len(doubtful)} acked message(s) of {stream.name} that the "
                f"stream's limits or retention may have removed: {name_messages(stream, doubtful)}",
                "use a stream without limits where loss is to be seen",
                n=len(doubtful),
            )


def _tell_gone(loss: _Loss) -> Iterator[Finding]:
    """Yield a finding for what is gone without any message, of which nothing else would tell."""
    nodes = [
        replica.node
        for replica, one in zip(loss.stream.replicas, loss.absences, strict=True)
        if replica.reading.gone and not one.certain.any()
    ]
    if nodes:
        yield Finding(
            NAME,
            Verdict.FAIL,
            f"{', '.join(nodes)}: stream {loss.stream.name} is gone, though nobody removed it; its "
            "limits or retention explain that messages are, but not that it is",
            "see its last sign in events.jsonl (jetstream.sampled), and servers/ for why",
        )


def _tell_unseen(loss: _Loss) -> Iterator[Finding]:
    """Yield a finding where nothing was left to be seen: then no loss could have been, either."""
    stream, acked = loss.stream, int(loss.stream.acked.sum())
    by_limits = stream.settings.retention == "limits"
    removed = [int(one.removed.sum()) for one in loss.absences]
    if by_limits and acked and removed and all(one == acked for one in removed):
        yield Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"{stream.name}: all {acked} acked message(s) were gone as its limits allow before "
            "a replica was read, so that no loss could have been seen",
            "let the stream keep its messages to the end of the run (max_age)",
            n=0,
        )


def _tell_lies(case: Case, loss: _Loss, *, decided: bool) -> Iterator[Finding]:
    for labels, count in _health_cells(loss):
        if not count.count:
            continue
        lacking = next(one for one in loss.absences if one.node == labels["server"])
        rows = np.flatnonzero(lacking.certain)
        undecided = case.left_open("health_lied", Tally(((labels, count),))).count
        yield Finding(
            "health_lied",
            Verdict.PASS if decided or not undecided else Verdict.FAIL,
            f"health_lied: {lacking.node} called itself healthy, and its replica of "
            f"{loss.stream.name} lacks {len(rows)} acked message(s)",
            "do not rely on /healthz of this version to find damaged replicas",
            value=1,
            limit=0,
            margin=-1,
            n=len(rows),
        )


def _tell_removed(loss: _Loss) -> Iterator[str]:
    removed = np.zeros(loss.stream.attempts, dtype=np.bool_)
    for one in loss.absences:
        removed |= one.removed & ~loss.lost
    if count := int(removed.sum()):
        yield (
            f"{loss.stream.name}: {count} acked message(s) are gone as its limits or retention "
            "allow, and are not counted as lost"
        )


def _show(loss: _Loss) -> dict[str, Any]:
    stream = loss.stream
    held = {one.node: len(one.row) for one in stream.replicas}
    removed = np.zeros(stream.attempts, dtype=np.bool_)
    replicas = []
    for one in loss.absences:
        removed |= one.removed
        parts = name_parts(stream, one.lost)[one.lost]
        replicas.append(
            {
                "server": one.node,
                "stored": held[one.node],
                "lost": int(one.lost.sum()),
                "uncertain": int(one.open.sum()),
                **{part: int(np.count_nonzero(parts == at)) for at, part in enumerate(PARTS)},
                "healthy": stream.audit.healthy.get(one.node),
            }
        )
    return {
        "acked": int(stream.acked.sum()),
        "lost": int(loss.lost.sum()),
        "uncertain": int(loss.open.sum()),
        "removed": int((removed & ~loss.lost).sum()),
        "recovered": sum(count.count for _, count in _recovered_cells(loss)),
        "replicas": replicas,
        "unread": dict(stream.audit.unread),
    }


CHECK = Check(NAME, judge_loss, METRICS, adds=("recovered",))
