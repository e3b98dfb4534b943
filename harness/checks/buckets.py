"""Buckets: do all replicas of a bucket's stream hold the same messages?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.checks.base import Case, Check, Finding, Result, Verdict, judge_guarantee
from harness.history.facts import Columns
from harness.history.stream_audit import Audit, read_audit
from harness.history.stream_words import name_sequences
from harness.stats.labelled import Count, Tally

NAME = "buckets"
PREFIXES = {"kv": "KV_", "object": "OBJ_"}
Array = npt.NDArray[Any]


def judge_buckets(case: Case) -> Result:
    """Compare the replicas of the streams of buckets, which clients read through the leader.

    What one replica lacks or has otherwise shows to clients only once that one leads. Two
    replicas differ at a sequence where one holds a message that the other lacks, or where
    they hold different ones (`sequence_conflicts`, of the sequences that any holds).

    Such a sequence fails the run, unless a threshold on `sequence_conflicts` decides about
    it. A replica that was not read makes the run inconclusive, and so does a bucket without
    any audit, but in an iteration that had none at all: it is of before there was one, or
    was cut short.
    """
    findings: list[Finding] = []
    cells = []
    for kind, name, replicas in _list_buckets(case.scenario):
        audit = read_audit(
            case.iteration, {"streams": [{"name": name, "replicas": replicas}]}, name
        )
        if not (audit.readings or audit.unread or audit.failed):
            if any(one.name == "audit" for one in case.iteration.phases):
                findings.append(_unknown(name, "no replica of it was read"))
            continue
        tables = {node: case.iteration.stored[name, node] for node in sorted(audit.readings)}
        differing, of = _compare(tables)
        count = Count(len(differing), of, 0, of, at_least=not audit.whole)
        cell = ({"stream": name}, count)
        cells.append(cell)
        findings += _tell_unread(name, audit)
        if len(differing):
            verdict = judge_guarantee(case.left_open("sequence_conflicts", Tally((cell,))))
            findings.append(_tell(kind, name, differing, tables, verdict))
        elif audit.whole:
            detail = f"{name}: {of} message(s), the same on {', '.join(tables)}"
            findings.append(Finding(NAME, Verdict.PASS, detail, n=of))
    return Result(
        tallies={"sequence_conflicts": Tally(tuple(cells))} if cells else {},
        findings=tuple(findings),
    )


def _list_buckets(scenario: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    for workload in scenario.get("workloads") or ():
        prefix = PREFIXES.get(str(workload.get("kind")))
        if prefix is not None:
            name = workload.get("bucket") or workload["name"]
            yield str(workload["kind"]), f"{prefix}{name}", int(workload.get("replicas") or 1)


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


def _tell_unread(name: str, audit: Audit) -> Iterator[Finding]:
    whole = [f"the audit failed: {why}" for why in audit.failed]
    parts = [
        f"the replica on {node} could not be judged: {why}" for node, why in audit.unread.items()
    ]
    for why in (*whole, *parts):
        yield _unknown(name, why)


def _unknown(name: str, why: str) -> Finding:
    advice = "see harness.log and servers/ for why; give drain more time, so that it is healed"
    return Finding(NAME, Verdict.INCONCLUSIVE, f"{name}: {why}", advice)


def _tell(
    kind: str, name: str, differing: Array, tables: Mapping[str, Columns], verdict: Verdict
) -> Finding:
    held = ", ".join(
        f"{node} {np.count_nonzero(np.isin(differing, one['stream_sequence']))}"
        for node, one in tables.items()
    )
    return Finding(
        NAME,
        verdict,
        f"{name}: replicas differ at {len(differing)} sequence(s): {name_sequences(differing)}; "
        f"of these hold: {held}",
        f"what clients of this {kind} bucket are given depends on which replica leads",
        value=len(differing),
        limit=0,
        margin=-len(differing),
        n=len(differing),
    )


CHECK = Check(NAME, judge_buckets, adds=("sequence_conflicts",))
