from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from fake_nodes import Events
from fake_processes import FakeClock, FakeCpu, FakeProcessNode
from fake_strikes import injection_on, strike_on, strike_with

from harness.errors import FaultError
from harness.faults import FAULTS
from harness.faults.base import Fault
from harness.injection import Claim
from harness.scenario.sites import NOWHERE

pytestmark = pytest.mark.anyio


class FakeCluster:
    def __init__(self, *nodes: FakeProcessNode) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.record = Events()
        self.sites = NOWHERE


def make_skew(skew: str = "1h", **fields: Any) -> Fault:
    step = {"name": "f", "action": "clock-skew", "skew": skew, **fields}
    return FAULTS["clock-skew"].model_validate(step)


def make_limit(cpus: object = "10%", **fields: Any) -> Fault:
    step = {"name": "f", "action": "cpu-limit", "cpus": cpus, **fields}
    return FAULTS["cpu-limit"].model_validate(step)


def nodes_with(
    clock: FakeClock | None = None, cpu: FakeCpu | None = None
) -> tuple[FakeProcessNode, FakeProcessNode, FakeCluster]:
    struck = FakeProcessNode("n1", [], clock=clock or FakeClock(), cpu=cpu or FakeCpu())
    other = FakeProcessNode("n2", [])
    return struck, other, FakeCluster(struck, other)


async def use(
    fault: Fault,
    cluster: FakeCluster,
    meanwhile: Callable[[], None] = lambda: None,
    hold_s: float = 0.0,
) -> None:
    strike = strike_on([cluster.nodes["n1"]], fault.action, cluster.record)
    async with strike_with(fault, strike, cluster):
        meanwhile()
        for look in strike.looks:
            await look.take()
        await anyio.sleep(hold_s)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.faults.clock_skew.LOOK_S", 0.0)
    monkeypatch.setattr("harness.faults.cpu_limit.LOOK_S", 0.001)


async def test_a_skew_is_proven_by_what_the_servers_tell_before_during_and_after() -> None:
    struck, other, cluster = nodes_with()
    await use(make_skew("-2h"), cluster)
    (effect,), (held,) = cluster.record.proofs("effect"), cluster.record.proofs("held")
    assert effect.startswith("n1: by its own account 7200 s behind, give or take 500 us")
    assert effect.endswith("stopped for 3 ms to make it so; 1 other server not touched")
    assert held == "n1: still 7200 s behind, give or take 500 us"
    assert cluster.record.proofs("undo") == ["n1: right again (0 s ahead, give or take 500 us)"]
    assert (struck.clock.ahead_s, other.clock.ahead_s) == (0.0, 0.0)
    hit = cluster.record.facts[cluster.record.kinds.index("fault.hit")]
    assert (hit["groups"], hit["burdens"], hit["silent"]) == ([], True, False)


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        (FakeClock(does_nothing=True), "effect: the clock of n1 is 0 s ahead.*expected 1h ahead"),
        (FakeClock(never_returns=True), "undo: the clock of n1 is 3600 s ahead.*expected right"),
        (FakeClock(ahead_s=30.0), "before: the clock of n1 is 30 s ahead.*expected right"),
        (FakeClock(vague_s=1000.0), "before: n1 takes too long to tell its time"),
        (FakeClock(silent=True), "does not tell its time"),
        (FakeClock(replaced=True), "the process of n1 that was given the skew has ended"),
    ],
    ids=["does-nothing", "never-returns", "wrong-before", "vague", "silent", "replaced"],
)
async def test_a_skew_that_is_not_what_was_asked_is_not_proven(clock: FakeClock, said: str) -> None:
    _, _, cluster = nodes_with(clock)
    with pytest.raises(FaultError, match=said):
        await use(make_skew(), cluster)
    assert not (cluster.record.proofs("effect") and cluster.record.proofs("undo"))


async def test_a_skew_of_another_server_as_well_is_found() -> None:
    struck, other, cluster = nodes_with()
    struck.clock.on_skew = lambda: setattr(other.clock, "ahead_s", 3600.0)
    with pytest.raises(FaultError, match=r"the clock of n2 is 3600 s ahead.* as well"):
        await use(make_skew(), cluster)
    assert struck.clock.ahead_s == 0.0


async def test_a_skew_of_another_server_that_was_asked_for_is_none_of_this_fault() -> None:
    _, other, cluster = nodes_with()
    other.clock.asked_s = other.clock.ahead_s = -30.0
    await use(make_skew(), cluster)
    assert cluster.record.proofs("undo")


async def test_a_server_that_does_not_answer_is_not_counted_as_untouched() -> None:
    _, other, cluster = nodes_with()
    other.clock.silent = True
    await use(make_skew(), cluster)
    assert cluster.record.proofs("effect")[0].endswith("0 other servers not touched")


async def test_a_skew_that_ends_half_way_is_seen_just_before_the_heal() -> None:
    struck, _, cluster = nodes_with()
    with pytest.raises(FaultError, match="held: the clock of n1 is 0 s ahead"):
        await use(make_skew(), cluster, lambda: setattr(struck.clock, "ahead_s", 0.0))


async def test_an_aborted_hold_of_a_skew_is_undone() -> None:
    struck, _, cluster = nodes_with()
    with anyio.move_on_after(0.02):
        await use(make_skew(), cluster, hold_s=60)
    assert struck.clock.ahead_s == 0.0
    assert cluster.record.proofs("undo")


