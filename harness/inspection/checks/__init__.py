"""The checks of the inspector: one a file, each a pure function of the facts."""

from __future__ import annotations

from collections.abc import Callable

from harness.inspection.checks import (
    certificates,
    entry_point,
    fips,
    jetstream,
    labels,
    lame_duck_prestop,
    lame_duck_signal,
    ports,
    server_id,
    setuid,
    shell,
    user,
    version,
)
from harness.inspection.facts import Facts
from harness.inspection.model import Finding

CHECKS: tuple[Callable[[Facts], Finding], ...] = (
    user.check,
    entry_point.check,
    shell.check,
    setuid.check,
    certificates.check,
    ports.check,
    jetstream.check,
    version.check,
    server_id.check,
    lame_duck_signal.check,
    lame_duck_prestop.check,
    labels.check,
    fips.check,
)
