"""Disturbance: was the harness itself late?"""

from __future__ import annotations

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.facts import Iteration
from harness.history.lags import HARNESS, PROXIES, WIRE, Lag, lags_of, worker_lags
from harness.history.ledger import phase_spans
from harness.scenario.metrics import PHASES
from harness.units import human_duration

NAME = "disturbance"
UNDER_FAULT = "under fault"
CARRIERS = (WIRE, PROXIES)
STILL_S = 0.5
ADVICE = "run it again on a quieter machine: what carries the links was not given the CPU"


def judge_disturbance(case: Case) -> Result:
    """Report when a loop of the harness itself was more than 50 ms late under load.

    A late worker stamps late what it sees, and a late harness strikes, heals and looks late.
    Neither has a verdict of its own here: thresholds are judged with the greatest lag of the
    time that they look at as a measuring error, so a time that is closer to its limit than
    the lag comes out inconclusive. The harness's own lags count from the first injection
    on, and not for the times of messages, which workers alone take (those by phase).

    Where the wire (`lab`, `docker`) or the proxies (`local`) stood still under load, so did
    all that they carry. Their lags count likewise; one of more than 0.5 s makes the run
    inconclusive, for then servers and clients may have given up connections because of it.

    Facts: `lags`, the greatest lag in seconds by phase, and from the first injection to
    the end of the load as ``under fault``; 0 where there was none.
    """
    iteration = case.iteration
    spans = [*phase_spans(iteration), *_under_fault(iteration)]
    lags = dict.fromkeys((*PHASES, UNDER_FAULT), 0.0)
    worst: dict[str, Lag] = {}
    for lag in _lags(iteration):
        hit = [name for name, start, stop in spans if lag.from_ns < stop and lag.to_ns >= start]
        if iteration.load_start_ns is None or lag.to_ns < iteration.load_start_ns or not hit:
            continue
        for name in hit if lag.part != HARNESS else {UNDER_FAULT} & {*hit}:
            lags[name] = max(lags[name], lag.lag_s)
        if lag.part not in worst or lag.lag_s > worst[lag.part].lag_s:
            worst[lag.part] = lag
    notes = tuple(
        f"the harness was disturbed: {_named(part)} up to {lag.lag_s:.3f} s late by its own clock"
        for part, lag in worst.items()
    )
    still = [lag for part, lag in worst.items() if part in CARRIERS and lag.lag_s > STILL_S]
    findings = tuple(
        Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"{lag.part} stood still for {human_duration(lag.lag_s)}, and nothing passed meanwhile",
            ADVICE,
            value=lag.lag_s,
            limit=STILL_S,
            margin=STILL_S - lag.lag_s,
        )
        for lag in still
    )
    since_ns = min((lag.from_ns for lag in still), default=None)
    after = [
        name for name, _, stop in phase_spans(iteration) if since_ns is not None and stop > since_ns
    ]
    return Result(findings=findings, notes=notes, facts={"lags": lags}, stalled=frozenset(after))


def _lags(iteration: Iteration) -> list[Lag]:
    """Return what counts: of the harness itself from the first injection on."""
    carriers = [one for one in lags_of(iteration, *CARRIERS) if one.from_ns < iteration.end_ns]
    workers = [one for each in worker_lags(iteration).values() for one in each]
    begun_ns = min((start for _, start, _ in _under_fault(iteration)), default=iteration.end_ns)
    own = [one for one in lags_of(iteration, HARNESS) if begun_ns <= one.to_ns]
    return [*workers, *carriers, *(one for one in own if one.from_ns < iteration.end_ns)]


def _named(part: str) -> str:
    if part == PROXIES:
        return "the proxies were"
    return "its main process was" if part == HARNESS else f"{part} was"


def _under_fault(iteration: Iteration) -> list[tuple[str, int, int]]:
    begun = [one.inject_started_ns for one in iteration.faults if one.inject_started_ns is not None]
    return [(UNDER_FAULT, min(begun), iteration.end_ns)] if begun else []


CHECK = Check(NAME, judge_disturbance)
