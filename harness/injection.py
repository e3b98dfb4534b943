"""Carry out one fault step: aim, inject, hold, heal, and record each edge."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from harness.clock import now_ns, sleep_until, to_ns
from harness.cluster.protocols import Cluster
from harness.cluster.targets import Attachments, resolve
from harness.errors import FaultError
from harness.faults.base import Fault, Strike


@dataclass(frozen=True)
class Injection:
    """A fault step in one iteration: what it acts on, its dice and its times.

    Attributes:
        phase_ns: when the fault phase started, monotonic.
        phase_s: how long the fault phase was asked to last; None when faults decide.
        claims: which fault has which node for itself; shared by all steps of an iteration.
    """

    fault: Fault
    cluster: Cluster
    attachments: Attachments
    random: Random
    phase_ns: int
    phase_s: float | None
    claims: dict[str, str]

    async def run(self) -> None:
        """Inject and heal at the planned times; a failure is recorded and judged later.

        A fault that fails leaves the run going: what was measured so far stays worth
        reading, and the proof check makes the verdict inconclusive.
        """
        fault, record = self.fault, self.cluster.record
        due_ns = self.phase_ns + to_ns(fault.at)
        await sleep_until(due_ns - to_ns(fault.lead_s))
        edge = "effect"
        try:
            strike = self._aim(due_ns)
            self._claim(strike)
            facts: dict[str, Any] = {
                "fault": fault.name,
                "action": fault.action,
                "targets": [node.name for node in strike.nodes],
            }
            record("fault.inject_started", at_ns=max(now_ns(), due_ns), **facts)
            async with fault.active(self.cluster, strike):
                record("fault.injected", **facts)
                await fault.hold(strike, self._hold_s())
                edge = "undo"
                record("fault.heal_started", **facts)
            record("fault.healed", **facts)
        except FaultError as error:
            record("fault.failed", fault=fault.name, message=str(error), edge=edge)
        finally:
            for node in [node for node, holder in self.claims.items() if holder == fault.name]:
                del self.claims[node]

    def _aim(self, due_ns: int) -> Strike:
        names = resolve(self.fault, tuple(self.cluster.nodes), self.attachments, self.random)
        nodes = tuple(self.cluster.nodes[name] for name in names)
        return Strike(
            self.fault.name,
            self.fault.action,
            nodes,
            self.cluster.record,
            silent=self.fault.silent,
            due_ns=due_ns,
            random=self.random,
            seed=self.random.getrandbits(32),
        )

    def _claim(self, strike: Strike) -> None:
        """Take the nodes for this fault; FaultError when another one holds them now."""
        if not self.fault.claims_nodes:
            return
        for node in strike.nodes:
            if (holder := self.claims.get(node.name)) is not None:
                raise FaultError(
                    f"{node.name} is under the fault {holder} already; neither could be proven"
                )
        self.claims.update({node.name: self.fault.name for node in strike.nodes})

    def _hold_s(self) -> float:
        """Return how long to hold: as asked, else to the end of the fault phase."""
        if self.fault.duration is not None:
            return self.fault.duration
        if self.phase_s is None or self.fault.self_timed:
            return 0.0
        return max(0.0, self.phase_s - self.fault.at)
