"""What a server says when it does not take the data that it finds."""

from __future__ import annotations

import re
from pathlib import Path

from harness.backends.server_log import last_fatal
from harness.backends.server_process import Life
from harness.cluster.monitor import Monitor

FATAL = 1  # the code of a server that ends by itself and says why

_CATCHING_UP = re.compile(r"meta leader|recovering|is not current(?!: .)")


def refusal_of(life: Life | None, log: Path, start: int) -> str | None:
    """Return the fatal error of JetStream's with which a life ended by itself; None without one.

    A crash is no refusal, since it ends with another code or by a signal, nor is a port that
    somebody else has taken.

    Args:
        life: what ended.
        log: where it said so.
        start: how many bytes the log had before that life.
    """
    if life is None or life.returncode != FATAL:
        return None
    why = last_fatal(log, start)
    return why if "jetstream" in why.lower() else None


async def complaint_of(monitor: Monitor, limit_s: float) -> str | None:
    """Return what /healthz has to complain of; None where it may be only a matter of time.

    Whoever looks for the leader of all streams, or is behind without a reason, catches up
    still. ServerError when nothing is said within the limit.
    """
    said = (await monitor.get("/healthz", limit_s)).body.get("error")
    return None if not said or _CATCHING_UP.search(str(said)) else str(said)
