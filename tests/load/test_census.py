"""Who has not been heard, and whether everything arrived."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.load.census import missing_probes, traffic_accounted
from harness.load.member import Member, WorkerStats
from harness.load.plan import ClientPlan, WorkerPlan
from harness.scenario.model import Phases
from harness.workloads.core import Core
from harness.workloads.jetstream import JetStream
from harness.workloads.kv import Kv
from harness.workloads.request import Request


def nowhere(role: str, index: int) -> tuple[str, ...]:
    return ()


def members(*clients: ClientPlan) -> dict[str, Member]:
    workers = dict.fromkeys(client.worker for client in clients)
    nothing: Any = None
    return {
        worker: Member(
            WorkerPlan(worker, 1, "", tuple(c for c in clients if c.worker == worker)),
            nothing,
            nothing,
            Path(),
            nothing,
        )
        for worker in workers
    }


def figures(at_ns: int, *, attempted: int = 0, refused: int = 0, delivered: int = 0) -> WorkerStats:
    return WorkerStats(at_ns, attempted, attempted - refused, refused, delivered, 0, 0.0)


@pytest.fixture
def fan_out() -> dict[str, Member]:
    return members(*Core(name="w", publishers=2, subscribers=2).clients(0, nowhere, Phases()))


@pytest.fixture
def group() -> dict[str, Member]:
    return members(
        *Core(name="w", publishers=2, subscribers=2, queue="q").clients(0, nowhere, Phases())
    )


def test_each_subscriber_must_hear_each_publisher(fan_out: dict[str, Member]) -> None:
    crew = list(fan_out.values())
    fan_out["w-subscribers"].confirmed = {2: frozenset({0, 1}), 3: frozenset({1})}
    assert missing_probes(crew) == ["w-subscriber-2 heard nothing of w-publisher-1"]
    fan_out["w-subscribers"].confirmed[3] = frozenset({0, 1})
    assert missing_probes(crew) == []


def test_of_a_queue_group_somebody_must_hear_each_publisher(group: dict[str, Member]) -> None:
    crew = list(group.values())
    group["w-subscribers"].confirmed = {2: frozenset({0})}
    assert missing_probes(crew) == ["queue group 'q' of w heard nothing of w-publisher-2"]
    group["w-subscribers"].confirmed[3] = frozenset({1})
    assert missing_probes(crew) == []


def test_fan_out_is_accounted_for_by_end_markers_alone(fan_out: dict[str, Member]) -> None:
    crew = list(fan_out.values())
    fan_out["w-subscribers"].stats = figures(100, delivered=10**6)
    fan_out["w-subscribers"].drained = {2: frozenset({0, 1}), 3: frozenset({1})}
    assert not traffic_accounted(crew, since_ns=0)
    fan_out["w-subscribers"].drained[3] = frozenset({0, 1})
    assert traffic_accounted(crew, since_ns=0)


def test_a_queue_group_is_accounted_for_by_counting(group: dict[str, Member]) -> None:
    crew = list(group.values())
    group["w-publishers"].stats = figures(100, attempted=10, refused=2)
    group["w-subscribers"].stats = figures(100, delivered=7)
    assert not traffic_accounted(crew, since_ns=50)
    group["w-subscribers"].stats = figures(100, delivered=8)
    assert traffic_accounted(crew, since_ns=50)


def test_figures_from_before_the_drain_do_not_count(group: dict[str, Member]) -> None:
    group["w-publishers"].stats = figures(100, attempted=8)
    group["w-subscribers"].stats = figures(49, delivered=8)
    assert not traffic_accounted(list(group.values()), since_ns=50)
    group["w-subscribers"].stats = figures(100, delivered=8)
    group["w-publishers"].stats = figures(49, attempted=8)
    assert not traffic_accounted(list(group.values()), since_ns=50)


def test_figures_that_count_other_traffic_too_are_not_believed() -> None:
    jobs = Core(name="w", subscribers=1, queue="q").clients(0, nowhere, Phases())
    stranger = ClientPlan(9, "x", "subscriber", "x", "w-subscribers", (), "x", senders=())
    crew = members(*jobs, stranger)
    crew["w-publishers"].stats = figures(100, attempted=8)
    crew["w-subscribers"].stats = figures(100, delivered=100)
    crew["w-subscribers"].drained = {9: frozenset()}
    assert not traffic_accounted(list(crew.values()), since_ns=50)


def test_requests_are_accounted_for_by_counting() -> None:
    crew = members(*Request(name="w").clients(0, nowhere, Phases()))
    crew["w-requesters"].stats = figures(100, attempted=5)
    crew["w-responders"].stats = figures(100, delivered=4)
    assert not traffic_accounted(list(crew.values()), since_ns=50)
    crew["w-responders"].stats = figures(100, delivered=5)
    assert traffic_accounted(list(crew.values()), since_ns=50)


def test_buckets_are_drained_once_users_have_looked_and_watchers_have_heard_them() -> None:
    crew = members(*Kv(name="w", users=2, watchers=1).clients(0, nowhere, Phases()))
    everybody = list(crew.values())
    assert missing_probes(everybody) == []
    users, watchers = crew["w-users"], crew["w-watchers"]
    assert not traffic_accounted(everybody, since_ns=0)
    users.drained = {0: frozenset({0}), 1: frozenset({1})}
    assert not traffic_accounted(everybody, since_ns=0)
    watchers.drained = {2: frozenset({0})}
    assert not traffic_accounted(everybody, since_ns=0)
    watchers.drained = {2: frozenset({0, 1})}
    assert traffic_accounted(everybody, since_ns=0)
    users.drained = {0: frozenset({0})}
    assert not traffic_accounted(everybody, since_ns=0)


def test_every_client_of_a_consumer_confirms_and_drains_for_itself() -> None:
    workload = JetStream.model_validate(
        {"name": "w", "stream": "S", "consumers": [{"durable": "C1", "clients": 2}]}
    )
    crew = members(*workload.clients(0, nowhere, Phases()))
    consumers = crew["w-consumers"]
    assert missing_probes(list(crew.values())) == [
        "w-consumer-1 heard nothing of w-publisher-1",
        "w-consumer-2 heard nothing of w-publisher-1",
    ]
    consumers.confirmed = {1: frozenset({0}), 2: frozenset({0})}
    assert missing_probes(list(crew.values())) == []
    consumers.drained = {1: frozenset({0})}
    assert not traffic_accounted(list(crew.values()), since_ns=0)
    consumers.drained[2] = frozenset({0})
    assert traffic_accounted(list(crew.values()), since_ns=0)


def test_publishers_to_a_stream_without_consumers_have_nothing_to_drain() -> None:
    workload = JetStream.model_validate({"name": "w", "stream": "S"})
    crew = list(members(*workload.clients(0, nowhere, Phases())).values())
    assert traffic_accounted(crew, since_ns=0)
