from __future__ import annotations

from typing import Any

import anyio
import pytest
from fake_nodes import Events, FakeNode
from fake_strikes import injection_on

from harness.errors import ServerError
from harness.faults import FAULTS
from harness.injection import Claim, Injection
from harness.scenario.sites import NOWHERE

pytestmark = pytest.mark.anyio


class FakeCluster:
    sites = NOWHERE

    def __init__(self, *nodes: FakeNode) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.record = Events()


def injection(cluster: FakeCluster, claims: dict[str, Claim], **fields: Any) -> Injection:
    fault = FAULTS[fields["action"]].model_validate(fields)
    return injection_on(cluster, fault, claims=claims)


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


async def test_a_fault_says_how_long_it_is_to_be_held_and_how_late_it_began() -> None:
    cluster = FakeCluster(FakeNode("n1", []))
    await injection(cluster, {}, name="k", action="kill", target="n1", duration="1ms").run()
    said = dict(zip(cluster.record.kinds, cluster.record.facts, strict=True))
    assert said["fault.injected"]["hold_s"] == 0.001
    assert 0 <= said["fault.inject_started"]["behind_s"] < 1
    cluster = FakeCluster(FakeNode("n1", []))
    await injection(cluster, {}, name="r", action="restart", target="n1").run()
    said = dict(zip(cluster.record.kinds, cluster.record.facts, strict=True))
    assert "hold_s" not in said["fault.injected"]


async def test_a_node_is_under_one_fault_at_a_time_else_neither_could_be_proven() -> None:
    cluster = FakeCluster(FakeNode("n1", []), FakeNode("n2", []))
    claims: dict[str, Claim] = {}
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


class Slow(FakeNode):
    """It is healthy again once `well` is set."""

    well: anyio.Event

    async def wait_healthy(self, limit_s: float) -> None:
        await self.well.wait()
        await super().wait_healthy(limit_s)


def slow(name: str) -> Slow:
    node = Slow(name, [])
    node.well = anyio.Event()
    return node


def begun(cluster: FakeCluster, fault: str) -> dict[str, Any]:
    record = cluster.record
    (index,) = [
        place
        for place, (kind, facts) in enumerate(zip(record.kinds, record.facts, strict=True))
        if kind == "fault.inject_started" and facts["fault"] == fault
    ]
    return {"at_ns": record.at_ns[index], **record.facts[index]}


async def both(cluster: FakeCluster, *steps: dict[str, Any]) -> None:
    """Run the steps at once; the first node is well again only after a while."""
    claims: dict[str, Claim] = {}
    async with anyio.create_task_group() as group:
        for fields in steps:
            group.start_soon(injection(cluster, claims, **fields).run)
        await anyio.sleep(0.15)
        for node in cluster.nodes.values():
            if isinstance(node, Slow):
                node.well.set()
    assert claims == {}


FIRST = {"name": "first", "action": "kill", "target": "n1", "duration": "10ms"}
NEXT = {"name": "next", "action": "kill", "target": "n1", "at": "50ms", "duration": "20ms"}


async def test_a_fault_waits_for_one_that_is_still_healing_and_says_how_late_it_is() -> None:
    cluster = FakeCluster(slow("n1"))
    await both(cluster, FIRST, NEXT)
    assert failures(cluster) == []
    facts = begun(cluster, "next")
    assert facts["waited_for"] == ["first"]
    assert facts["late_s"] >= 0.05
    kinds = [kind for kind in cluster.record.kinds if kind != "fault.observed"]
    assert kinds == 2 * [
        "fault.inject_started",
        "fault.hit",
        "fault.injected",
        "fault.heal_started",
        "fault.healed",
    ]
    times = dict(zip(cluster.record.kinds, cluster.record.at_ns, strict=True))  # the last of each
    assert times["fault.heal_started"] - times["fault.injected"] >= 20e6
    assert "late_s" not in begun(cluster, "first")


async def test_each_of_several_that_waited_has_the_node_for_itself() -> None:
    cluster = FakeCluster(slow("n1"))
    last = {**NEXT, "name": "last", "at": "90ms"}
    await both(cluster, FIRST, NEXT, last)
    assert failures(cluster) == []
    assert begun(cluster, "last")["waited_for"] == ["first", "next"]


async def test_a_fault_that_waits_strikes_whom_it_would_have_struck_in_time() -> None:
    struck = []
    for nodes in ([FakeNode("n1", []), FakeNode("n2", [])], [slow("n1"), slow("n2")]):
        cluster = FakeCluster(*nodes)
        everybody = {**FIRST, "target": "all"}
        await both(cluster, everybody, {**NEXT, "target": "one"})
        assert failures(cluster) == []
        struck.append(begun(cluster, "next")["targets"])
    assert struck[0] == struck[1]


async def test_a_heal_that_takes_too_long_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.injection.HEAL_WAIT_S", 0.03)
    cluster = FakeCluster(slow("n1"))
    await both(cluster, FIRST, NEXT)
    (failure,) = failures(cluster)
    assert failure.startswith("next (effect): n1 is under the fault first already")


async def test_a_fault_that_is_to_hold_on_is_not_waited_for() -> None:
    cluster = FakeCluster(slow("n1"))
    await both(cluster, {**FIRST, "duration": "1s"}, NEXT)
    (failure,) = failures(cluster)
    assert failure.startswith("next (effect): n1 is under the fault first already")


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


async def test_the_last_look_does_not_put_off_the_heal() -> None:
    cluster = FakeCluster(FakeNode("n1", []))
    step = {"name": "p", "action": "pause", "target": "n1", "duration": "600ms"}
    await injection(cluster, {}, **step).run()
    kinds = cluster.record.kinds
    order = ["fault.injected", "fault.observed", "fault.heal_started"]
    assert [kind for kind in kinds if kind in order][1:4] == order
    assert cluster.record.facts[kinds.index("fault.injected")]["watched"] is True
    held_ns, heal_ns = (
        cluster.record.at_ns[kinds.index(kind, kinds.index("fault.injected"))]
        - cluster.record.at_ns[kinds.index("fault.injected")]
        for kind in ("fault.observed", "fault.heal_started")
    )
    assert held_ns < 600e6 <= heal_ns


async def test_an_effect_that_went_away_is_recorded_and_still_undone_at_its_time() -> None:
    class Restless(FakeNode):
        async def pause(self, limit_s: float) -> None:
            await super().pause(limit_s)
            self.looks = 0

        async def responds(self, limit_s: float) -> bool:
            self.looks += 1
            return self.looks > 1

    cluster = FakeCluster(Restless("n1", []))
    await injection(cluster, {}, name="p", action="pause", target="n1", duration="1ms").run()
    assert failures(cluster) == ["p (held): n1 answers again after SIGSTOP"]
    assert cluster.record.kinds[-3:] == ["fault.heal_started", "fault.observed", "fault.healed"]
