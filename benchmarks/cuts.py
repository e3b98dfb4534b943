"""Time from when a cut was due to when its last link was cut, through a real fault step.

Run by bench.py; as a script, ``python benchmarks/cuts.py COUNT`` prints what was measured.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import anyio
from apart import measure_apart, tell_from_lab
from figure import Figure

from harness.backends.lab.available import available
from harness.clock import now_ns, seconds, to_ns
from harness.cluster.links import Links
from harness.cluster.protocols import Cluster, EventSink
from harness.faults.partition import Partition
from harness.injection import Injection
from harness.scenario.sites import NOWHERE, Sites

AIM_S = 0.005
NODES = ("n1", "n2", "n3", "n4", "n5")
GROUPS = ("load-publishers", "load-subscribers", "ask-requesters", "ask-responders")
AHEAD_S = 0.3
SETUP_S = 60.0
METHOD = (
    "a lab of 5 nodes and 4 client groups without servers: a partition step by topology halves, "
    "isolate and bridge in turn, from the time it was due to when the kernel had taken all its "
    "links; one value, the p99 of all cuts"
)


def measure_cuts(cuts: int) -> Figure:
    """Cut and heal `cuts` times, one after the other."""
    told = measure_apart(__file__, cuts, limit_s=SETUP_S + 2 * AHEAD_S * cuts)
    each = sorted(told.get("values", ()))
    p99 = (each[min(len(each) - 1, -(-99 * len(each) // 100) - 1)],) if each else ()
    name = f"cut: due to last link, p99 of {cuts}"
    return Figure(name, "s", AIM_S, "lower", METHOD, p99, {"each": each}, told.get("skipped"))


@dataclass(frozen=True)
class _Place:
    name: str


@dataclass(frozen=True)
class _Timed:
    """Links that note when each cut was done."""

    links: Any
    done_ns: list[int]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.links, name)

    def cut(self, links: Any) -> int:
        self.done_ns.append(self.links.cut(links))
        return self.done_ns[-1]


@dataclass(frozen=True)
class _Empty:
    """As much of a cluster as a partition needs."""

    nodes: Mapping[str, _Place]
    links: Links
    record: EventSink
    shaper: None = None
    sites: Sites = NOWHERE


async def _cut_all(cuts: int) -> dict[str, Any]:
    from harness.backends.lab.links import lab_links  # noqa: PLC0415 - as the lab itself does
    from harness.backends.lab.network import lab_network  # noqa: PLC0415 - as above

    failures: list[str] = []

    def record(kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        del at_ns
        if kind == "fault.failed":
            failures.append(facts["message"])

    late = []
    async with lab_network(NODES, GROUPS) as network:
        with lab_links(network) as links:
            timed = _Timed(links, [])
            places = {name: _Place(name) for name in NODES}
            cluster = cast("Cluster", _Empty(places, cast("Links", timed), record))
            for turn in range(cuts):
                topology = ("halves", "isolate", "bridge")[turn % 3]
                step = {"name": "cut", "action": "partition", "topology": topology}
                fault = Partition.model_validate({**step, "duration": "1ms"})
                due_ns = now_ns() + to_ns(AHEAD_S)
                dice = Random(turn)
                injection = Injection(fault, cluster, _attached_to_none, dice, due_ns, None, {})
                await injection.run()
                if failures:
                    raise RuntimeError(failures[0])
                late.append(seconds(timed.done_ns[-1] - due_ns))
    return {"values": late}


def _attached_to_none(workload: str, role: str | None) -> frozenset[str]:
    del workload, role
    return frozenset()


if __name__ == "__main__":
    count = int(sys.argv[1])
    sys.exit(tell_from_lab(available(), lambda: anyio.run(_cut_all, count)))
