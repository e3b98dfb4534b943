"""How much of the machine a run takes, so that no more run side by side than it bears.

Rough on purpose: what a run really suffered is measured in the run and told in its report.
"""

from __future__ import annotations

import os
from collections import Counter

from harness.load.plan import ClientPlan
from harness.scenario.model import Scenario
from harness.workloads.base import Workload

RUN_CORES = 0.12  # three servers, looks at them and a harness that waits
EVENT_CORE_S = 60e-6  # of a message that is sent or delivered: servers, clients and columns
BEARABLE = 0.8  # of the cores; the rest is for what is not foreseen


def cores_of(scenario: Scenario) -> float:
    """Return how many cores the servers and clients of a scenario keep busy, roughly."""
    events_s = sum(
        _events_s(workload.resolved(scenario.streams).clients(0, _anywhere, scenario.phases))
        for workload in scenario.workloads
        if isinstance(workload, Workload)
    )
    return RUN_CORES * max(1.0, len(scenario.cluster.nodes) / 3) + EVENT_CORE_S * events_s


def bearable_cores() -> float:
    """Return how many cores runs that go on side by side may keep busy together."""
    return BEARABLE * (os.cpu_count() or 1)


def _events_s(clients: tuple[ClientPlan, ...]) -> float:
    """Return how many messages are sent and delivered in a second."""
    rates = {client.id: client.rate or 0.0 for client in clients}
    members = Counter((client.role, client.queue) for client in clients)
    delivered = (
        sum(rates[sender] for sender in client.senders)
        / (members[client.role, client.queue] if client.queue else 1)
        for client in clients
    )
    return sum(rates.values()) + sum(delivered)


def _anywhere(role: str, index: int) -> tuple[str, ...]:
    del role, index
    return ()
