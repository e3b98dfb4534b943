"""Proof: did every planned fault really happen, and was it really undone?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.facts import FaultWindow, Hit
from harness.scenario.schedule import members
from harness.units import human_duration

NAME = "proof"
PROBED = frozenset({"partition"})  # what has no proof without probes
NAMED = 6  # links that a message names
UNDER_CUT = ("during", "held")
DOING = {"held": "holding", "undo": "undoing"}
EDGES = {"before": "before the cut", "during": "during the cut", "held": "right before the heal"}
ADVICE = "read the fault's events in events.jsonl and the logs in servers/"


def judge_proof(case: Case) -> Result:
    """Judge the evidence for each fault of the iteration's schedule.

    A fault is proven when it struck every node that it was aimed at and no other, its
    effect and its undo were both observed at each of them, injection and healing began
    and came to their ends, and nothing failed on the way. At each node the order must be
    hit, effect, undo, end of healing; a fault may take its nodes one after the other. An
    effect that lasts must have been seen at each node once more right before the heal.
    A partition is proven by probes besides: nothing passed over a link that was to be cut,
    and all over the others, before, during, right before the heal, and after. Otherwise what
    was measured says nothing about that fault, and the run is inconclusive. One that
    waited until an earlier one was healed is told in the notes.

    Facts: `proven`, by fault.
    """
    windows = {window.name: window for window in case.iteration.faults}
    findings: list[Finding] = []
    written: tuple[Mapping[str, Any], ...] = tuple(case.scenario.get("faults") or ())
    scheduled = case.iteration.schedule
    planned = written if scheduled is None else scheduled
    names = dict.fromkeys([*(str(step["name"]) for step in planned), *windows])
    findings += _unscheduled(written, names)
    proven = {}
    for name in names:
        window = windows.get(name)
        problems = ["it never started"] if window is None else _missing(window, windows.values())
        proven[name] = not problems
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
    notes = [
        f"{window.name} began {human_duration(window.late_s)} late, since "
        f"{', '.join(window.waited_for)} was still being healed"
        for window in windows.values()
        if window.waited_for
    ]
    return Result(findings=tuple(findings), notes=tuple(notes), facts={"proven": proven})


def _unscheduled(written: Iterable[Mapping[str, Any]], names: Collection[str]) -> list[Finding]:
    """Return a finding for each step of the scenario of which nothing was scheduled."""
    return [
        Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"nothing was scheduled of {step['name']} ({step.get('action')})",
            "what it needs did not fit into the fault phase; see schedule in report.json",
        )
        for step in written
        if not members(str(step["name"]), names)
    ]


def _missing(window: FaultWindow, windows: Iterable[FaultWindow]) -> list[str]:
    problems = [
        f"{DOING.get(failure.edge, 'injecting')} failed: {failure.message}"
        for failure in window.failures
    ]
    problems += _unaimed(window)
    for edge in ("effect", "undo"):
        seen = {one.node for one in window.observations if one.edge == edge}
        unseen = dict.fromkeys(hit.node for hit in window.hits if hit.node not in seen)
        if unseen:
            problems.append(f"no {edge} was observed at {', '.join(unseen)}")
    problems += _unheld(window)
    problems += [
        f"{problem} at {hit.node}" for hit in window.hits if (problem := _order(window, hit))
    ]
    problems += _unended(window)
    if window.probings or (window.action in PROBED and window.hits):
        problems += _misjudged_links(window, [one for one in windows if one is not window])
    return list(dict.fromkeys(problems))


def _unaimed(window: FaultWindow) -> list[str]:
    """Return what was struck beside the targets or left out of them.

    A cut is aimed at links and strikes the nodes at their ends, whichever they are: its
    probes tell whether it cut less or more than asked.
    """
    struck = dict.fromkeys(hit.node for hit in window.hits)
    if not struck:
        return ["it struck no node"]
    if window.action in PROBED:
        return []
    problems = []
    if missed := [node for node in dict.fromkeys(window.targets) if node not in struck]:
        problems.append(f"it did not strike {', '.join(missed)}")
    if strays := [node for node in struck if node not in window.targets]:
        problems.append(f"it struck {', '.join(strays)}, at which it was not aimed")
    return problems


def _unheld(window: FaultWindow) -> list[str]:
    """Return where a lasting effect was not seen again between its first sight and its undo."""
    if not window.watched:
        return []
    unheld = []
    for hit in window.hits:
        undo_ns = window.undo_ns(hit)
        seen = any(
            one.edge == "held"
            and one.node == hit.node
            and one.at_ns >= window.effect_ns(hit)
            and (undo_ns is None or one.at_ns <= undo_ns)
            for one in window.observations
        )
        if not seen:
            unheld.append(hit.node)
    if not unheld:
        return []
    names = ", ".join(dict.fromkeys(unheld))
    return [f"the effect was not observed again right before the heal at {names}"]


def _unended(window: FaultWindow) -> list[str]:
    """Return which edges of the fault have no record."""
    problems = []
    if window.inject_started_ns is None:
        problems.append("its injection has no beginning")
    if window.injected_ns is None:
        problems.append("its injection did not come to an end")
    elif window.healed_ns is None:
        problems.append("it was not healed")
    if window.heal_started_ns is None and window.healed_ns is not None:
        problems.append("its healing has no beginning")
    return problems


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


def _misjudged_links(window: FaultWindow, others: Sequence[FaultWindow]) -> list[str]:
    """Return what probes say against a cut.

    Before and after it, a link may be closed only by another fault that held it cut.
    """
    problems = []
    edges = ("before", "during", *(["held"] if window.watched else []), "after")
    for edge in dict.fromkeys((*edges, *(one.edge for one in window.probings))):
        when = EDGES.get(edge, f"{edge} the cut")
        looks = [one for one in window.probings if one.edge == edge]
        if not looks:
            problems.append(f"no probes were sent {when}")
        for look in looks:
            leaking = [one.name for one in look.links if one.cut and one.received]
            closed = [one.name for one in look.links if not one.cut and one.received < one.sent]
            unsent = [one.name for one in look.links if one.sent < 1]
            if leaking:
                problems.append(f"{when}, something passed over {_names(leaking)}")
            if closed:
                problems.append(f"{when}, not every probe passed over {_names(closed)}")
            if unsent:
                problems.append(f"{when}, no probe was sent over {_names(unsent)}")
            if edge in UNDER_CUT:
                if not any(one.cut for one in look.links):
                    problems.append(f"{when}, no cut link was probed")
                continue
            kept = _cut_by(others, look.at_ns)
            stuck = [one.name for one in look.links if one.cut and one.name not in kept]
            if stuck:
                problems.append(f"{when}, nothing passed over {_names(stuck)}")
    return problems


def _cut_by(windows: Iterable[FaultWindow], at_ns: int) -> set[str]:
    """Return the names of the links that faults held cut at a time."""
    return {
        link.name
        for window in windows
        if any(hit.at_ns <= at_ns for hit in window.hits)
        and (window.healed_ns is None or window.healed_ns >= at_ns)
        for look in window.probings
        if look.edge in UNDER_CUT
        for link in look.links
        if link.cut
    }


def _names(links: Sequence[str]) -> str:
    named = ", ".join(links[:NAMED])
    return named if len(links) <= NAMED else f"{named} and {len(links) - NAMED} more"


CHECK = Check(NAME, judge_proof)
