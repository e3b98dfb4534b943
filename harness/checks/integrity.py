"""Integrity: guarantees that hold without any threshold."""

from __future__ import annotations

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.ledger import STRANGER, Array, Ledger
from harness.history.misfits import find_misfits

NAME = "integrity"


def judge_integrity(case: Case) -> Result:
    """Judge what no cluster may ever do, whatever is broken in it.

    A payload that arrives damaged, and a message that arrives though nobody sent it, each
    fail the run. (Metrics `corrupted` and `unexpected`, which accounting computes.)
    """
    ledger = case.ledger
    findings = []
    for place, where in ledger.places():
        corrupted, unexpected = find_misfits(ledger, place)
        for what, misfits in (
            ("damaged payload(s): the checksum does not hold", corrupted),
            ("message(s) that were never sent to it", unexpected),
        ):
            if len(misfits):
                findings.append(
                    Finding(
                        NAME,
                        Verdict.FAIL,
                        f"{where.name} received {len(misfits)} {what}; {_first(ledger, misfits)}",
                        "see whether anything else publishes on this subject",
                        value=len(misfits),
                        limit=0,
                        margin=-len(misfits),
                        n=len(ledger.by_destination[place]),
                    )
                )
    if not findings:
        findings.append(
            Finding(
                NAME,
                Verdict.PASS,
                "nothing arrived damaged, and nothing that had not been sent",
                n=len(ledger.row),
            )
        )
    return Result(findings=tuple(findings))


def _first(ledger: Ledger, misfits: Array) -> str:
    """Say when the first of some deliveries came, and what it claims to be."""
    at = misfits[0]
    when = ledger.iteration.relative_s(int(ledger.delivered["received_ns"][at]))
    if ledger.origin[at] == STRANGER:
        return f"the first after {when:.3f} s"
    sender = ledger.senders[ledger.origin[at]].name
    number = int(ledger.delivered["sequence"][at])
    return f"the first after {when:.3f} s, as number {number} of {sender}"


CHECK = Check(NAME, judge_integrity)
