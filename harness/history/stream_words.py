"""How messages of a stream are named to people: few words, whatever their number."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.history.stream_ledger import StreamLedger
from harness.scenario.metrics import PHASES

Array = npt.NDArray[Any]

MAX_RUNS = 6


def name_sequences(sequences: Array) -> str:
    """Return stream sequences as runs, such as ``1041-1060, 1099``; at most six of them."""
    ordered = np.unique(sequences)
    if len(ordered) == 0:
        return "none"
    breaks = np.flatnonzero(np.diff(ordered) != 1)
    firsts = np.concatenate([[0], breaks + 1])
    lasts = np.concatenate([breaks, [len(ordered) - 1]])
    shown = [
        str(int(ordered[first])) if first == last else f"{int(ordered[first])}-{int(ordered[last])}"
        for first, last in zip(firsts[:MAX_RUNS], lasts[:MAX_RUNS], strict=True)
    ]
    more = len(firsts) - len(shown)
    return ", ".join(shown) + (f" and {more} more run(s)" if more else "")


def name_first(stream: StreamLedger, rows: Array) -> str:
    """Return who sent the earliest of some attempts and when; `rows` must not be empty."""
    first = rows[np.argmin(stream.sent["attempted_ns"][rows])]
    who = stream.publishers[stream.rank[first]].name
    when = stream.iteration.relative_s(int(stream.sent["attempted_ns"][first]))
    return f"sent by {who} at {when:.3f} s, phase {PHASES[stream.phase[first]]}"


def name_messages(stream: StreamLedger, rows: Array) -> str:
    """Return the stream sequences of acknowledged messages, and who sent the first and when."""
    what = name_sequences(stream.place[rows])
    several = "the first " if len(rows) > 1 else ""
    return f"sequences {what} ({several}{name_first(stream, rows)})"
