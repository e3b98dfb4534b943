"""Lame duck mode by signal: the Engine's SIGUSR2 reaches the server."""

from __future__ import annotations

from harness.inspection.facts import Facts
from harness.inspection.model import Finding, failed, passed, unknown

NAME = "lame_duck_signal"


def check(facts: Facts) -> Finding:
    """Fail when the server shows no sign of lame duck mode after the signal."""
    trial = facts.signalled
    if trial is None:
        return unknown(NAME, "no server came up to be asked", facts.shipped.why_not or "not tried")
    if trial.seen:
        return passed(NAME, "it goes lame", f"SIGUSR2: {trial.seen}")
    return failed(NAME, "the signal does not make it go lame", f"SIGUSR2: {trial.note}")
