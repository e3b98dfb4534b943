"""Traffic: was there enough of it for anything to be said?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from harness.checks.base import NS_PER_S, Case, Check, Finding, Result, Verdict
from harness.history.facts import Client, FaultWindow, Iteration
from harness.history.lags import worker_lags
from harness.history.ledger import Array, Ledger, phase_spans
from harness.history.tables import Outcome
from harness.scenario.metrics import PHASES
from harness.units import parse_duration

NAME = "traffic"
ENOUGH = 0.9
LATE_NS = 50_000_000
LATE_SHARE = 0.01
TESTED = 0.5
SERVED_NS = 2_000_000_000
ADVICE = "lower the rate, use more publishers, or run on a machine with more to spare"
ANSWERED_BY = frozenset({"refused", "unknown", "lost", "failover_time"})
ANSWERED_BY_STORES = ("refused", "unknown")  # nothing else counts what a stream never took
STALLED = "its worker stood still: run it again on a quieter machine"
UNANSWERED = "see why it could not send; a threshold on refused or unknown says how much is allowed"


def judge_traffic(case: Case) -> Result:
    """Judge whether the load was what the scenario asked for.

    In the steady phase, before anything is broken, each sender must have attempted at
    least 90 % of the messages that were due, at least 90 % must have been accepted (or
    acknowledged), and at least 90 % of what was accepted must have arrived; what a stream
    acknowledged has arrived in it. Without any
    traffic, or with less, the run is inconclusive: what follows was not tested under
    the load that was asked for.

    A sender of whose attempts in recovery less than 90 % were accepted (or acknowledged)
    makes the run inconclusive too, unless a threshold speaks of what that may do: of
    `refused`, `unknown`, `lost` or `failover_time`. For publishers to streams and users of
    buckets the last 2 s of recovery count (all of it, if it is shorter): servers elect
    leaders long after a fault is healed, which `outage_window` and `recovery_time` measure,
    and only who is served again in the end has been tested; there a threshold on `refused`
    or `unknown` in recovery speaks of it.

    With faults, there must also have been a message due between the first hit and the end
    of the last healing, and one in recovery, unless the scenario asks for none of that:
    otherwise nothing was tested, however little went wrong.

    What was due under a fault must have been sent under it, too. Where a sender sent less
    than half as much in a fault's time, from its first hit to its healing, and its worker
    stood still for at least half of what is missing (`worker.lagged`), the run is
    inconclusive. A sender that is cut off, or waits for answers, is silent because of the
    fault, and is not meant. A lag is counted as far as it is certain: it ended within the
    250 ms before it was told.

    A sender that was more than 50 ms late with more than 1 % of its messages in steady is
    named in the notes.

    Facts: `late_senders`, their names.
    """
    ledger = case.ledger
    delivered = sum(len(ledger.arrivals(place)[1]) for place, _ in ledger.places())
    delivered += _stored(ledger)
    if ledger.attempts == 0 or delivered == 0:
        finding = Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"no traffic: {ledger.attempts} message(s) attempted, {delivered} delivered",
            "read the logs in workers/ and servers/",
            n=ledger.attempts,
        )
        return Result(findings=(finding,))
    findings = [
        *_judge_steady(ledger),
        *_judge_recovery(case),
        *_judge_exposure(ledger, case.scenario),
        *_judge_stalls(ledger),
    ]
    if not findings:
        findings.append(
            Finding(
                NAME,
                Verdict.PASS,
                f"{ledger.attempts} messages attempted; steady kept the rate that was asked for",
                n=ledger.attempts,
            )
        )
    late = dict(_late_senders(ledger))
    return Result(
        findings=tuple(findings), notes=tuple(late.values()), facts={"late_senders": list(late)}
    )


def _judge_steady(ledger: Ledger) -> Iterator[Finding]:
    steady = ledger.phase == PHASES.index("steady")
    outcome = ledger.sent["outcome"]
    accepted = _accepted(ledger)
    asked_of_all = 0
    for rank, sender in enumerate(ledger.senders):
        asked = ledger.due_by_phase(sender)["steady"]
        asked_of_all += asked
        mine = steady & (ledger.rank == rank)
        for what, flags in (("attempted", mine), ("accepted", mine & accepted)):
            count = int(np.count_nonzero(flags))
            if count < ENOUGH * asked:
                yield _too_little(f"{sender.name} {what}", count, asked, "messages asked for")
                break
    if asked_of_all == 0:
        yield Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            "no message was due in steady, so nothing is known of the load before the faults",
            "make phases.steady longer, or let messages be due in it",
            n=0,
        )
    for place, where in ledger.places():
        due = steady & (outcome == Outcome.ACCEPTED) & ledger.awaited(where)
        arrived = np.zeros(ledger.attempts, dtype=np.bool_)
        arrived[ledger.arrivals(place)[1]] = True
        count, of = int(np.count_nonzero(due & arrived)), int(np.count_nonzero(due))
        if where.trusted and count < ENOUGH * of:
            yield _too_little(f"{where.name} received", count, of, "messages accepted for it")


def _judge_recovery(case: Case) -> Iterator[Finding]:
    ledger = case.ledger
    texts = case.scenario.get("thresholds") or ()
    named = bool({str(text).partition("{")[0].strip() for text in texts} & ANSWERED_BY)
    recovery = ledger.phase == PHASES.index("recovery")
    accepted = _accepted(ledger)
    for rank, sender in enumerate(ledger.senders):
        if _is_answered(case, sender) if _is_kept(sender) else named:
            continue
        mine = recovery & (ledger.rank == rank)
        phase = "recovery"
        if _is_kept(sender):
            mine &= ledger.sent["intended_ns"] >= (case.iteration.load_stop_ns or 0) - SERVED_NS
            phase = "the last 2 s of recovery"
        count, of = int(np.count_nonzero(mine & accepted)), int(np.count_nonzero(mine))
        if count < ENOUGH * of:
            yield _too_little(
                f"{sender.name} accepted",
                count,
                of,
                "messages attempted",
                phase=phase,
                advice=UNANSWERED,
            )


def _is_kept(sender: Client) -> bool:
    """Tell whether servers keep what it sends, and answer for it."""
    return sender.asks and sender.role != "requester"


def _is_answered(case: Case, sender: Client) -> bool:
    labels = {"phase": "recovery", "workload": sender.workload}
    return any(case.decides(metric, labels) for metric in ANSWERED_BY_STORES)


def _judge_exposure(ledger: Ledger, scenario: Mapping[str, Any]) -> Iterator[Finding]:
    """Judge whether anything was due while a fault held, and after it."""
    iteration = ledger.iteration
    hits = [hit.at_ns for fault in iteration.faults for hit in fault.hits]
    if not hits:
        return
    healed = [
        iteration.end_ns if one.healed_ns is None else one.healed_ns for one in iteration.faults
    ]
    spans = [("under a fault, from the first hit to the last healing", min(hits), max(healed))]
    recovery = [one for one in phase_spans(iteration) if one[0] == "recovery"]
    if _asks_for_recovery(iteration, scenario):
        spans += [("in recovery", start_ns, end_ns) for _, start_ns, end_ns in recovery]
    for when, start_ns, end_ns in spans:
        if not any(iteration.due(sender, start_ns, end_ns) for sender in ledger.senders):
            yield Finding(
                NAME,
                Verdict.INCONCLUSIVE,
                f"no message was due {when}, so nothing is known of that time",
                "raise the rate, or make the fault and phases.recovery longer; beside named "
                "messages put a workload with a rate",
                n=0,
            )


def _judge_stalls(ledger: Ledger) -> Iterator[Finding]:
    """Judge whether senders sent under each fault, where their worker itself stood still."""
    lags = worker_lags(ledger.iteration)
    for fault in ledger.iteration.faults:
        start_ns, end_ns = _held(fault, ledger.iteration)
        for sender, rows in zip(ledger.senders, ledger.by_sender, strict=True):
            mine = lags.get(sender.worker, ())
            still_s = sum(lag.within_s(start_ns, end_ns) for lag in mine)
            due = ledger.iteration.due(sender, start_ns, end_ns)
            if not still_s or not due:
                continue
            attempted = ledger.sent["attempted_ns"][rows]
            count = int(np.count_nonzero((attempted >= start_ns) & (attempted < end_ns)))
            missing = 1 - count / due
            still = still_s * NS_PER_S / (end_ns - start_ns)
            if missing > 1 - TESTED and still >= missing / 2:
                yield Finding(
                    NAME,
                    Verdict.INCONCLUSIVE,
                    f"sender {sender.name} was stalled: {count} of {due} due under the fault "
                    f"{fault.name} were sent under it",
                    STALLED,
                    value=count / due,
                    limit=TESTED,
                    margin=count / due - TESTED,
                    n=due,
                )


def _held(fault: FaultWindow, iteration: Iteration) -> tuple[int, int]:
    """Return from when to when a fault held; an empty time when it struck nothing."""
    end_ns = iteration.end_ns if fault.healed_ns is None else fault.healed_ns
    return min((hit.at_ns for hit in fault.hits), default=end_ns), end_ns


def _asks_for_recovery(iteration: Iteration, scenario: Mapping[str, Any]) -> bool:
    """Tell whether recovery was to last; by its record where the scenario does not say."""
    asked = (scenario.get("phases") or {}).get("recovery")
    if asked is None:
        lasted = [one for one in iteration.phases if one.name == "recovery"]
        return any(one.end_ns is not None and one.end_ns > one.start_ns for one in lasted)
    return (parse_duration(asked) if isinstance(asked, str) else float(asked)) > 0


def _stored(ledger: Ledger) -> int:
    """Return how many messages were answered by servers, which keep what no client received."""
    answered = [_is_kept(sender) for sender in ledger.senders]
    acked = ledger.sent["outcome"] == Outcome.ACKED
    return int(np.count_nonzero(acked & np.array(answered, dtype=np.bool_)[ledger.rank]))


def _accepted(ledger: Ledger) -> Array:
    outcome = ledger.sent["outcome"]
    flags: Array = (outcome == Outcome.ACCEPTED) | (outcome == Outcome.ACKED)
    return flags


def _too_little(
    who: str, count: int, of: int, what: str, *, phase: str = "steady", advice: str = ADVICE
) -> Finding:
    share = count / of
    return Finding(
        NAME,
        Verdict.INCONCLUSIVE,
        f"{who} {count} of {of} {what} in {phase}: {share:.1%}, less than {ENOUGH:.0%}",
        advice,
        value=share,
        limit=ENOUGH,
        margin=share - ENOUGH,
        n=of,
    )


def _late_senders(ledger: Ledger) -> Iterator[tuple[str, str]]:
    steady = PHASES.index("steady")
    for sender, rows in zip(ledger.senders, ledger.by_sender, strict=True):
        mine = rows[ledger.phase[rows] == steady]
        late = ledger.sent["attempted_ns"][mine] - ledger.sent["intended_ns"][mine]
        count = int(np.count_nonzero(late > LATE_NS))
        if count > LATE_SHARE * len(mine):
            note = (
                f"{sender.name} was a late sender: {count} of {len(mine)} messages in steady "
                f"left more than {LATE_NS / 1e6:g} ms after they were due, at worst "
                f"{late.max() / 1e9:.3f} s"
            )
            yield sender.name, note


CHECK = Check(NAME, judge_traffic)