@pytest.mark.parametrize("mechanism", ["stop-and-go", "cgroup v1", "cgroup v2"])
async def test_a_limit_is_proven_by_what_the_kernel_tells(mechanism: str) -> None:
    struck, _, cluster = nodes_with(cpu=FakeCpu(mechanism, used=0.05))
    await use(make_limit(), cluster)
    (effect,), (held,) = cluster.record.proofs("effect"), cluster.record.proofs("held")
    seen = {"stop-and-go": "stopped in 90% of 100 looks"}
    quota = "quota 10% of a CPU, held back in 2 of 6 periods"
    expected = f"limited by {mechanism}: {seen.get(mechanism, quota)}, used 5.0% of a CPU"
    assert effect == f"n1: {expected}"
    assert held == f"n1: still {expected}"
    assert cluster.record.proofs("undo") == ["n1: no limit, stopped in none of 100 looks"]
    assert struck.cpu.cpus is None


@pytest.mark.parametrize(
    ("cpu", "said"),
    [
        (FakeCpu(stopped_share=0.0), "effect: .* stopped in 0% of 100 looks, expected 90%"),
        (FakeCpu(stopped_share=1.0), "effect: .* stopped in 100% of 100 looks"),
        (FakeCpu(stopped_share=0.7), "effect: .* stopped in 70% of 100 looks"),
        (FakeCpu("cgroup v1", in_group=False), "effect: .* not in a group of cgroup v1"),
        (FakeCpu("cgroup v2", quota=0.5), "effect: .* its group lets it use 50.0% of a CPU"),
        (FakeCpu("cgroup v1", used=40.0), "effect: .* it used 4000.0% of a CPU"),
        (FakeCpu(used=40.0), "effect: .* it used 4000.0% of a CPU by stop-and-go"),
        (FakeCpu(unlimited_when_looked_at=2), "effect: .* nothing limits it"),
        (FakeCpu(unlimited_when_looked_at=3), "held: .* nothing limits it"),
        (FakeCpu(never_lifts=True), "undo: .* stop-and-go limits it"),
        (FakeCpu(cpus=0.5), "before: .* stop-and-go limits it"),
    ],
)
async def test_a_limit_that_is_not_what_was_asked_is_not_proven(cpu: FakeCpu, said: str) -> None:
    _, _, cluster = nodes_with(cpu=cpu)
    with pytest.raises(FaultError, match=said):
        await use(make_limit(), cluster)
    assert not (cluster.record.proofs("held") and cluster.record.proofs("undo"))


@pytest.mark.parametrize("mechanism", ["cgroup v1", "cgroup v2"])
async def test_a_group_that_held_nothing_back_is_not_proven(mechanism: str) -> None:
    _, _, cluster = nodes_with(cpu=FakeCpu(mechanism, throttled_when_looked_at=None))
    said = "n1 was held back in none of 6 periods: it wanted less than 10% of a CPU"
    with pytest.raises(FaultError, match=said):
        await use(make_limit(), cluster)
    assert cluster.record.proofs("effect")
    assert not cluster.record.proofs("held")
    assert cluster.record.proofs("undo")


async def test_it_is_enough_that_a_group_holds_it_back_by_the_time_of_the_heal() -> None:
    _, _, cluster = nodes_with(cpu=FakeCpu("cgroup v2", throttled_when_looked_at=3))
    await use(make_limit(), cluster)
    (effect,), (held,) = cluster.record.proofs("effect"), cluster.record.proofs("held")
    assert "held back in 0 of 6 periods" in effect
    assert "held back in 2 of 6 periods" in held


async def test_an_aborted_hold_of_a_limit_is_undone() -> None:
    struck, _, cluster = nodes_with()
    with anyio.move_on_after(0.05):
        await use(make_limit(), cluster, hold_s=60)
    assert struck.cpu.cpus is None
    assert cluster.record.proofs("undo")


@pytest.mark.parametrize("fault", [make_skew(), make_limit()], ids=lambda fault: fault.action)
async def test_a_node_that_does_not_run_is_not_struck(fault: Fault) -> None:
    struck, _, cluster = nodes_with()
    struck.running = False
    with pytest.raises(FaultError, match="n1 is not running"):
        await use(fault, cluster)
    assert cluster.record.kinds == []


@pytest.mark.parametrize("fault", [make_skew(), make_limit()], ids=lambda fault: fault.action)
async def test_a_node_is_not_paused_meanwhile(fault: Fault) -> None:
    _, _, cluster = nodes_with()
    claims: dict[str, Claim] = {}
    late = {"name": "late", "action": "pause", "target": "n1", "at": "20ms", "duration": "1ms"}
    pause = FAULTS["pause"].model_validate(late)
    held = fault.model_copy(update={"duration": 0.2})
    async with anyio.create_task_group() as group:
        for one in (held, pause):
            group.start_soon(injection_on(cluster, one, claims=claims).run)
    failures = [fact["message"] for fact in cluster.record.facts if "message" in fact]
    assert failures == ["n1 is under the fault f already; neither could be proven"]
    assert cluster.record.proofs("undo")


@pytest.mark.parametrize("skew", ["0s", "-99ms", "50ms", "8761h", "30", "ahead"])
def test_a_skew_that_cannot_be_proven_or_read_is_refused(skew: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        make_skew(skew)


@pytest.mark.parametrize(
    "cpus", ["0%", "4.9%", "81%", "100%", "0.1", 0.04, 0.9, 1, 2, 0, -0.1, float("nan"), True, None]
)
def test_a_limit_that_cannot_be_proven_or_read_is_refused(cpus: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        make_limit(cpus)
