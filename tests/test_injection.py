from __future__ import annotations

from random import Random
from typing import Any

import anyio
import pytest
from fake_nodes import Events, FakeNode

from harness.clock import now_ns
from harness.errors import ServerError
from harness.faults import FAULTS
from harness.injection import Injection

pytestmark = pytest.mark.anyio


class FakeCluster:
    def __init__(self, *nodes: FakeNode) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.record = Events()


def nobody(workload: str, role: str | None) -> frozenset[str]:
    return frozenset()


def injection(cluster: FakeCluster, claims: dict[str, str], **fields: Any) -> Injection:
    fault = FAULTS[fields["action"]].model_validate(fields)
    return Injection(fault, cluster, nobody, Random(1), now_ns(), None, claims)  # type: ignore[arg-type]


def failures(cluster: FakeCluster) -> list[str]:
    record = cluster.record
    return [
        f"{facts['fault']} ({facts['edge']}): {facts['message']}"
        for kind, facts in zip(record.kinds, record.facts, strict=True)
        if kind == "fault.failed"
    ]


async def test_a_fault_goes_through_all_its_edges() -> None:
    cluster = FakeCluster(FakeNode("n1", []))
    await injection(cluster, {}, name="k", action="kill", target="n1", duration="1ms").run()
    assert [kind for kind in cluster.record.kinds if kind != "fault.observed"] == [
        "fault.inject_started",
        "fault.hit",
        "fault.injected",
        "fault.heal_started",
        "fault.healed",
    ]


async def test_a_node_is_under_one_fault_at_a_time_else_neither_could_be_proven() -> None:
    cluster = FakeCluster(FakeNode("n1", []), FakeNode("n2", []))
    claims: dict[str, str] = {}
    async with anyio.create_task_group() as group:
        for fields in (
            {"name": "freeze", "action": "pause", "target": "n1", "duration": "50ms"},
            {"name": "late", "action": "kill", "target": "n1", "at": "10ms", "duration": "1ms"},
            {"name": "other", "action": "kill", "target": "n2", "at": "10ms", "duration": "1ms"},
        ):
            group.start_soon(injection(cluster, claims, **fields).run)
    (failure,) = failures(cluster)
    assert failure.startswith("late (effect): n1 is under the fault freeze already")
    assert claims == {}
    await injection(cluster, claims, name="after", action="kill", target="n1", duration="1ms").run()
    assert len(failures(cluster)) == 1


async def test_a_target_that_matches_nobody_is_recorded() -> None:
    cluster = FakeCluster(FakeNode("n1", []))
    step = {"name": "k", "action": "kill", "target": "attached:hello", "duration": "1ms"}
    await injection(cluster, {}, **step).run()
    assert failures(cluster) == ["k (effect): target 'attached:hello' matches no node"]


async def test_a_server_that_does_not_come_back_is_a_failed_undo_not_the_end_of_the_run() -> None:
    class Sick(FakeNode):
        async def wait_healthy(self, limit_s: float) -> None:
            raise ServerError(f"{self.name} is not healthy after {limit_s:g} s")

    cluster = FakeCluster(Sick("n1", []))
    await injection(cluster, {}, name="k", action="kill", target="n1", duration="1ms").run()
    assert failures(cluster) == ["k (undo): n1 is not healthy after 10 s"]
