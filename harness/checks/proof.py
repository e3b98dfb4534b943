"""Proof: did every planned fault really happen, and was it really undone?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.facts import FaultWindow, Hit

NAME = "proof"
ADVICE = "read the fault's events in events.jsonl and the logs in servers/"


def judge_proof(case: Case) -> Result:
    """Judge the evidence for each fault of the scenario.

    A fault is proven when it struck every node that it was aimed at and no other, its
    effect and its undo were both observed at each of them, injection and healing began
    and came to their ends, and nothing failed on the way. At each node the order must be
    hit, effect, undo, end of healing; a fault may take its nodes one after the other.
    Otherwise what was measured says nothing about that fault, and the run is inconclusive.
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
    struck = dict.fromkeys(hit.node for hit in window.hits)
    if not struck:
        problems.append("it struck no node")
    elif missed := [node for node in dict.fromkeys(window.targets) if node not in struck]:
        problems.append(f"it did not strike {', '.join(missed)}")
    if strays := [node for node in struck if node not in window.targets]:
        problems.append(f"it struck {', '.join(strays)}, at which it was not aimed")
    for edge in ("effect", "undo"):
        seen = {one.node for one in window.observations if one.edge == edge}
        unseen = [node for node in struck if node not in seen]
        if unseen:
            problems.append(f"no {edge} was observed at {', '.join(unseen)}")
    problems += [
        f"{problem} at {hit.node}" for hit in window.hits if (problem := _order(window, hit))
    ]
    if window.inject_started_ns is None:
        problems.append("its injection has no beginning")
    if window.injected_ns is None:
        problems.append("its injection did not come to an end")
    elif window.healed_ns is None:
        problems.append("it was not healed")
    if window.heal_started_ns is None and window.healed_ns is not None:
        problems.append("its healing has no beginning")
    return list(dict.fromkeys(problems))


def _order(window: FaultWindow, hit: Hit) -> str | None:
    """Return what is out of order from a hit on; None when nothing that was observed is."""
    seen: dict[str, list[int]] = {"effect": [], "undo": []}
    for one in window.observations:
        if one.node == hit.node:
            seen.setdefault(one.edge, []).append(one.at_ns)
    if window.inject_started_ns is not None and hit.at_ns < window.inject_started_ns:
        return "the hit came before the injection began"
    effect_ns = min((at for at in seen["effect"] if at >= hit.at_ns), default=None)
    if effect_ns is None:
        return "the effect was observed before the hit" if seen["effect"] else None
    undo_ns = min((at for at in seen["undo"] if at >= effect_ns), default=None)
    if undo_ns is None:
        return "the undo was observed before the effect" if seen["undo"] else None
    if window.healed_ns is not None and undo_ns > window.healed_ns:
        return "the undo was observed after the end of healing"
    return None


CHECK = Check(NAME, judge_proof)
