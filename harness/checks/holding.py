"""Holding: was each fault held as long as asked?"""

from __future__ import annotations

from collections.abc import Sequence

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.facts import FaultWindow
from harness.history.lags import HARNESS, Lag, lags_of
from harness.scenario.metrics import PHASES
from harness.units import human_duration

NAME = "holding"
LATE_S = 0.5
LATE_SHARE = 0.1
AFTER = frozenset(PHASES[PHASES.index("fault") :])
ADVICE = "run it again on a quieter machine: its main process was not given the CPU, or was stopped"


def judge_holding(case: Case) -> Result:
    """Judge whether a fault was held longer than asked, and why.

    A fault with a duration is to be healed so long after its effect was seen. One whose
    heal began more than 0.5 s and 10 % of the duration later than that is told in the
    notes. Where the harness itself stood still (`harness.lagged`) for at least half of
    that, the run is inconclusive: what servers and clients did in that time is not what a
    fault of the asked length would have let them do. What it stood still for at least
    0.5 s between the hit and the effect, and between the start and the end of the heal,
    counts likewise; of a fault that ends by itself, from the hit to the end of the heal,
    which then stand for the duration.

    A fault that began more than 0.5 s later than planned is told in the notes; that
    it waited for another's heal is told by the check proof.
    """
    lags = lags_of(case.iteration, HARNESS)
    findings, notes = [], []
    for window in case.iteration.faults:
        over_s, still_s = _over_s(window, lags)
        held = f"{human_duration(over_s)} longer than asked"
        if over_s > max(LATE_S, LATE_SHARE * _asked_s(window)):
            if still_s >= over_s / 2:
                what = (
                    f"fault {window.name} was held {held}: the harness itself stood still for "
                    f"{human_duration(still_s)}"
                )
                findings.append(Finding(NAME, Verdict.INCONCLUSIVE, what, ADVICE, value=over_s))
            else:
                notes.append(f"{window.name} was held {held}")
        if window.behind_s > LATE_S:
            notes.append(
                f"{window.name} began {human_duration(window.behind_s)} later than planned"
            )
    return Result(
        findings=tuple(findings), notes=tuple(notes), stalled=AFTER if findings else frozenset()
    )


def _asked_s(window: FaultWindow) -> float:
    """Return how long a fault was to be held; of one that ends by itself, how long it took."""
    hits = [hit.at_ns for hit in window.hits]
    if window.hold_s is not None or not hits or window.healed_ns is None:
        return window.hold_s or 0.0
    return (window.healed_ns - min(hits)) / 1e9


def _over_s(window: FaultWindow, lags: Sequence[Lag]) -> tuple[float, float]:
    """Return how much longer than asked a fault was held, and how much of it the harness was."""
    hits = [hit.at_ns for hit in window.hits]
    if not hits or window.injected_ns is None or window.heal_started_ns is None:
        return 0.0, 0.0
    end_ns = window.healed_ns or window.heal_started_ns
    stalls = [one for one in lags if one.lag_s >= LATE_S]
    if window.hold_s is None:
        still_s = sum(one.within_s(min(hits), end_ns) for one in stalls)
        return still_s, still_s
    seen = [one.at_ns for one in window.observations if one.edge == "effect"]
    effect_ns = max((at for at in seen if at <= window.injected_ns), default=window.injected_ns)
    late_s = max(0.0, (window.heal_started_ns - effect_ns) / 1e9 - window.hold_s)
    held_s = sum(one.within_s(effect_ns, window.heal_started_ns) for one in lags)
    spans = [(min(hits), effect_ns), (window.heal_started_ns, end_ns)]
    around_s = sum(one.within_s(*span) for one in stalls for span in spans)
    return late_s + around_s, min(late_s, held_s) + around_s


CHECK = Check(NAME, judge_holding)
