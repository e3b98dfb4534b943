"""Faults of the store on disks that do what they are told, or fail as planned."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest
from fake_nodes import Events, FakeNode
from fake_strikes import strike_on, strike_with

from harness.clock import now_ns, to_ns
from harness.cluster.disks import Copy, DiskLook, Kind, Loss
from harness.cluster.protocols import Capability, Exit
from harness.errors import FaultError, ServerError
from harness.faults import FAULTS
from harness.faults.base import Fault

pytestmark = pytest.mark.anyio


LOSS = Loss(3, 2048)
UNUSED = DiskLook(0, 0, 0, 0)


@dataclass
class FakeDisk:
    diary: list[str] = field(default_factory=list)
    loss: Loss = LOSS
    now: DiskLook = UNUSED
    refuses: int = 2  # of what is asked for at each look while it is full
    refuses_for_ever: bool = False
    delays: int = 2
    took_s: float | None = None
    delays_for_ever: bool = False
    unseen: bool = False
    keeps_all: bool = False
    late_s: float = 0.0
    full: bool = False
    delay_s: float = 0.0

    async def look(self, limit_s: float) -> DiskLook:
        if self.unseen:
            raise FaultError("the disk of n1 missed what the server did: open")
        refused = self.refuses if self.full or self.refuses_for_ever else 0
        slow = self.delay_s or self.delays_for_ever
        self.now = replace(
            self.now,
            refused=self.now.refused + refused,
            delayed=self.now.delayed + (self.delays if slow else 0),
            median_delay_s=(self.took_s or self.delay_s) if slow else None,
        )
        return self.now

    async def lose_unsynced(self, limit_s: float) -> Loss:
        self.diary.append("lose")
        if self.keeps_all:
            raise FaultError("its calls still come")
        return self.loss

    async def cut_power(self, limit_s: float) -> Loss:
        self.diary.append("cut")
        if self.keeps_all:
            raise FaultError(
                "cutting the power of the device of n1 failed: Device or resource busy"
            )
        return self.loss

    async def fill(self, limit_s: float) -> DiskLook:
        self.full = True
        return self.now

    async def free(self, limit_s: float) -> DiskLook:
        self.full = False
        return self.now

    async def slow(self, delay_s: float, kinds: Collection[Kind], limit_s: float) -> DiskLook:
        self.diary.append(f"slow {','.join(kinds)}")
        self.delay_s = delay_s
        return self.now

    async def quicken(self, limit_s: float) -> DiskLook:
        self.delay_s = 0.0
        return self.now

    async def copy(self, limit_s: float) -> Copy:
        await anyio.sleep(self.late_s)
        self.diary.append("copy")
        return Copy(7, 4096, 0.002)

    async def put_back(self, limit_s: float) -> Loss:
        self.diary.append("put back")
        return self.loss


@dataclass
class DiskNode(FakeNode):
    disk: FakeDisk = field(default_factory=FakeDisk)
    ends_by_itself: bool = False
    unhealthy: bool = False

    async def kill(self, limit_s: float) -> Exit:
        self.disk.diary.append("kill")
        ended = await super().kill(limit_s)
        return replace(ended, returncode=1) if self.ends_by_itself else ended

    async def wait_healthy(self, limit_s: float) -> None:
        if self.unhealthy:
            raise ServerError("n1 is not healthy")
        await super().wait_healthy(limit_s)


KEYS: dict[str, dict[str, Any]] = {
    "power-loss": {},
    "rollback": {"back": "100ms"},
    "disk-full": {},
    "slow-disk": {"delay": "50ms"},
}


def make_fault(action: str, **keys: Any) -> Fault:
    step = {"name": "f", "action": action, **KEYS[action], **keys}
    return FAULTS[action].model_validate(step)


async def use(
    fault: Fault, *nodes: DiskNode, hold_s: float = 0.0, events: Events | None = None
) -> Events:
    """Return the events of a whole use; `events` keeps them for who expects an error."""
    events = Events() if events is None else events
    due_ns = now_ns() + to_ns(fault.lead_s)
    strike = strike_on(nodes, fault.action, events, due_ns=due_ns)
    try:
        async with strike_with(fault, strike):
            for look in strike.looks:
                await look.take()
            await anyio.sleep(hold_s)
    except FaultError as error:
        error.add_note(repr(events.kinds))
        raise
    return events


def node(name: str = "n1", *, disk: FakeDisk | None = None, **fields: Any) -> DiskNode:
    return DiskNode(name, [], disk=disk or FakeDisk(), **fields)


@pytest.mark.parametrize(
    ("keys", "act", "by"),
    [
        ({}, "lose", "shadow"),
        ({"method": "shadow"}, "lose", "shadow"),
        ({"method": "device"}, "cut", "device"),
    ],
)
async def test_a_power_loss_kills_all_before_it_drops_anything(
    keys: dict[str, str], act: str, by: str
) -> None:
    shared: list[str] = []
    nodes = [node(name, disk=FakeDisk(shared)) for name in ("n1", "n2", "n3")]
    events = await use(make_fault("power-loss", **keys), *nodes)
    assert shared == ["kill"] * 3 + [act] * 3
    assert events.kinds[:3] == ["fault.hit"] * 3
    assert sorted(events.proofs("effect")) == [
        f"{one}: exited by signal 9; not synced and dropped: 2KiB in 3 files (by {by})"
        for one in ("n1", "n2", "n3")
    ]
    assert len(events.proofs("held")) == len(events.proofs("undo")) == 3
    assert all(one.running for one in nodes)


@pytest.mark.parametrize(("method", "kept"), [("shadow", "synced"), ("device", "on its disk")])
async def test_a_power_loss_that_dropped_nothing_says_so(method: str, kept: str) -> None:
    fault = make_fault("power-loss", method=method)
    events = await use(fault, node(disk=FakeDisk(loss=Loss(0, 0))))
    (effect,) = events.proofs("effect")
    said = f"exited by signal 9; nothing was dropped, for all was {kept} (by {method})"
    assert effect == f"n1: {said}"


async def test_a_device_needs_no_calls_that_are_followed() -> None:
    await use(make_fault("power-loss", method="device"), node(disk=FakeDisk(unseen=True)))


async def test_a_device_that_cannot_be_cut_is_no_proof_and_its_server_comes_back() -> None:
    stuck = node(disk=FakeDisk(keeps_all=True))
    with pytest.raises(FaultError, match="Device or resource busy"):
        await use(make_fault("power-loss", method="device"), stuck)
    assert stuck.running


def test_what_a_power_loss_needs_goes_by_its_method() -> None:
    for method, wanted in (
        ("auto", Capability.DISK),
        ("shadow", Capability.DISK),
        ("device", Capability.DEVICE),
    ):
        fault = make_fault("power-loss", method=method)
        assert fault.needed == {Capability.KILL, wanted}
        assert fault.cuts_devices is not fault.watches_disk is (method != "device")


async def test_a_rollback_copies_first_and_kills_at_its_time() -> None:
    struck = node()
    events = await use(make_fault("rollback"), struck)
    assert struck.disk.diary == ["copy", "kill", "put back"]
    (effect,) = events.proofs("effect")
    assert effect.startswith("n1: exited by signal 9; 7 files set back by ")
    assert effect.endswith(": 2KiB in 3 files forgotten; stood still for 2 ms to be copied")
    assert len(events.proofs("undo")) == 1


async def test_a_rollback_that_set_nothing_back_is_no_fault() -> None:
    idle = node(disk=FakeDisk(loss=Loss(0, 0)))
    with pytest.raises(FaultError, match="nothing was set back"):
        await use(make_fault("rollback"), idle)
    assert idle.running
    events = await use(make_fault("rollback"), idle, node("n2"))  # one that did is enough
    assert "nothing to forget" in events.proofs("effect")[0]


async def test_a_full_disk_tells_what_was_refused_and_whether_the_server_is_well() -> None:
    events = await use(make_fault("disk-full"), node())
    assert events.proofs("held") == ["n1: 2 calls refused with ENOSPC so far"]
    (undo,) = events.proofs("undo")
    assert undo == "n1: room again: 2 calls refused in all, and none since; healthy"
    assert events.facts[0]["groups"] == []
    events = await use(make_fault("disk-full"), node(unhealthy=True))
    assert "not healthy within 2 s, as long as it is not started again" in events.proofs("undo")[0]


async def test_of_several_full_disks_one_that_was_used_is_enough() -> None:
    idle = node("n2", disk=FakeDisk(refuses=0))
    events = await use(make_fault("disk-full"), node("n1"), idle)
    assert "n2: 0 calls refused with ENOSPC so far" in events.proofs("held")


@pytest.mark.parametrize(
    ("calls", "kinds"),
    [("all", "syncs,writes"), ("syncs", "syncs"), ("writes", "writes")],
)
async def test_a_slow_disk_tells_how_many_calls_and_how_long(calls: str, kinds: str) -> None:
    struck = node()
    events = await use(make_fault("slow-disk", calls=calls), struck)
    assert struck.disk.diary == [f"slow {kinds}"]
    assert events.proofs("held") == ["n1: 2 calls delayed, by 50 ms in the middle so far"]
    assert events.proofs("undo") == ["n1: 2 calls delayed in all, and none since"]


@pytest.mark.parametrize(
    ("action", "fields", "said"),
    [
        ("power-loss", {"ends_by_itself": True}, "n1 exited with code 1, expected signal 9"),
        ("power-loss", {"disk": FakeDisk(keeps_all=True)}, "its calls still come"),
        ("power-loss", {"disk": FakeDisk(unseen=True)}, "missed what the server did"),
        ("power-loss", {"never_healthy": True}, "not healthy"),
        ("rollback", {"ends_by_itself": True}, "n1 exited with code 1, expected signal 9"),
        ("rollback", {"disk": FakeDisk(late_s=0.7)}, "was copied .* late"),
        ("rollback", {"never_healthy": True}, "not healthy"),
        ("disk-full", {"disk": FakeDisk(refuses=0)}, "no call refused"),
        ("disk-full", {"disk": FakeDisk(refuses_for_ever=True)}, "still refused"),
        ("disk-full", {"disk": FakeDisk(unseen=True)}, "missed what the server did"),
        ("slow-disk", {"disk": FakeDisk(delays=0)}, "n1 has ended no all call"),
        ("slow-disk", {"disk": FakeDisk(took_s=0.01)}, "calls of n1 took 10 ms longer, not 0.05 s"),
        ("slow-disk", {"disk": FakeDisk(delays_for_ever=True, took_s=0.1)}, "still delayed"),
        ("slow-disk", {"never_healthy": True}, "not healthy"),
    ],
)
async def test_what_did_not_happen_is_not_proven(
    action: str, fields: dict[str, Any], said: str
) -> None:
    struck, events = node(**fields), Events()
    with pytest.raises(FaultError, match=said):
        await use(make_fault(action), struck, events=events)
    assert not all(events.proofs(edge) for edge in ("effect", "held", "undo"))
    assert struck.running
    assert not struck.disk.full
    assert struck.disk.delay_s == 0.0


@pytest.mark.parametrize("action", KEYS)
async def test_a_node_that_does_not_run_is_not_struck(action: str) -> None:
    with pytest.raises(FaultError, match="n1 is not running"):
        await use(make_fault(action), node(running=False))


@pytest.mark.parametrize("action", KEYS)
async def test_an_aborted_hold_is_undone(action: str) -> None:
    struck = node()
    with anyio.move_on_after(0.6):
        await use(make_fault(action), struck, hold_s=60)
    assert struck.running
    assert not struck.disk.full
    assert struck.disk.delay_s == 0.0


async def test_a_node_that_runs_again_by_itself_was_not_held_down() -> None:
    struck = node()
    strike = strike_on([struck], "power-loss", Events())
    async with strike_with(make_fault("power-loss"), strike):
        struck.running = True
        with pytest.raises(FaultError, match="runs again, though nobody started it"):
            await strike.looks[0].take()
