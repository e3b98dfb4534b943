"""How a part of the harness says that it stood still (docs/history.md, ``*.lagged``)."""

from __future__ import annotations

from harness.clock import seconds
from harness.cluster.protocols import EventSink


def record_lag(record: EventSink, kind: str, from_ns: int, to_ns: int) -> None:
    """Record that nothing was done from one monotonic time to another, which is now or before."""
    record(kind, at_ns=to_ns, from_ns=from_ns, max_lag_s=round(seconds(to_ns - from_ns), 6))
