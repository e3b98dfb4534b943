"""Recovery: how long after the healing all was well again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.checks.base import NS_PER_S, Case, Check, Result
from harness.history.facts import FaultWindow
from harness.history.ledger import Array, Ledger
from harness.history.tables import Outcome
from harness.stats.labelled import Samples

NAME = "recovery"
WINDOW_NS = 2_000_000_000
GOOD = 0.99


def judge_recovery(case: Case) -> Result:
    """Measure how long after the healing of a fault traffic was back to normal.

    - `recovery_time`, for each healed fault and workload: from the end of healing to the
      start of the first window of 2 s in which at least 99 % of the messages that were
      due succeeded. A window begins at the end of healing or where a message was due, and
      ends before the load does; when less than 2 s of load were left, there is one
      window, all that was left. A request succeeds with its reply, a message to a stream
      with its acknowledgement, any other message once for each destination that it was for
      and came to (a queue group is one). A message that was due and never attempted did not
      succeed. Without such a window the value is a lower bound: the start of the last window
      that was looked at. A workload whose messages are listed has none: none of them can be due
      after the healing.
    """
    ledger = case.ledger
    rows: list[tuple[float, bool, Mapping[str, str]]] = []
    healed = [one for one in case.iteration.faults if one.healed_ns is not None]
    since_ns = min((one.healed_ns for one in healed if one.healed_ns is not None), default=0)
    paced = (sender.workload for sender in ledger.senders if not sender.listed)
    for name in dict.fromkeys(paced) if healed else ():
        due_ns, weight, good = _fates(ledger, name, since_ns)
        for fault in healed:
            value, censored = _first_good_window(ledger, fault, due_ns, weight, good)
            rows.append((value, censored, {"fault": fault.name, "workload": name}))
    return Result(samples={"recovery_time": Samples.of(rows)})


def _fates(ledger: Ledger, workload: str, since_ns: int) -> tuple[Array, Array, Array]:
    """Return, by due time, how often each message was to succeed and how often it did."""
    expected = np.zeros(ledger.attempts, dtype=np.uint16)
    reached = np.zeros(ledger.attempts, dtype=np.uint16)
    for place, where in ledger.places():
        if where.receives and where.workload == workload and where.trusted:
            awaited = ledger.awaited(where)
            arrived = np.zeros(ledger.attempts, dtype=np.bool_)
            arrived[ledger.arrivals(place)[1]] = True
            expected += awaited
            reached += awaited & arrived
    due, weights, goods = [], [], []
    for rank, sender in enumerate(ledger.senders):
        if sender.workload != workload:
            continue
        rows = ledger.by_sender[rank]
        rows = rows[ledger.sent["intended_ns"][rows] >= since_ns]
        due.append(ledger.sent["intended_ns"][rows])
        if sender.asks:
            weights.append(np.ones(len(rows), dtype=np.uint16))
            goods.append((ledger.sent["outcome"][rows] == Outcome.ACKED).astype(np.uint16))
        else:
            weights.append(expected[rows])
            goods.append(reached[rows])
        skipped = ledger.unattempted_ns(rank)
        due.append(skipped)
        weights.append(np.ones(len(skipped), dtype=np.uint16))
        goods.append(np.zeros(len(skipped), dtype=np.uint16))
    when = np.concatenate(due)
    order = np.argsort(when, kind="stable")
    return when[order], np.concatenate(weights)[order], np.concatenate(goods)[order]


def _first_good_window(
    ledger: Ledger, fault: FaultWindow, due_ns: Array, weight: Array, good: Array
) -> tuple[float, bool]:
    assert fault.healed_ns is not None
    healed_ns, stop_ns = int(fault.healed_ns), int(ledger.iteration.load_stop_ns or 0)
    left_ns = stop_ns - healed_ns
    if left_ns <= 0:
        return 0.0, True
    window_ns = min(WINDOW_NS, left_ns)
    starts = np.concatenate([[healed_ns], due_ns[due_ns > healed_ns]])
    starts = starts[starts <= stop_ns - window_ns]
    first = np.searchsorted(due_ns, starts, side="left")
    last = np.searchsorted(due_ns, starts + window_ns, side="left")
    weights = np.concatenate([[0], np.cumsum(weight, dtype=np.int64)])
    goods = np.concatenate([[0], np.cumsum(good, dtype=np.int64)])
    of = weights[last] - weights[first]
    well = (of > 0) & (goods[last] - goods[first] >= GOOD * of)
    if well.any():
        return (int(starts[np.argmax(well)]) - healed_ns) / NS_PER_S, False
    last_ns = int(starts[-1]) if len(starts) else healed_ns
    return (last_ns - healed_ns) / NS_PER_S, True


CHECK = Check(NAME, judge_recovery, ("recovery_time",))
