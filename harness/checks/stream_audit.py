"""Audit: was every replica of every stream read, so that absence can be seen?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.stream_ledger import StreamLedger

NAME = "stream-audit"
ADVICE = "see harness.log and servers/ for why; give drain more time, so that the stream is healed"
ROWS = "counts are lower bounds here; run it again, and read the logs in workers/"


def judge_audit(case: Case) -> Result:
    """Judge whether the streams that clients used could be judged at all.

    Of each such stream, every replica must have been read: with its own node leading, every
    row on record, and each sequence between its first and its last either there or known to
    be absent. One that its own healthy server does not know of any more is empty. One whose
    server does not run, because a fault let it refuse its data, is left out and only noted, as
    long as another was read. A replica that was not read otherwise, and a stream without any
    audit, make the run inconclusive, whatever the others hold. So do acknowledgements that make
    no sense, and rows of clients that were not planned to write them.
    """
    findings = list(_find_strangers(case))
    notes = []
    for stream in case.streams:
        problems = list(_judge(stream))
        findings += problems
        if not problems:
            rows = sum(len(one.row) for one in stream.replicas)
            nodes = ", ".join(one.node for one in stream.replicas)
            detail = f"{stream.name}: {rows} message(s) read on {nodes}, every replica whole"
            findings.append(Finding(NAME, Verdict.PASS, detail, n=rows))
        notes += [
            f"{stream.name}: the replica on {node} is down and was not judged: a fault let its "
            f"server refuse what it found ({why})"
            for node, why in stream.audit.down.items()
        ]
        notes += [
            f"{stream.name}: {one.node} is well by its own word, and has no such stream any more"
            if stream.audit.healthy.get(one.node)
            else f"{stream.name}: {one.node} is not well, and most have no such stream any more"
            for one in stream.replicas
            if one.reading.gone
        ]
    return Result(findings=tuple(findings), notes=tuple(notes))


def _find_strangers(case: Case) -> Iterator[Finding]:
    publishers = [one.id for stream in case.streams for one in stream.publishers]
    consumers = [
        client.id for stream in case.streams for one in stream.consumers for client in one.clients
    ]
    for what, columns, known in (
        ("acknowledgement(s)", case.iteration.acks, publishers),
        ("delivery row(s)", case.iteration.consumed, consumers),
    ):
        if count := int(np.count_nonzero(~np.isin(columns["client"], known))):
            detail = f"{count} {what} belong to no client that was planned for a stream"
            yield Finding(NAME, Verdict.INCONCLUSIVE, detail, ROWS, n=count)


def _judge(stream: StreamLedger) -> Iterator[Finding]:
    audit, name = stream.audit, stream.name
    for why in audit.failed:
        yield Finding(NAME, Verdict.INCONCLUSIVE, f"{name}: the audit failed: {why}", ADVICE)
    for node, why in audit.unread.items():
        detail = f"{name}: the replica on {node} could not be judged: {why}"
        yield Finding(NAME, Verdict.INCONCLUSIVE, detail, ADVICE)
    if not (audit.readings or audit.unread or audit.failed):
        detail = f"{name}: no replica of it was read, so nothing is known of what it lost"
        yield Finding(NAME, Verdict.INCONCLUSIVE, detail, ADVICE, n=0)
    for problem in stream.problems:
        yield Finding(NAME, Verdict.INCONCLUSIVE, f"{name}: {problem}", ROWS)


CHECK = Check(NAME, judge_audit)
