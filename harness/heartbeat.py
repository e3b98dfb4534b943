"""The heartbeat of the harness itself: whoever is late with it is late with faults as well."""

from __future__ import annotations

from harness.clock import now_ns, sleep_until, to_ns
from harness.cluster.lags import record_lag
from harness.cluster.protocols import EventSink

BEAT_S = 0.02
TOLD_S = 0.05


async def heartbeat(record: EventSink) -> None:
    """Beat until cancelled; record each beat that came more than 50 ms late."""
    while True:
        due_ns = now_ns() + to_ns(BEAT_S)
        await sleep_until(due_ns)
        at_ns = now_ns()
        if at_ns - due_ns > to_ns(TOLD_S):
            record_lag(record, "harness.lagged", due_ns, at_ns)
