"""Carry out one fault step: aim, inject, hold, heal, and record each edge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio

from harness.clock import now_ns, seconds, sleep_until, to_ns
from harness.cluster.protocols import Cluster
from harness.cluster.targets import Attachments, led_by, resolve
from harness.errors import FaultError
from harness.faults.base import UNDO_LIMIT_S, Fault, Strike

LOOK_LIMIT_S = 1.0  # of the look that tells who leads
HEAL_WAIT_S = UNDO_LIMIT_S + 5.0  # for an earlier fault's healing, which has a limit of its own


@dataclass(eq=False)
class Claim:
    """What keeps a node for one fault alone.

    Attributes:
        fault: its name.
        ends_ns: by when it is to be over but for its healing, monotonic; None: nobody knows.
        over: set once the node is free again.
    """

    fault: str
    ends_ns: int | None = None
    over: anyio.Event = field(default_factory=anyio.Event)


@dataclass(frozen=True)
class Injection:
    """A fault step in one iteration: what it acts on, its dice and its times.

    Attributes:
        zero_ns: from when on the steps' times count, monotonic.
        phase_s: how long the fault phase was asked to last; None when faults decide.
        claims: what keeps which node for one fault; shared by all steps of an iteration.
    """

    fault: Fault
    cluster: Cluster
    attachments: Attachments
    random: Random
    zero_ns: int
    phase_s: float | None
    claims: dict[str, Claim]

    async def run(self) -> None:
        """Inject and heal at the planned times; a failure is recorded and judged later.

        A fault that fails leaves the run going: what was measured so far stays worth
        reading, and the proof check makes the verdict inconclusive.
        """
        fault = self.fault
        due_ns = self.zero_ns + to_ns(fault.at)
        ends_ns = None if fault.duration is None else due_ns + to_ns(fault.duration)
        await sleep_until(due_ns - to_ns(fault.lead_s))
        with suppress(FaultError):
            hold_s = self._hold_s()
            async with self.injected(due_ns, ends_ns, hold_s) as strike:
                heal_ns = now_ns() + to_ns(hold_s)
                await fault.hold(strike, max(0.0, hold_s - strike.look_s))
                await self.look_again(strike)
                await sleep_until(heal_ns)

    @asynccontextmanager
    async def injected(
        self, due_ns: int, ends_ns: int | None = None, hold_s: float = 0.0
    ) -> AsyncIterator[Strike]:
        """Strike at `due_ns`, monotonic, and heal on leaving; each edge is recorded.

        Call it `lead_s` seconds before that, and say when the hold is to end, and how long it
        is to last from the effect on, if that is known.
        It is late where a fault that was to be over by then is still being healed, and says so.
        A failure is recorded and raised.
        """
        fault, record = self.fault, self.cluster.record
        claim = Claim(fault.name, ends_ns)
        edge = "effect"
        try:
            strike, wait = await self._engage(claim, due_ns)
            facts: dict[str, Any] = {
                "fault": fault.name,
                "action": fault.action,
                "targets": [node.name for node in strike.nodes],
            }
            at_ns = max(now_ns(), strike.due_ns)
            behind_s = round(seconds(at_ns - strike.due_ns), 3)
            record("fault.inject_started", at_ns=at_ns, behind_s=behind_s, **facts, **wait)
            async with fault.active(self.cluster, strike):
                asked: dict[str, Any] = {"hold_s": hold_s} if hold_s else {}
                record("fault.injected", watched=bool(strike.looks), **asked, **facts)
                yield strike
                edge = "undo"
                claim.ends_ns = claim.ends_ns or now_ns()
                record("fault.heal_started", **facts)
            record("fault.healed", **facts)
        except FaultError as error:
            record("fault.failed", fault=fault.name, message=str(error), edge=edge)
            raise
        finally:
            for node in [node for node, holder in self.claims.items() if holder is claim]:
                del self.claims[node]
            claim.over.set()

    async def look_again(self, strike: Strike) -> FaultError | None:
        """Take the looks right before the heal; what has gone is recorded, and returned."""
        try:
            for look in strike.looks:
                await look.take()
        except FaultError as error:
            self.cluster.record(
                "fault.failed", fault=self.fault.name, message=str(error), edge="held"
            )
            return error
        return None

    async def _engage(self, claim: Claim, due_ns: int) -> tuple[Strike, dict[str, Any]]:
        """Aim and take the nodes, as soon as faults that were to be over have been healed.

        Returns:
            the strike, due later by as much as that took, and the facts of the wait, if any.

        Raises:
            FaultError: another fault holds a node by its own plan, or is not healed in time.
        """
        begin_ns, dice = due_ns - to_ns(self.fault.lead_s), self.random.getstate()
        deadline = anyio.current_time() + HEAL_WAIT_S
        late_ns = 0
        waited_for: dict[str, None] = {}
        while True:
            self.random.setstate(dice)  # it strikes whom it would have struck in time
            strike = await self._aim(due_ns + late_ns)
            names = [node.name for node in strike.nodes] if self.fault.claims_nodes else []
            holders = {name: self.claims[name] for name in names if name in self.claims}
            if not holders:
                self.claims.update(dict.fromkeys(names, claim))
                wait = {"late_s": round(seconds(late_ns), 3), "waited_for": [*waited_for]}
                return strike, wait if waited_for else {}
            for name, holder in holders.items():
                healing = holder.ends_ns is not None and holder.ends_ns < begin_ns
                if not healing or anyio.current_time() >= deadline:
                    raise FaultError(
                        f"{name} is under the fault {holder.fault} already; neither could be proven"
                    )
            for holder in holders.values():
                waited_for[holder.fault] = None
                with anyio.move_on_after(deadline - anyio.current_time()):
                    await holder.over.wait()
            late_ns = max(0, now_ns() - begin_ns)

    async def _aim(self, due_ns: int) -> Strike:
        views = None
        if led_by(self.fault) is not None and (jetstream := self.cluster.jetstream) is not None:
            views = await jetstream.look(LOOK_LIMIT_S)
        names = resolve(
            self.fault,
            tuple(self.cluster.nodes),
            self.attachments,
            self.random,
            self.cluster.sites.names,
            views,
        )
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

    def _hold_s(self) -> float:
        """Return how long to hold: as asked, else to the end of the fault phase."""
        if self.fault.duration is not None:
            return self.fault.duration
        if self.phase_s is None or self.fault.self_timed:
            return 0.0
        return max(0.0, self.phase_s - self.fault.at)
