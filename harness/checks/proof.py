"""Proof: did every planned fault really happen, and was it really undone?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.facts import FaultWindow

NAME = "proof"
ADVICE = "read the fault's events in events.jsonl and the logs in servers/"


def judge_proof(case: Case) -> Result:
    """Judge the evidence for each fault of the scenario.

    A fault is proven when it struck at least one node, its effect and its undo were
    both observed at every node that it struck, injection and healing came to their
    ends, and nothing failed on the way. Otherwise what was measured says nothing about
    that fault, and the run is inconclusive.
    """
    windows = {window.name: window for window in case.iteration.faults}
    findings = []
    planned: tuple[Mapping[str, Any], ...] = tuple(case.scenario.get("faults") or ())
    names = dict.fromkeys([*(str(step["name"]) for step in planned), *windows])
    for name in names:
        window = windows.get(name)
        problems = ["it never started"] if window is None else _missing(window)
        if problems:
            what = "; ".join(problems)
            findings.append(
                Finding(NAME, Verdict.INCONCLUSIVE, f"fault {name} is not proven: {what}", ADVICE)
            )
        else:
            assert window is not None
            struck = ", ".join(dict.fromkeys(hit.node for hit in window.hits))
            findings.append(
                Finding(
                    NAME,
                    Verdict.PASS,
                    f"fault {name} struck {struck}; effect and undo were observed",
                    n=len(window.hits),
                )
            )
    return Result(findings=tuple(findings))


def _missing(window: FaultWindow) -> list[str]:
    problems = [
        f"{'undoing' if failure.edge == 'undo' else 'injecting'} failed: {failure.message}"
        for failure in window.failures
    ]
    if not window.hits:
        problems.append("it struck no node")
    for edge in ("effect", "undo"):
        seen = {one.node for one in window.observations if one.edge == edge}
        unseen = dict.fromkeys(hit.node for hit in window.hits if hit.node not in seen)
        if unseen:
            problems.append(f"no {edge} was observed at {', '.join(unseen)}")
    if window.injected_ns is None:
        problems.append("its injection did not come to an end")
    elif window.healed_ns is None:
        problems.append("it was not healed")
    return problems


CHECK = Check(NAME, judge_proof)
