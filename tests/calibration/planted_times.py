"""Plans whose every time is known from the server's own clock, and the differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from measured import Measured, difference, run_scripted
from scripted_backend import Planted
from server_script import Deed, Script
from time_pairs import Timed, pair_times

from harness.scenario.model import ClientSpec, ClusterSpec, Phases, Scenario
from harness.units import format_duration
from harness.workloads.core import Core

RATE = "500/s"
QUIET_S = 0.25  # from one heal to the next hit
PUBLISHERS = 2
SUBSCRIBERS = 2
CLIENTS = PUBLISHERS + SUBSCRIBERS
PATHS = PUBLISHERS * SUBSCRIBERS
# No clock error and no scheduler can make these negative: the harness sees an effect after
# the server has caused it.
NEVER_NEGATIVE = ("failover_time", "time_to_first_delivery", "e2e_latency")
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
    `latency_s`: the server holds every message for so long.
    """

    name: str
    deed: Deed
    hold_s: float
    cycles: int = 8
    servers: int = 1
    listening: bool = False
    sees_leaving: bool = False
    latency_s: float = 0.0

    @property
    def silent(self) -> bool:
        """Tell whether the deed itself is no sign to a client."""
        return self.deed in ("silent", "deaf")

    def expected(self) -> dict[str, int]:
        """Return how many values of each metric there must be."""
        dated = 0 if self.silent and not self.sees_leaving else self.cycles * CLIENTS
        return {
            "detection_time": dated,
            "reconnect_latency": dated,
            "failover_time": self.cycles * CLIENTS,
            "time_to_first_delivery": self.cycles * PATHS,
            "outage_window": CLIENTS if self.cycles else 0,
        }

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
                    name="hello",
                    kind="core",
                    publishers=PUBLISHERS,
                    subscribers=SUBSCRIBERS,
                    rate=RATE,
                    payload="64B",
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
        script = Script(latency_s=self.latency_s)
        scripts = dict.fromkeys(ClusterSpec(servers=self.servers).nodes, script)
        return run_scripted(self.scenario(), scripts, reports)


PLANS = (
    TimePlan("closes-and-returns", "close", 0.15),
    TimePlan("resets-and-returns", "reset", 0.15),
    TimePlan("closes-and-listens-on", "close", 0.15, listening=True),
    TimePlan("falls-silent", "silent", 0.35, sees_leaving=True),
    TimePlan("stops-reading", "deaf", 0.35),
    TimePlan("another-server-takes-over", "close", 0.15, servers=2),
    TimePlan("another-takes-over-after-reset", "reset", 0.15, servers=2),
    TimePlan("holds-every-message-20-ms", "close", 0.15, cycles=0, latency_s=0.02),
)


def compare(plan: TimePlan, measured: Measured) -> Timed:
    """Return every time as judged beside the truth, and what cannot be."""
    timed = pair_times(measured, sees_leaving=plan.sees_leaving, silent=plan.silent)
    problems = list(timed.problems)
    for metric, count in plan.expected().items():
        found = len(timed.differences_s(metric))
        problems += difference(f"{metric}: number of values", count, found)
    for metric in NEVER_NEGATIVE:
        for pair in timed.pairs:
            if pair.metric == metric and pair.difference_s < 0:
                problems.append(
                    f"{metric} of {pair.whose} is {-pair.difference_s * 1e3:.3f} ms too early"
                )
    return replace(timed, problems=tuple(problems))
