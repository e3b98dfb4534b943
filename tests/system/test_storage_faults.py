"""Faults of the store against real servers: what was acknowledged, and what is left of it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fake_nodes import Events
from jetstream import JetStreamClient, jetstream_client

from harness.backends.disk.device import keep_mounts_apart
from harness.backends.disk.server_disk import ServerDisk
from harness.backends.local import LocalBackend
from harness.backends.server_cluster import ServerCluster
from harness.clock import now_ns, to_ns
from harness.errors import FaultError, HarnessError
from harness.faults import FAULTS
from harness.faults.base import Strike
from harness.scenario.model import ClusterSpec

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

FORM_LIMIT_S = 60.0
MESSAGES = 1000
ALL = ("n1", "n2", "n3")
METHODS = ["shadow", pytest.param("device", marks=pytest.mark.device)]


@dataclass
class Stage:
    cluster: ServerCluster
    events: Events

    async def use(
        self,
        action: str,
        targets: tuple[str, ...],
        meanwhile: Callable[[], Awaitable[None]],
        **keys: Any,
    ) -> None:
        """Have a fault strike, and look at it once more before it is undone."""
        fault = FAULTS[action].model_validate({"name": "f", "action": action, **keys})
        nodes = tuple(self.cluster.nodes[name] for name in targets)
        due_ns = now_ns() + to_ns(fault.lead_s)
        strike = Strike("f", action, nodes, self.events, due_ns=due_ns)
        async with fault.active(self.cluster, strike):
            await meanwhile()
            for look in strike.looks:
                await look.take()

    @asynccontextmanager
    async def client(self, node: str = "n1") -> AsyncIterator[JetStreamClient]:
        async with jetstream_client(self.cluster.nodes[node].endpoints.client) as client:
            yield client

    async def leader(self, name: str) -> str:
        async with self.client() as client:
            told = await client.request(f"$JS.API.STREAM.INFO.{name}", b"")
        return str(told["cluster"]["leader"])


@asynccontextmanager
async def stage(
    folder: Path, sync: str | None = None, *, method: str = "shadow", watched: bool = True
) -> AsyncIterator[Stage]:
    on_devices: tuple[str, ...] = ()
    if method == "device":
        keep_mounts_apart()
        on_devices = ALL
    jetstream: Any = True if sync is None else {"sync_interval": sync}
    spec = ClusterSpec.model_validate({"servers": 3, "jetstream": jetstream})
    events = Events()
    async with LocalBackend().cluster(
        spec,
        groups=["g"],
        folder=folder,
        record=events,
        watched=spec.nodes if watched else (),
        on_devices=on_devices,
    ) as cluster:
        await cluster.form(FORM_LIMIT_S)
        yield Stage(cluster, events)


async def nothing() -> None:
    return


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sync", [None, "always"])
async def test_a_power_loss_of_all_loses_what_was_not_synced_and_only_that(
    sync: str | None, method: str, tmp_path: Path
) -> None:
    async with stage(tmp_path, sync, method=method, watched=method == "shadow") as on:
        async with on.client() as client:
            await client.make_stream("S")
            acked = await client.publish("S", range(MESSAGES))
        assert len(acked) == MESSAGES
        await on.use("power-loss", ALL, nothing, method=method)
        async with on.client() as client:
            left = await client.read("S")
    effects = on.events.proofs("effect")
    assert len(effects) == len(on.events.proofs("held")) == len(on.events.proofs("undo")) == 3
    assert all("exited by signal 9; not synced and dropped: " in one for one in effects)
    assert all(one.endswith(f" (by {method})") for one in effects)
    lost = acked - left
    assert lost == (acked if sync is None else set())


@pytest.mark.parametrize("method", METHODS)
async def test_a_second_power_loss_right_after_the_first_drops_little_and_says_so(
    method: str, tmp_path: Path
) -> None:
    async with stage(tmp_path, "always", method=method) as on:
        await on.use("power-loss", ("n2",), nothing, method=method)
        await on.use("power-loss", ("n2",), nothing, method=method)
        async with on.client("n2") as client:
            await client.make_stream("S")
            assert await client.publish("S", range(10)) == set(range(10))
    assert len(on.events.proofs("undo")) == 2


@pytest.mark.device
async def test_what_the_harness_puts_in_place_of_a_store_outlives_a_cut_of_its_device(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, method="device") as on:
        async with on.client() as client:
            await client.make_stream("S")
            acked = await client.publish("S", range(100))
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: on.use("rollback", ("n3",), nothing, back="2s"))
                while not on.events.proofs("effect"):
                    acked |= await client.publish("S", range(len(acked), len(acked) + 20))
                    await anyio.sleep(0.05)
        disk = on.cluster.nodes["n3"].disk
        for method in ("shadow", "device", "shadow"):
            await on.use("power-loss", ("n3",), nothing, method=method)
        await on.cluster.nodes["n3"].kill(5.0)
        await disk.lose_unsynced(5.0)
        assert (await disk.cut_power(5.0)).files == 0
        await on.cluster.nodes["n3"].start()
        await on.cluster.nodes["n3"].wait_healthy(FORM_LIMIT_S)
        async with on.client() as client:
            assert await client.read("S") >= acked
    effects = on.events.proofs("effect")
    assert [one.rpartition("(by ")[2] for one in effects[1:]] == ["shadow)", "device)", "shadow)"]


async def test_a_store_without_a_device_of_its_own_has_no_power_to_cut(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        with pytest.raises(FaultError, match="n1 runs, and its store is its own"):
            await on.cluster.nodes["n1"].disk.cut_power(5.0)
        with pytest.raises(FaultError, match="n3 was not started with its store on a device of"):
            await on.use("power-loss", ("n3",), nothing, method="device")


async def test_a_rolled_back_server_forgets_and_is_caught_up_by_the_others(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, on.client("n1") as client:
        await client.make_stream("S")
        acked = await client.publish("S", range(100))
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: on.use("rollback", ("n3",), nothing, back="2s"))
            while not on.events.proofs("effect"):
                acked |= await client.publish("S", range(len(acked), len(acked) + 20))
                await anyio.sleep(0.05)
        assert await client.read("S") >= acked
    (effect,) = on.events.proofs("effect")
    assert "exited by signal 9" in effect
    assert "forgotten; stood still for" in effect
    assert len(on.events.proofs("undo")) == 1


async def test_a_rollback_while_another_is_away_lets_a_majority_forget(tmp_path: Path) -> None:
    """What upstream #7567 tells of: one that forgot and one that never knew elect each other."""
    async with stage(tmp_path) as on:
        async with on.client("n1") as client:
            await client.make_stream("S")
            known = await client.publish("S", range(50))
            assert len(known) == 50
        forgets, sleeps = [name for name in ALL if name != await on.leader("S")]
        leader = on.cluster.nodes[next(one for one in ALL if one not in (forgets, sleeps))]
        asleep = on.cluster.nodes[sleeps]
        await asleep.kill(10.0)  # it never hears of what comes now
        acked: set[int] = set()

        async def go_on() -> None:
            async with on.client(leader.name) as client:
                while leader.running:
                    first = 1000 + len(acked)
                    acked.update(await client.publish("S", range(first, first + 20)))
                    await anyio.sleep(0.1)

        async def exchange() -> None:
            await leader.kill(10.0)  # the only one left that knows
            group.cancel_scope.cancel()
            await asleep.start()

        async with anyio.create_task_group() as group:
            group.start_soon(go_on)
            with anyio.CancelScope(shield=True):
                await on.use("rollback", (forgets,), exchange, back="3s")
        assert acked
        async with on.client(forgets) as client:
            left = await client.read("S")
            assert left >= known
            assert acked - left, "a majority that forgot did not forget"
        await leader.start()


