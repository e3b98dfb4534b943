"""Decide who runs where: clients of workloads into workers, workers onto the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from harness.cluster.protocols import Address
from harness.load.plan import ClientPlan, WorkerPlan
from harness.scenario.client_options import parse_options
from harness.scenario.model import SEED_NODE, Scenario
from harness.workloads.base import Workload


def client_groups(scenario: Scenario) -> tuple[str, ...]:
    """Return the names of the client groups: one per workload and role."""
    return tuple(
        f"{workload.name}-{role}" for workload in scenario.workloads for role in workload.roles
    )


def plan_workers(
    scenario: Scenario,
    addresses: Mapping[str, Address],
    columns: Path,
    *,
    run: int,
    seed: str,
) -> tuple[WorkerPlan, ...]:
    """Return one plan per client group.

    Args:
        scenario: what to run.
        addresses: where each node listens for clients.
        columns: the folder for the workers' column files.
        run: the number that marks this run's payloads, 32 bits.
        seed: what the workers' own random choices start from.
    """
    clients: list[ClientPlan] = []
    for workload in scenario.workloads:
        assert isinstance(workload, Workload)
        spec = workload

        def bootstrap(role: str, index: int, spec: Workload = spec) -> tuple[str, ...]:
            names = _first_servers(scenario, spec, role, index)
            return tuple(f"nats://{addresses[name]}" for name in names)

        clients.extend(workload.clients(len(clients), bootstrap))
    auth = scenario.cluster.authorization
    options = parse_options(scenario.client.adapter, scenario.client.options)
    return tuple(
        WorkerPlan(
            worker=worker,
            run=run,
            seed=f"{seed}/{worker}",
            columns=str(columns / f"{worker}.columns"),
            adapter=scenario.client.adapter,
            options=options,
            user=auth.user if auth else None,
            password=auth.password.get_secret_value() if auth else None,
            clients=tuple(members),
        )
        for worker, members in groupby(clients, key=lambda client: client.worker)
    )


def _first_servers(
    scenario: Scenario, workload: Workload, role: str, index: int
) -> tuple[str, ...]:
    """Return the bootstrap nodes of the role's client number `index` (from 0)."""
    where = workload.attach.get(role)
    if where is None:
        return scenario.client.servers
    if where == "seed":
        return (SEED_NODE,)
    choices = scenario.cluster.nodes if where == "spread" else where
    if isinstance(choices, str):
        return (choices,)
    return (choices[index % len(choices)],)
