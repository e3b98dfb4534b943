"""One measured figure: its values, its aim, and the machine it was measured on."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal


@dataclass(frozen=True)
class Figure:
    """A figure with all its measured values.

    Attributes:
        unit: of `values` and `aim`.
        method: what was done and how the value follows from it.
        better: which side of `aim` is the good one.
        details: what else was seen, for the JSON.
        skipped: why nothing was measured; None when something was.
    """

    name: str
    unit: str
    aim: float
    better: Literal["higher", "lower"]
    method: str
    values: Sequence[float] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    skipped: str | None = None

    @property
    def median(self) -> float:
        """Return the median; the figure must have values."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool:
        """Tell whether the median meets the aim."""
        return self.median >= self.aim if self.better == "higher" else self.median <= self.aim

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as JSON keeps it."""
        shown: dict[str, Any] = {
            "name": self.name,
            "unit": self.unit,
            "aim": self.aim,
            "better": self.better,
            "method": self.method,
            "n": len(self.values),
            "skipped": self.skipped,
            "values": [round(value, 6) for value in self.values],
            "details": dict(self.details),
        }
        if self.values:
            shown |= {
                "min": round(min(self.values), 6),
                "median": round(self.median, 6),
                "max": round(max(self.values), 6),
                "met": self.met,
            }
        return shown


def describe_machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    uname = platform.uname()
    return {
        "cores": os.cpu_count() or 0,
        "kernel": f"{uname.system} {uname.release} {uname.machine}",
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def machine_line() -> str:
    """Return `describe_machine` as one line."""
    machine = describe_machine()
    return "{cores} cores, {kernel}, Python {python}, {date}".format(**machine)
