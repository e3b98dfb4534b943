"""The summary of messages that a report shows, from the ledger and the tallies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.history.ledger import Ledger
from harness.history.tables import Outcome
from harness.scenario.metrics import PHASES
from harness.stats.labelled import Tally

BY_PHASE = ("lost", "unknown", "recovered", "refused", "duplicates", "out_of_order")
ONLY_ALL = ("corrupted", "unexpected")
MAX_BINS = 120
BIN_NS = 100_000_000


def summarise_messages(ledger: Ledger, tallies: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    """Return counts by phase name, with ``all`` first for the sum over phases.

    `intended` messages were due, `attempted` ones were given to the library, `accepted`
    ones came back without an error (`acked` ones among them). `expected` counts accepted
    messages once for each destination that was to get them, `delivered` counts first
    arrivals at destinations.
    """
    due = [ledger.due_by_phase(sender) for sender in ledger.senders]
    summary: dict[str, dict[str, int]] = {}
    for place, phase in enumerate(PHASES):
        outcome = ledger.sent["outcome"][ledger.phase == place]
        known = np.bincount(outcome, minlength=max(Outcome) + 1)
        wanted = {"phase": phase}
        summary[phase] = {
            "intended": max(len(outcome), sum(one[phase] for one in due)),
            "attempted": len(outcome),
            "accepted": int(known[Outcome.ACCEPTED] + known[Outcome.ACKED]),
            "acked": int(known[Outcome.ACKED]),
            "expected": tallies["lost"].select(wanted).of,
            "delivered": tallies["out_of_order"].select(wanted).of,
            **{name: tallies[name].select(wanted).count for name in BY_PHASE},
        }
    total = {name: sum(one[name] for one in summary.values()) for name in summary[PHASES[0]]}
    total.update({name: tallies[name].select({}).count for name in ONLY_ALL})
    return {"all": total, **summary}


def summarise_rate(ledger: Ledger) -> tuple[float, float, list[int]]:
    """Return first arrivals over time: (first bin's start, bin width, counts), in seconds.

    Times are relative to the iteration. Bins are 100 ms wide, or wider so that there are
    at most 120.
    """
    iteration = ledger.iteration
    start_ns, end_ns = iteration.load_start_ns, max(iteration.end_ns, iteration.load_stop_ns or 0)
    if start_ns is None or end_ns <= start_ns:
        return 0.0, BIN_NS / 1e9, []
    width_ns = max(BIN_NS, -(-(end_ns - start_ns) // MAX_BINS))
    bins = -(-(end_ns - start_ns) // width_ns)
    counts = np.zeros(bins, dtype=np.int64)
    for place, where in ledger.places():
        if where.receives:
            came = ledger.delivered["received_ns"][ledger.arrivals(place)[0]] - start_ns
            at = came[(came >= 0) & (came < end_ns - start_ns)] // width_ns
            counts += np.bincount(at, minlength=bins)
    return iteration.relative_s(start_ns), width_ns / 1e9, [int(count) for count in counts]
