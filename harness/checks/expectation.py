"""Expectation: did a fault do what its author says it does?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.facts import FaultWindow, Iteration
from harness.history.leadership import Term, audit_began_ns, leader_at, read_terms
from harness.scenario.schedule import members
from harness.scenario.targets import parse_led

NAME = "expectation"
ADVICE = (
    "the fault did not do what it is there for, so nothing was tested by it; aim or last longer"
)


def judge_expectations(case: Case) -> Result:
    """Judge `expect` of each fault; one that is not met makes the run inconclusive.

    `leader_changed: true`: after the fault first hit, and before the audit, another node led
    than the one that led then; of the group that `target` names, else of any group that a
    struck node led. `leader_changed: false`: of none of these groups another node led.
    """
    terms = read_terms(case.iteration)
    windows = {one.name: one for one in case.iteration.faults}
    findings = []
    for step in case.scenario.get("faults") or ():
        expect = step.get("expect")
        if not isinstance(expect, Mapping) or expect.get("leader_changed") is None:
            continue
        wanted = bool(expect["leader_changed"])
        for name in members(str(step["name"]), windows):
            text = f"fault {name} expects leader_changed: {str(wanted).lower()}"
            findings.append(_judge(case.iteration, windows[name], step, terms, wanted, text))
    return Result(findings=tuple(findings))


def _judge(  # noqa: PLR0917 - one fault and what to hold it against
    iteration: Iteration,
    window: FaultWindow,
    step: Mapping[str, Any],
    terms: Mapping[str, tuple[Term, ...]],
    wanted: bool,  # noqa: FBT001 - what the scenario says
    text: str,
) -> Finding:
    if not window.hits:
        return Finding(NAME, Verdict.INCONCLUSIVE, f"{text}, and it struck nothing", ADVICE)
    hit_ns = min(hit.at_ns for hit in window.hits)
    struck = {hit.node for hit in window.hits}
    target = step.get("target")
    led = parse_led(target) if isinstance(target, str) else None
    groups = (
        [led.group]
        if led is not None
        else [group for group, held in terms.items() if leader_at(held, hit_ns) in struck]
    )
    end_ns = audit_began_ns(iteration)
    changes = [
        f"{group} went from {old} to {after[0]}"
        for group in groups
        if (old := leader_at(terms.get(group, ()), hit_ns)) is not None
        and (
            after := [
                one.leader
                for one in terms[group]
                if hit_ns < one.since_ns < end_ns and one.leader != old
            ]
        )
    ]
    said = "; ".join(changes) or (
        f"{', '.join(groups)} had the same leader throughout"
        if groups
        else "no node that it struck led anything"
    )
    known = bool(groups) and all(terms.get(group) for group in groups)
    met = known and wanted == bool(changes)
    if met:
        return Finding(NAME, Verdict.PASS, f"{text}: {said}")
    if not known and groups:
        said = f"nobody was ever seen to lead {', '.join(groups)}"
    return Finding(NAME, Verdict.INCONCLUSIVE, f"{text}, but {said}", ADVICE)


CHECK = Check(NAME, judge_expectations)
