"""Plans whose every time is known from the server's own clock, and the differences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from measured import Measured, run_scripted
from scripted_backend import Planted
from server_script import Deed, Script, Truth

from harness.history.model import History
from harness.scenario.model import ClientSpec, ClusterSpec, Phases, Scenario
from harness.units import format_duration
from harness.workloads.core import Core

RATE = "500/s"
QUIET_S = 0.25  # from one heal to the next hit
CLIENTS = ("publisher-1", "publisher-2", "subscriber-1", "subscriber-2")
OPTIONS = {
    "reconnect_time_wait": "20ms",
    "max_reconnect_attempts": -1,
    "ping_interval": "50ms",
    "max_outstanding_pings": 2,
    "dont_randomize": True,
}


@dataclass(frozen=True)
class TimePlan:
    """A deed done `cycles` times, each held for `hold_s` and undone.

    With two servers the deed goes round: the clients are on the one that is struck next.
    `sees_leaving`: the server sees when clients that notice silence give it up.
    """

    name: str
    deed: Deed
    hold_s: float
    cycles: int = 8
    servers: int = 1
    listening: bool = False
    sees_leaving: bool = False

    def scenario(self) -> Scenario:
        """Return the scenario."""
        every_s = self.hold_s + QUIET_S
        faults = tuple(
            Planted(
                name=f"f{index}",
                action="planted",
                target=f"n{index % self.servers + 1}",
                at=format_duration(index * every_s),
                duration=format_duration(self.hold_s),
                deed=self.deed,
                listening=self.listening,
            )
            for index in range(self.cycles)
        )
        cluster = ClusterSpec(servers=self.servers)
        return Scenario(
            name=self.name,
            cluster=cluster,
            client=ClientSpec(servers=cluster.nodes, options=OPTIONS),
            workloads=(
                Core(
                    name="hello", kind="core", publishers=2, subscribers=2, rate=RATE, payload="64B"
                ),
            ),
            phases=Phases(
                warmup="200ms",
                steady="300ms",
                fault=format_duration(self.cycles * every_s),
                recovery="500ms",
                drain="2s",
            ),
            faults=faults,
        )

    def run(self, reports: Path) -> Measured:
        """Run the plan."""
        scripts = {name: Script() for name in ClusterSpec(servers=self.servers).nodes}
        return run_scripted(self.scenario(), scripts, reports)


PLANS = (
    TimePlan("closes-and-returns", "close", 0.15),
    TimePlan("resets-and-returns", "reset", 0.15),
    TimePlan("closes-and-listens-on", "close", 0.15, listening=True),
    TimePlan("falls-silent", "silent", 0.35, sees_leaving=True),
    TimePlan("stops-reading", "deaf", 0.35),
    TimePlan("another-server-takes-over", "close", 0.15, servers=2),
    TimePlan("another-takes-over-after-reset", "reset", 0.15, servers=2),
)
