"""Decide who runs where: clients of workloads into workers, workers onto the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Protocol

from harness.cluster.protocols import Address
from harness.errors import ServerError
from harness.load.libraries import library_of
from harness.load.plan import ClientPlan, WorkerPlan
from harness.scenario.client_options import parse_options
from harness.scenario.model import SEED, Scenario
from harness.scenario.sites import OBSERVER
from harness.scenario.stream_rules import needs_observer
from harness.scenario.targets import Led, parse_led
from harness.workloads.base import Workload


class Leading(Protocol):
    """Tell which nodes a leader or followers are now, when workers are planned."""

    def __call__(self, led: Led) -> tuple[str, ...]:
        """Return at least one node."""


def nobody_leads(led: Led) -> tuple[str, ...]:
    """Refuse: JetStream is not observed."""
    raise ServerError(f"nobody observes JetStream here, so nobody knows who leads {led.group}")


def client_groups(scenario: Scenario) -> tuple[str, ...]:
    """Return the names of the client groups: one per workload and role, the observer last."""
    groups = [
        f"{workload.name}-{role}" for workload in scenario.workloads for role in workload.roles
    ]
    return (*groups, OBSERVER) if needs_observer(scenario) else tuple(groups)


def plan_workers(
    scenario: Scenario,
    addresses: Mapping[str, Address],
    columns: Path,
    *,
    run: int,
    seed: str,
    leading: Leading = nobody_leads,
) -> tuple[WorkerPlan, ...]:
    """Return one plan per client group.

    Args:
        scenario: what to run.
        addresses: where each node listens for clients.
        columns: the folder for the workers' column files.
        run: the number that marks this run's payloads, 32 bits.
        seed: what the workers' own random choices start from.
        leading: who leads now, for roles that are attached to a leader or to followers.
    """
    clients: list[ClientPlan] = []
    for workload in scenario.workloads:
        assert isinstance(workload, Workload)
        spec = workload.resolved(scenario.streams)

        def bootstrap(role: str, index: int, spec: Workload = spec) -> tuple[str, ...]:
            names = _first_servers(scenario, spec, role, index, leading)
            return tuple(f"nats://{addresses[name]}" for name in names)

        clients.extend(spec.clients(len(clients), bootstrap, scenario.phases))
    auth = scenario.cluster.login
    options = parse_options(scenario.client.adapter, scenario.client.options)
    library = library_of(scenario.client)
    return tuple(
        WorkerPlan(
            worker=worker,
            run=run,
            seed=f"{seed}/{worker}",
            columns=str(columns / f"{worker}.columns"),
            adapter=scenario.client.adapter,
            options=options,
            library=None if library is None else str(library),
            user=auth.user if auth else None,
            password=auth.password.get_secret_value() if auth else None,
            clients=tuple(members),
        )
        for worker, members in groupby(clients, key=lambda client: client.worker)
    )


def _first_servers(
    scenario: Scenario, workload: Workload, role: str, index: int, leading: Leading
) -> tuple[str, ...]:
    """Return the bootstrap nodes of the role's client number `index` (from 0)."""
    where = workload.attach.get(role)
    if where is None:
        return scenario.client.servers
    spec = scenario.cluster
    if where == SEED:
        return (spec.seed,)
    if isinstance(where, str) and (led := parse_led(where)) is not None:
        leaders = leading(led)
        return (leaders[index % len(leaders)],)
    choices = spec.nodes if where == "spread" else where
    if isinstance(choices, str):
        choices = spec.sites.names.get(choices, (choices,))
    return (choices[index % len(choices)],)
