"""One clock for everything: the machine's monotonic clock, in nanoseconds.

CLOCK_MONOTONIC is shared by all processes and by network, user and process
namespaces, so times taken in servers' launchers, workers and faults compare.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import anyio

NS_PER_S = 1_000_000_000


def now_ns() -> int:
    """Return the monotonic time in nanoseconds."""
    return time.monotonic_ns()


def seconds(ns: int) -> float:
    """Return nanoseconds as seconds."""
    return ns / NS_PER_S


def to_ns(seconds_: float) -> int:
    """Return seconds as whole nanoseconds."""
    return round(seconds_ * NS_PER_S)


def wall_time() -> str:
    """Return the wall-clock time as ISO 8601 in UTC, for people and file names only."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def sleep_until(at_ns: int) -> None:
    """Sleep until the monotonic time `at_ns`; return at once when it has passed."""
    await anyio.sleep(max(0.0, seconds(at_ns - now_ns())))


async def sleep_to_next(due_ns: int, period_ns: int) -> int:
    """Sleep until the next due time of a period and return it; what was missed is left out."""
    missed = max(0, now_ns() - due_ns) // period_ns
    due_ns += (missed + 1) * period_ns
    await sleep_until(due_ns)
    return due_ns
