"""Ledger: is the account of messages itself whole?"""

from __future__ import annotations

import numpy as np

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.facts import WorkerLedger
from harness.history.ledger import Ledger
from harness.history.tables import Outcome

NAME = "ledger"
ADVICE = "counts are lower bounds here; run it again, and read the logs in workers/"


def judge_ledger(case: Case) -> Result:
    """Judge whether the columns hold every row, and only rows that can be.

    Whole means: every worker said it was done, its rows were all read and none was
    damaged, each sender's sequence numbers have no gap, no attempt is there twice, every
    row belongs to a planned client, and nothing was received before it was attempted.
    Otherwise the run is inconclusive: absence is no evidence then, and every count is a
    lower bound.
    """
    problems = [
        f"worker {name}: {problem}"
        for name, worker in case.iteration.workers.items()
        if (problem := _describe(worker)) is not None
    ]
    ledger = case.ledger
    problems += [
        f"{name} has {gap} gap(s) in its sequence numbers" for name, gap in ledger.gaps.items()
    ]
    if ledger.repeated:
        problems.append(f"{ledger.repeated} attempt(s) were written twice")
    if ledger.strangers:
        problems.append(f"{ledger.strangers} row(s) belong to no planned client")
    problems += _impossible_rows(ledger)
    if problems:
        return Result(
            findings=tuple(
                Finding(NAME, Verdict.INCONCLUSIVE, problem, ADVICE) for problem in problems
            )
        )
    deliveries = len(ledger.row) + len(case.iteration.consumed["received_ns"])
    whole = f"{ledger.attempts} attempts and {deliveries} deliveries, every row accounted for"
    return Result(findings=(Finding(NAME, Verdict.PASS, whole, n=ledger.attempts),))


def _describe(worker: WorkerLedger) -> str | None:
    if worker.lost_ns is not None:
        return "ended before it was done"
    if worker.problem is not None:
        return worker.problem
    if worker.said is None:
        return "never said that it was done"
    if worker.said != worker.read:
        return f"wrote {worker.said} rows (sent, delivered) by its own account, {worker.read} read"
    return None


def _impossible_rows(ledger: Ledger) -> list[str]:
    problems = []
    sent = ledger.sent
    if strange := int(np.count_nonzero(~np.isin(sent["outcome"], list(Outcome)))):
        problems.append(f"{strange} attempt(s) have an outcome that does not exist")
    finished = sent["finished_ns"]
    if early := int(np.count_nonzero((finished != 0) & (finished < sent["attempted_ns"]))):
        problems.append(f"{early} attempt(s) finished before they began")
    known = ledger.row >= 0
    attempted = sent["attempted_ns"][ledger.row[known]]
    if early := int(np.count_nonzero(ledger.delivered["received_ns"][known] < attempted)):
        problems.append(f"{early} message(s) were received before they were attempted")
    return problems


CHECK = Check(NAME, judge_ledger)
