"""Buckets: do all replicas of a bucket's stream hold the same messages?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.checks.base import Case, Check, Finding, Result, Verdict, judge_guarantee
from harness.history.bucket_audit import PREFIXES, BucketAudit, read_bucket_audit
from harness.history.facts import Columns
from harness.history.stream_words import name_sequences
from harness.stats.labelled import Count, Tally

NAME = "buckets"
_LOST = {"kv": "kv_lost", "object": "object_lost"}
Array = npt.NDArray[Any]


def judge_buckets(case: Case) -> Result:
    """Compare the replicas of the streams of buckets, which clients read through the leader.

    What one replica lacks or has otherwise shows to clients only once that one leads. Two
    replicas differ at a sequence where one holds a message that the other lacks, or where
    they hold different ones (`sequence_conflicts`, of the sequences that any holds).

    Such a sequence fails the run, unless a threshold on `sequence_conflicts` decides about
    it. So does a bucket whose stream is gone altogether, unless one on what is lost with it
    decides (`kv_lost`, `object_lost`). A replica that was not read makes the run inconclusive,
    and so does a bucket without any audit, but in an iteration that had none at all: it is of
    before there was one, or was cut short.
    """
    findings: list[Finding] = []
    notes: list[str] = []
    cells = []
    for workload in case.scenario.get("workloads") or ():
        if workload.get("kind") not in PREFIXES:
            continue
        bucket = read_bucket_audit(case.iteration, workload)
        if bucket.gone:
            gone = _tell_gone(bucket)
            if case.decides(_LOST[workload["kind"]], {"workload": str(workload["name"])}):
                notes.append(gone.detail)
            else:
                findings.append(gone)
            continue
        audit = bucket.audit
        if not (audit.readings or audit.unread or audit.failed):
            if any(one.name == "audit" for one in case.iteration.phases):
                findings.append(_unknown(bucket.stream, "no replica of it was read"))
            continue
        differing, of = _compare(bucket.tables)
        count = Count(len(differing), of, 0, of, at_least=not audit.whole)
        cell = ({"stream": bucket.stream}, count)
        cells.append(cell)
        findings += _tell_unread(bucket)
        if len(differing):
            verdict = judge_guarantee(case.left_open("sequence_conflicts", Tally((cell,))))
            findings.append(_tell(workload["kind"], bucket, differing, verdict))
        elif audit.whole:
            detail = f"{bucket.stream}: {of} message(s), the same on {', '.join(bucket.tables)}"
            findings.append(Finding(NAME, Verdict.PASS, detail, n=of))
    return Result(
        tallies={"sequence_conflicts": Tally(tuple(cells))} if cells else {},
        findings=tuple(findings),
        notes=tuple(notes),
    )


def _compare(tables: Mapping[str, Columns]) -> tuple[Array, int]:
    """Return the sequences at which replicas differ, and how many there are in all."""
    if not tables:
        return np.empty(0, np.uint64), 0
    sequences, writers = (
        np.concatenate([one[name] for one in tables.values()])
        for name in ("stream_sequence", "sender")
    )
    written, integrity = (
        np.concatenate([one[name] for one in tables.values()]) for name in ("sequence", "integrity")
    )
    messages = np.unique(np.stack([sequences, writers, written, integrity]).T, axis=0)
    places, forms = np.unique(messages[:, 0], return_counts=True)
    _, held = np.unique(sequences, return_counts=True)
    return places[(forms > 1) | (held < len(tables))], len(places)


def _tell_gone(bucket: BucketAudit) -> Finding:
    detail = f"{bucket.stream}: JetStream has no such stream any more, and nothing of what it held"
    advice = "see servers/ for what became of it, and whether anything else deletes streams there"
    return Finding(NAME, Verdict.FAIL, detail, advice)


def _tell_unread(bucket: BucketAudit) -> Iterator[Finding]:
    whole = [f"the audit failed: {why}" for why in bucket.audit.failed]
    parts = [
        f"the replica on {node} could not be judged: {why}"
        for node, why in bucket.audit.unread.items()
    ]
    for why in (*whole, *parts):
        yield _unknown(bucket.stream, why)


def _unknown(name: str, why: str) -> Finding:
    advice = "see harness.log and servers/ for why; give drain more time, so that it is healed"
    return Finding(NAME, Verdict.INCONCLUSIVE, f"{name}: {why}", advice)


def _tell(kind: str, bucket: BucketAudit, differing: Array, verdict: Verdict) -> Finding:
    held = ", ".join(
        f"{node} {np.count_nonzero(np.isin(differing, one['stream_sequence']))}"
        for node, one in bucket.tables.items()
    )
    return Finding(
        NAME,
        verdict,
        f"{bucket.stream}: replicas differ at {len(differing)} sequence(s): "
        f"{name_sequences(differing)}; of these hold: {held}",
        f"what clients of this {kind} bucket are given depends on which replica leads",
        value=len(differing),
        limit=0,
        margin=-len(differing),
        n=len(differing),
    )


CHECK = Check(NAME, judge_buckets, adds=("sequence_conflicts",))
