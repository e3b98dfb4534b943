"""Key-value: could one copy of the bucket, used by one client at a time, have done this?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.checks.linearizability.operations import (
    Anomaly,
    Kind,
    Operation,
    Outcome,
    Violation,
    render,
)
from harness.checks.linearizability.recorded import Bucket, read_bucket
from harness.checks.linearizability.registers import Judged, judge_bucket, smallest
from harness.checks.linearizability.stored import find_missing, look_in_vain, read_stored
from harness.history.bucket_audit import BucketAudit, read_bucket_audit
from harness.history.facts import Iteration
from harness.stats.labelled import Count, Tally

NAME = "kv"
METRICS = (
    "kv_lost",
    "kv_conflicts",
    "kv_denied",
    "kv_stale_reads",
    "kv_violations",
    "watch_gaps",
)
# The metric that counts an anomaly, and its labels; kv_violations counts them all, by key.
_COUNTED = {
    Anomaly.LOST: ("kv_lost", {}),
    Anomaly.MISSING: ("kv_lost", {}),
    Anomaly.REUSED: ("kv_lost", {}),
    Anomaly.CONFLICT: ("kv_conflicts", {}),
    Anomaly.DENIED: ("kv_denied", {}),
    Anomaly.STALE: ("kv_stale_reads", {"read": "leader"}),
}
_STALE = (
    "NATS promises no more, since a deposed leader answers until it learns of it; a threshold on "
    "kv_stale_reads says how many are allowed"
)
_ADVICE = "keep the run folder: the servers' logs of that time are in servers/"
Cell = tuple[Mapping[str, str], Count]


@dataclass(frozen=True)
class _Judgement:
    """What is known of a bucket, and what is wrong with it.

    Attributes:
        one_copy: it has one replica, so that a get that is too old is broken as well.
        operations: its clients', and what its replicas hold in the end.
    """

    bucket: Bucket
    judged: Judged
    audit: BucketAudit
    one_copy: bool
    operations: tuple[Operation, ...]

    @property
    def workload(self) -> str:
        return self.bucket.workload

    @property
    def unlooked(self) -> frozenset[str]:
        """Return the keys whose end is not known; of a bucket that is gone it is."""
        return frozenset() if self.audit.gone else self.bucket.unlooked

    def breaks(self, anomaly: Anomaly) -> bool:
        """Tell whether an anomaly concerns writes, rather than a get of one leader of several."""
        return self.one_copy or anomaly is not Anomaly.STALE


def judge_kv(case: Case) -> Result:
    """Judge the operations on each bucket, and what its watchers were told.

    Every write is known by its payload, a deletion's too, and the server numbers a
    bucket's writes in one order, by their revisions. An operation whose outcome is unknown
    may have taken effect at any time after it was invoked, or never; a conflict is a
    definite answer, of no effect. Gets that any replica may answer (`direct`) show only
    what was written; they may be as old as they like. So do the messages that an audit read
    in the replicas. Where a bucket has one replica, nobody else can answer a get.

    - `kv_lost`: writes that were acknowledged or that somebody saw, and that the last look
      at the healed bucket does not know: its revision of the key is an earlier one. With
      one replica, also those that an earlier get did not know any more, unless they were seen
      again. Also acknowledged writes among the last `history` of their key that no replica
      holds, where all were read; all writes, where the stream is gone; and each further
      write with a revision that another has, since a stream keeps one of them. Each write
      once. Of: acknowledged writes. A lower bound where a key could not be looked at.
    - `kv_conflicts`: updates that succeeded though their expected revision was not the
      key's current one, such as the second of two on the same. Of: updates that succeeded.
    - `kv_denied`: writes that took effect though their client had been told that they did
      not, by a conflict or another definite error: somebody saw them, or a replica holds
      them. While leadership changes a message may reach two servers that each take themselves
      for the leader, of which one stores it and the other refuses it, and the client hears
      one of them. Of: writes that were refused so.
    - `kv_stale_reads`: gets that saw less than what had been written, or seen by a get of
      the leader, before they began. `read`: ``leader``, or ``replica`` where any might
      answer. Of: such gets. Lost writes make no get stale.
    - `kv_violations`: keys whose operations no single copy could have done in any order
      that agrees with time. `guarantee`: ``writes``, where what is wrong concerns writes
      and what was seen of them, or ``reads``, where gets of the leader were only too old.
      Of: keys. A lower bound where the search for an order was given up.
    - `watch_gaps`: keys of which a watcher was told an earlier revision after a later one,
      or had not been told the last look's revision by the end of drain. Of: keys that were
      written, for each watcher.

    What concerns writes fails the run, unless a threshold on the metric that counts it, or
    on `kv_violations`, decides. Gets of the leader that were too old concern writes where the
    bucket has one replica, and are told in the notes elsewhere. Where columns are not whole
    nothing is judged.
    """
    cells: dict[str, list[Cell]] = {name: [] for name in METRICS}
    findings: list[Finding] = []
    notes: list[str] = []
    for workload in case.scenario.get("workloads") or ():
        if workload.get("kind") != "kv":
            continue
        name = str(workload["name"])
        judgement = _judge(case.iteration, workload)
        for metric, labels, count in _count(judgement):
            cells[metric].append(({"workload": name, **labels}, count))
        findings += _find(case, judgement)
        notes += _note(case, judgement)
    return Result(
        tallies={name: Tally(tuple(rows)) for name, rows in cells.items()},
        findings=tuple(findings),
        notes=tuple(notes),
    )


def _judge(iteration: Iteration, workload: Mapping[str, Any]) -> _Judgement:
    """Judge what clients were told, and then what the replicas hold in the end by it."""
    bucket = read_bucket(iteration, str(workload["name"]), direct=bool(workload.get("direct")))
    audit = read_bucket_audit(iteration, workload)
    operations, one_copy = bucket.operations, audit.replicas == 1
    if not bucket.whole:
        return _Judgement(bucket, judge_bucket(()), audit, one_copy, ())
    if audit.gone:
        operations += tuple(look_in_vain(operations, audit.gone_ns))
    read_ns = max((one.at_ns for one in audit.audit.readings.values()), default=0)
    stored = read_stored(audit.tables, operations, bucket.users, read_ns)
    judged = judge_bucket(operations, stored=stored.operations, one_copy=one_copy)
    if audit.audit.whole:
        history = int(workload.get("history") or 1)
        missing = find_missing(stored, operations, judged, history)
        judged = replace(judged, violations=(*judged.violations, *missing))
    return _Judgement(bucket, judged, audit, one_copy, (*operations, *stored.operations))


def _count(judgement: _Judgement) -> Iterator[tuple[str, Mapping[str, str], Count]]:
    bucket, judged = judgement.bucket, judgement.judged
    done = [one for one in bucket.operations if one.outcome is Outcome.OK]
    acked = sum(one.kind is not Kind.GET for one in done)
    updates = sum(one.kind is Kind.UPDATE for one in done)
    gets = [one for one in done if one.kind is Kind.GET and one.invoked_ns]
    relaxed = sum(one.relaxed for one in gets)
    seen = len(bucket.operations)

    def counted(count: int, of: int, *, open_: bool = False) -> Count:
        return Count(count, of, 0, seen, at_least=open_ or not bucket.whole)

    gone = judged.count(Anomaly.LOST, Anomaly.MISSING, Anomaly.REUSED)
    yield "kv_lost", {}, counted(gone, acked, open_=bool(judgement.unlooked))
    yield "kv_conflicts", {}, counted(judged.count(Anomaly.CONFLICT), updates)
    definite = (Outcome.CONFLICT, Outcome.REFUSED)
    refused = sum(one.kind is not Kind.GET and one.outcome in definite for one in bucket.operations)
    yield "kv_denied", {}, counted(judged.count(Anomaly.DENIED), refused)
    stale = judged.count(Anomaly.STALE)
    yield "kv_stale_reads", {"read": "leader"}, counted(stale, len(gets) - relaxed)
    yield "kv_stale_reads", {"read": "replica"}, counted(judged.stale_relaxed, relaxed)
    writes = judged.keys_with(*filter(judgement.breaks, Anomaly))
    reads = judged.keys_with(Anomaly.STALE) - writes
    undecided = bool(judged.undecided)
    for guarantee, keys in (("writes", writes), ("reads", reads)):
        found = counted(len(keys), judged.keys, open_=undecided)
        yield "kv_violations", {"guarantee": guarantee}, found
    # Both of these are of all keys: without this, their sum would be of twice as many.
    yield "kv_violations", {}, Count(of=-judged.keys)
    if bucket.watchers:
        written = sum(revision > 0 for revision in bucket.final.values())
        gaps = len(_gaps(bucket))
        of = written * len(bucket.watchers)
        yield "watch_gaps", {}, counted(gaps, of, open_=bool(bucket.unlooked))


def _gaps(bucket: Bucket) -> list[str]:
    """Return what is wrong with what each watcher was told of each key: one text at most."""
    found = []
    final = bucket.final
    for watcher in bucket.watchers:
        for key in sorted({*final, *(key for name, key in bucket.told if name == watcher)}):
            told = bucket.told.get((watcher, key), ())
            back = next(((a, b) for a, b in pairwise(told) if b < a), None)
            if back is not None:
                found.append(f"{watcher} was told revision {back[1]} of {key} after {back[0]}")
            elif max(told, default=0) < final.get(key, 0):
                last = max(told, default=0) or "nothing"
                found.append(
                    f"{watcher} was told {last} of {key} last, which ended at revision {final[key]}"
                )
    return found


def _find(case: Case, judgement: _Judgement) -> Iterator[Finding]:
    bucket, judged = judgement.bucket, judgement.judged
    if not bucket.whole:
        yield Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"{bucket.workload}: rows of its workers are missing, so its keys were not judged",
            "run it again, and read the logs in workers/",
        )
        return
    broken = [one for one in judged.violations if judgement.breaks(one.anomaly)]
    failed = [one for one in broken if not _is_decided(case, bucket, one)]
    for violation in _firsts(failed):
        yield Finding(
            NAME,
            Verdict.FAIL,
            _tell(case, judgement, violation),
            _ADVICE,
            value=judged.count(violation.anomaly),
            limit=0,
            margin=-judged.count(violation.anomaly),
            n=judged.operations,
        )
    if judged.undecided:
        yield Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"{bucket.workload}: whether any order explains {', '.join(judged.undecided)} was not "
            "decided: the search was given up",
            "make it a shorter run, or use more keys",
            n=len(judged.undecided),
        )
    if judgement.unlooked:
        yield Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"{bucket.workload}: the last state of {len(judgement.unlooked)} key(s) could not be "
            "read, so it is not known whether all their writes are there",
            "give drain more time, or see why the bucket has no leader",
            n=len(judgement.unlooked),
        )
    if not broken and not judged.undecided:
        yield Finding(
            NAME,
            Verdict.PASS,
            f"{bucket.workload}: {judged.operations} operations on {judged.keys} keys; every write "
            "that succeeded is there, and in one order",
            n=judged.operations,
        )


def _is_decided(case: Case, bucket: Bucket, violation: Violation) -> bool:
    """Tell whether a threshold decides about what is wrong with writes of a workload."""
    workload = {"workload": bucket.workload}
    if case.decides("kv_violations", {**workload, "guarantee": "writes"}):
        return True
    counted = _COUNTED.get(violation.anomaly)
    return counted is not None and case.decides(counted[0], {**workload, **counted[1]})


def _note(case: Case, judgement: _Judgement) -> Iterator[str]:
    """Say what fails no run by itself, and what a threshold has to decide."""
    bucket = judgement.bucket
    for violation in _firsts(judgement.judged.violations):
        legal = not judgement.breaks(violation.anomaly)
        if legal or _is_decided(case, bucket, violation):
            told = _tell(case, judgement, violation)
            yield f"{told}\n{_STALE}" if legal else told
    gaps = _gaps(bucket)
    if gaps:
        yield f"{bucket.workload}: {len(gaps)} gap(s) in what watchers were told; {gaps[0]}"


def _firsts(violations: list[Violation] | tuple[Violation, ...]) -> list[Violation]:
    """Return the first violation of each kind."""
    return list({one.anomaly: one for one in reversed(violations)}.values())[::-1]


def _tell(case: Case, judgement: _Judgement, violation: Violation) -> str:
    """Say how often it happened, and show the smallest history of the first time."""
    count = judgement.judged.count(violation.anomaly)
    shown = smallest(violation, judgement.operations, one_copy=judgement.one_copy)
    lines = render(shown, case.iteration.start_ns)
    times = f"{count} times; the first, " if count > 1 else ""
    what = f"{judgement.workload}: {violation.anomaly}: {times}on {violation.key}:"
    return "\n".join((what, *lines))


CHECK = Check(NAME, judge_kv, METRICS)
