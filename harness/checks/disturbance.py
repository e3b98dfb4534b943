"""Disturbance: was the harness itself late?"""

from __future__ import annotations

from harness.checks.base import NS_PER_S, Case, Check, Result
from harness.history.facts import Iteration
from harness.history.ledger import phase_spans
from harness.scenario.metrics import PHASES

NAME = "disturbance"
REPORT_PERIOD_NS = 250_000_000
UNDER_FAULT = "under fault"


def judge_disturbance(case: Case) -> Result:
    """Report when a worker's own loop was more than 50 ms late under load.

    A late loop stamps late what it sees. It has no verdict of its own: thresholds are
    judged with the greatest lag of the time that they look at as a measuring error, so a
    time that is closer to its limit than the lag comes out inconclusive.

    Facts: `lags`, the greatest lag in seconds by phase, and from the first injection to
    the end of the load as ``under fault``; 0 where there was none.
    """
    iteration = case.iteration
    spans = [*phase_spans(iteration), *_under_fault(iteration)]
    lags = dict.fromkeys((*PHASES, UNDER_FAULT), 0.0)
    worst: dict[str, float] = {}
    for event in iteration.of_kind("worker.lagged"):
        lag_s = float(event["max_lag_s"])
        end_ns = event["at_ns"]
        begin_ns = end_ns - REPORT_PERIOD_NS - round(lag_s * NS_PER_S)
        hit = [name for name, start, stop in spans if begin_ns < stop and end_ns >= start]
        if iteration.load_start_ns is None or end_ns < iteration.load_start_ns or not hit:
            continue
        for name in hit:
            lags[name] = max(lags[name], lag_s)
        worst[event["worker"]] = max(worst.get(event["worker"], 0.0), lag_s)
    notes = tuple(
        f"the harness was disturbed: worker {worker} was up to {lag_s:.3f} s late by its own clock"
        for worker, lag_s in worst.items()
    )
    return Result(notes=notes, facts={"lags": lags})


def _under_fault(iteration: Iteration) -> list[tuple[str, int, int]]:
    begun = [one.inject_started_ns for one in iteration.faults if one.inject_started_ns is not None]
    return [(UNDER_FAULT, min(begun), iteration.end_ns)] if begun else []


CHECK = Check(NAME, judge_disturbance)
