"""Run one iteration of a scenario: a fresh cluster, its clients, and the phases.

What starts something is `async with`; the nesting is the order of clean-up: the
cluster outlives the workers, the workers outlive the phases. A phase ends by event or
at its time; cancellation means abort, and then the workers still write their columns.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import anyio

from harness.audit import Audit
from harness.clock import now_ns, sleep_until, to_ns
from harness.cluster.jetstream_views import sample_jetstream
from harness.cluster.protocols import Backend, Cluster, EventSink
from harness.cluster.views import sample_views
from harness.errors import ServerError, WorkerError
from harness.faults.base import Fault
from harness.heartbeat import heartbeat
from harness.injection import Claim, Injection
from harness.load.fleet import Fleet, fleet
from harness.load.observing import Observer
from harness.load.plan import WorkerPlan
from harness.observation import SETUP_LIMIT_S, observed
from harness.placement import client_groups, plan_workers
from harness.scenario.dump import plain_step
from harness.scenario.model import FaultStep, Scenario
from harness.scenario.schedule import (
    FAULT_EDGE_S,
    is_drawn,
    nodes_on_devices,
    schedule,
    watched_nodes,
)
from harness.scenario.sites import OBSERVER
from harness.scenario.stream_rules import needs_observer
from harness.scenario.targets import FOLLOWER, Led
from harness.scopes import bounded_cleanup

STOP_LIMIT_S = 10.0
FINISH_LIMIT_S = 10.0
HEAD_START_S = 0.02
STOP_NOTICE_S = 0.05
LOOK_LIMIT_S = 5.0


@dataclass
class Iteration:
    """One pass through the phases: number `index` of `scenario`, run on `backend`.

    `nonce` marks the payloads, 32 bits; files go into `folder` as docs/history.md says.
    `schedule` are the plain faults of this iteration, drawn before anything starts.
    """

    scenario: Scenario
    backend: Backend
    folder: Path
    index: int
    nonce: int
    record: EventSink
    schedule: tuple[FaultStep, ...] = field(init=False)
    phase: str = field(default="setup", init=False)
    aborted: bool = field(default=False, init=False)
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope, init=False)

    def __post_init__(self) -> None:
        """Work out what will happen: all dice that decide about faults are thrown here."""
        self.schedule = schedule(self.scenario, self.index)

    @property
    def number(self) -> int:
        """Return the number by which dice are thrown; files go by `index`."""
        return self.scenario.first_iteration + self.index

    def abort(self) -> None:
        """End the iteration early: no more phases, but the workers are still collected."""
        self.aborted = True
        self._scope.cancel()

    async def run(self) -> None:
        """Run to the end; raise HarnessError (alone or in a group) when it cannot."""
        with self._scope:
            await self._run()

    async def _run(self) -> None:
        self.record("phase.started", phase=self.phase)
        steps = [plain_step(step) for step in self.schedule]
        self.record("faults.scheduled", steps=steps, drawn=is_drawn(self.scenario))
        async with self.backend.cluster(
            self.scenario.cluster,
            groups=client_groups(self.scenario),
            folder=self._subfolder("servers"),
            record=self.record,
            watched=watched_nodes(self.schedule, self.scenario.cluster),
            on_devices=nodes_on_devices(self.schedule, self.scenario.cluster),
        ) as cluster:
            names = {
                address: node.name
                for node in cluster.nodes.values()
                for address in (*node.endpoints.known_as, str(node.endpoints.client))
            }
            logs = self._subfolder("workers")
            async with (
                self._observed(cluster, logs) as observer,
                fleet(
                    await self._plan_load(cluster, observer),
                    cluster.spawn_client,
                    on_event=WorkerEvents(self.record, names),
                    logs=logs,
                ) as workers,
            ):
                await self._conduct(cluster, workers, names, observer)

    @asynccontextmanager
    async def _observed(self, cluster: Cluster, logs: Path) -> AsyncIterator[Observer | None]:
        """Form a cluster whose JetStream is to be observed, and make its streams; else nothing."""
        if not needs_observer(self.scenario):
            yield None
            return
        async with observed(self.scenario, cluster, logs / f"{OBSERVER}.log") as found:
            yield found

    def _subfolder(self, name: str) -> Path:
        folder = self.folder / name / str(self.index)
        folder.mkdir(parents=True)
        return folder

    async def _plan_load(
        self, cluster: Cluster, observer: Observer | None
    ) -> tuple[WorkerPlan, ...]:
        views = None if observer is None else await observer.look(LOOK_LIMIT_S)

        def leading(led: Led) -> tuple[str, ...]:
            found: tuple[str, ...] = ()
            if views is not None and led.kind == FOLLOWER:
                found = views.followers(led.stream or "")
            elif views is not None:
                found = tuple(filter(None, [views.leader(led.group)]))
            if not found:
                raise ServerError(f"clients cannot be attached: {led.group} has no {led.kind} now")
            return found

        plans = plan_workers(
            self.scenario,
            {node.name: node.endpoints.client for node in cluster.nodes.values()},
            self._subfolder("messages"),
            run=self.nonce,
            seed=f"{self.scenario.seed}/{self.number}",
            leading=leading,
        )
        clients = [
            {"worker": plan.worker, **client.describe()}
            for plan in plans
            for client in plan.clients
        ]
        self.record("load.planned", run=self.nonce, clients=clients)
        return plans

    async def _conduct(
        self,
        cluster: Cluster,
        workers: Fleet,
        names: dict[str, str],
        observer: Observer | None,
    ) -> None:
        """Go through the phases while servers and workers are watched; always collect.

        An abort from here on ends the phases only: cluster and workers live on until
        the columns are written.
        """
        collected = False
        try:
            async with anyio.create_task_group() as watchers:
                self._scope = watchers.cancel_scope
                watchers.start_soon(cluster.watch)
                watchers.start_soon(workers.watch)
                watchers.start_soon(heartbeat, self.record)
                await self._set_up(cluster, workers, formed=observer is not None)
                self.record("phase.ended", phase=self.phase)
                watchers.start_soon(sample_views, cluster)
                if observer is not None:
                    watchers.start_soon(sample_jetstream, cluster, observer.names)
                await self._go_through_phases(cluster, workers, names)
                if observer is not None:
                    with self._entered("audit"):
                        await self._audit(cluster, observer)
                with self._entered("collect"):
                    await workers.finish(FINISH_LIMIT_S)
                collected = True
                watchers.cancel_scope.cancel()
        finally:
            if not collected:
                with bounded_cleanup(FINISH_LIMIT_S, "collecting what workers know", WorkerError):
                    await workers.finish(FINISH_LIMIT_S / 2)

    async def _audit(self, cluster: Cluster, observer: Observer) -> None:
        folder = self.folder / "messages" / str(self.index)
        audit = Audit(self.scenario, cluster, observer, folder, self.nonce)
        await audit.tell_consumers()
        await audit.conduct()

    async def _set_up(self, cluster: Cluster, workers: Fleet, *, formed: bool) -> None:
        async with anyio.create_task_group() as both:
            if not formed:
                both.start_soon(cluster.form, SETUP_LIMIT_S)
            both.start_soon(workers.ready, SETUP_LIMIT_S)
        await workers.connect(SETUP_LIMIT_S)
        await workers.confirm(SETUP_LIMIT_S)

    async def _go_through_phases(
        self, cluster: Cluster, workers: Fleet, names: dict[str, str]
    ) -> None:
        phases = self.scenario.phases
        warmup_ns = now_ns() + to_ns(HEAD_START_S)
        steady_ns = warmup_ns + to_ns(phases.warmup)
        fault_ns = steady_ns + to_ns(phases.steady)
        await workers.start(warmup_ns)
        self.record("load.started", start_ns=warmup_ns)
        with self._entered("warmup", warmup_ns):
            await sleep_until(steady_ns)
        healed = anyio.Event()

        async def inject() -> None:
            edge_s = FAULT_EDGE_S if self.schedule else 0.0
            await self._inject(cluster, workers, names, fault_ns + to_ns(edge_s))
            healed.set()

        async with anyio.create_task_group() as injecting:
            with self._entered("steady", steady_ns):
                await sleep_until(fault_ns - to_ns(self._longest_lead_s()))
                injecting.start_soon(inject)
                await sleep_until(fault_ns)
            with self._entered("fault", fault_ns):
                await healed.wait()
        recovery_ns = now_ns()
        stop_ns = recovery_ns + to_ns(phases.recovery)
        with self._entered("recovery", recovery_ns):
            await sleep_until(stop_ns - to_ns(STOP_NOTICE_S))
            await workers.stop(stop_ns, STOP_LIMIT_S + self._longest_timeout_s())
            self.record("load.stopped", stop_ns=stop_ns)
        with self._entered("drain", stop_ns):
            before_ns = now_ns()
            complete = await workers.drain(phases.drain)
            self.record(
                "load.drained", complete=complete, waited_s=(now_ns() - before_ns) / to_ns(1)
            )

    async def _inject(
        self, cluster: Cluster, workers: Fleet, names: dict[str, str], zero_ns: int
    ) -> None:
        """Run all fault steps, timed from `zero_ns`; return when each is healed and time is up."""

        def attachments(workload: str, role: str | None) -> frozenset[str]:
            client_role = role.removesuffix("s") if role else None
            addresses = workers.attached(workload, client_role)
            return frozenset(names[address] for address in addresses if address in names)

        length_s = self.scenario.phases.fault
        claims: dict[str, Claim] = {}
        async with anyio.create_task_group() as steps:
            for fault in self.schedule:
                assert isinstance(fault, Fault)
                dice = Random(f"{self.scenario.seed}/{self.number}/{fault.name}")
                injection = Injection(fault, cluster, attachments, dice, zero_ns, length_s, claims)
                steps.start_soon(injection.run)
        if length_s is not None:
            await sleep_until(zero_ns + to_ns(length_s))

    def _longest_lead_s(self) -> float:
        return max((fault.lead_s for fault in self.schedule), default=0.0)

    def _longest_timeout_s(self) -> float:
        return max(workload.settle_s for workload in self.scenario.workloads)

    @contextmanager
    def _entered(self, phase: str, at_ns: int | None = None) -> Iterator[None]:
        self.phase = phase
        self.record("phase.started", at_ns=at_ns, phase=phase)
        yield
        self.record("phase.ended", phase=phase)


@dataclass(frozen=True)
class WorkerEvents:
    """Turn what workers tell into events of the run, with nodes named instead of addressed."""

    record: EventSink
    names: dict[str, str]

    def __call__(self, kind: str, facts: dict[str, Any]) -> None:
        """Record one event."""
        facts = dict(facts)
        if "server" in facts:
            facts["server"] = self.names.get(facts["server"], facts["server"])
        self.record(kind, at_ns=facts.pop("at_ns", None), **facts)