async def test_a_full_disk_is_proven_by_refused_calls_and_has_room_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        async with on.client() as client:
            await client.make_stream("S")
            acked = await client.publish("S", range(100))
        leader = await on.leader("S")
        others = [name for name in ALL if name != leader]

        async def publish() -> None:
            async with on.client(others[0]) as client:
                acked.update(await client.publish("S", range(100, 140), at_once=4))

        await on.use("disk-full", (others[1],), publish)
        seen = await on.cluster.nodes[others[1]].disk.look(5.0)
        assert seen.refused > 0
        async with on.client(others[0]) as client:
            assert await client.read("S") >= acked
    (held,), (undo,) = on.events.proofs("held"), on.events.proofs("undo")
    assert "refused with ENOSPC so far" in held
    assert f"room again: {seen.refused} call" in undo


@pytest.mark.parametrize("action", ["disk-full", "slow-disk"])
async def test_a_fault_of_a_disk_that_nobody_uses_is_not_proven(
    action: str, tmp_path: Path
) -> None:
    keys = {"delay": "10ms"} if action == "slow-disk" else {}
    async with stage(tmp_path) as on:
        await anyio.sleep(1.0)  # what the first election wrote is over
        with pytest.raises(FaultError, match="while"):
            await on.use(action, ("n3",), nothing, **keys)
    assert on.events.proofs("undo")


async def test_a_slow_disk_is_proven_by_how_long_calls_took(tmp_path: Path) -> None:
    async with stage(tmp_path, "always") as on, on.client() as client:
        await client.make_stream("S")

        async def publish() -> None:
            assert len(await client.publish("S", range(40), at_once=8)) == 40

        await on.use("slow-disk", ALL, publish, delay="30ms", calls="syncs")
        (seen, *_) = [await node.disk.look(5.0) for node in on.cluster.nodes.values()]
    assert len(on.events.proofs("undo")) == 3
    assert all("calls delayed, by 3" in one for one in on.events.proofs("held"))
    assert seen.delayed > 0


async def test_a_server_whose_calls_nobody_answers_any_more_ends_the_run(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        disk = on.cluster.nodes["n2"].disk
        assert isinstance(disk, ServerDisk)
        holder = disk._holder
        assert holder is not None
        os.kill(holder.pid, signal.SIGKILL)
        with anyio.fail_after(FORM_LIMIT_S), pytest.raises(HarnessError) as caught:
            await on.cluster.watch()
    assert "what answers the calls of n2 ended" in str(caught.value)


async def test_an_order_that_was_broken_off_does_not_mix_up_the_next_ones(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        disk = on.cluster.nodes["n1"].disk
        before = await disk.look(5.0)
        assert before.refused == 0
        for _ in range(20):
            async with anyio.create_task_group() as group:
                group.start_soon(disk.look, 5.0)
                await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
        with pytest.raises(FaultError, match="n1 did not fill within 0 s"):
            await disk.fill(0.0)
        assert (await disk.slow(5.0, ["syncs"], 5.0)).median_delay_s is None
        assert (await disk.free(5.0)).syncs >= before.syncs
        await disk.quicken(5.0)


async def test_a_server_that_is_not_watched_has_no_disk_to_fault(tmp_path: Path) -> None:
    spec = ClusterSpec.model_validate({"servers": 1, "jetstream": True})
    async with LocalBackend().cluster(
        spec, groups=["g"], folder=tmp_path, record=Events()
    ) as cluster:
        await cluster.form(FORM_LIMIT_S)
        with pytest.raises(FaultError, match="n1 was not started so that"):
            await cluster.nodes["n1"].disk.look(5.0)
        with pytest.raises(FaultError, match="n1 runs, and its store is its own"):
            await cluster.nodes["n1"].disk.put_back(5.0)
