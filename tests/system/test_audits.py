"""Every replica is read message by message, of real servers, healthy and damaged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import pytest

from harness.audit import Audit
from harness.backends.local import LocalBackend
from harness.backends.server_cluster import ServerCluster
from harness.cluster.config import system_login
from harness.errors import UsageError
from harness.history.columns import read_columns
from harness.load.observing import Logins, Observer, observer
from harness.load.payload import PayloadMaker
from harness.provision import provided
from harness.scenario.load import load
from harness.scenario.model import Scenario
from harness.vocabulary import VOCABULARY

pytestmark = pytest.mark.anyio

RUN = 7
SCENARIO = """
name: audited
cluster: {{servers: {servers}, jetstream: true}}
streams: [{{name: S, subjects: [s], replicas: {replicas}{more}}}]
workloads: [{{name: hello, kind: core, rate: 1/s}}]
"""


@dataclass
class Stage:
    scenario: Scenario
    cluster: ServerCluster
    observer: Observer
    folder: Path
    events: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["kind"] == kind]

    def rows(self, event: dict[str, Any]) -> Any:
        columns = read_columns(self.folder / event["file"])
        assert columns.complete, columns.problem
        return columns.tables["stored"]

    async def publish(self, count: int, size: int = 64, first: int = 0) -> None:
        address = next(iter(self.cluster.nodes.values())).endpoints.client
        client = await nats.connect(f"nats://{address}")
        stream = client.jetstream(timeout=20)
        maker = PayloadMaker(RUN, 3, size)
        try:
            for at in range(first, first + count, 250):
                batch = maker.batch(at, [0] * min(250, first + count - at))
                waiting = [
                    stream.publish("s", one, headers={"Nats-Msg-Id": str(at + index)})
                    for index, one in enumerate(batch)
                ]
                await asyncio.gather(*waiting)
        finally:
            await client.close()

    async def audit(self) -> None:
        await Audit(self.scenario, self.cluster, self.observer, self.folder, RUN).conduct()


@asynccontextmanager
async def stage(folder: Path, servers: int, replicas: int, more: str = "") -> AsyncIterator[Stage]:
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO.format(servers=servers, replicas=replicas, more=more))
    scenario = load(path, VOCABULARY).scenario
    events: list[dict[str, Any]] = []

    def record(kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        events.append({"kind": kind, "at_ns": at_ns, **facts})

    login = system_login(scenario.cluster)
    assert login is not None
    logins = Logins(None, (login.user, login.password.get_secret_value()))
    messages = folder / "messages"
    messages.mkdir()
    async with (
        LocalBackend().cluster(
            scenario.cluster, groups=("observer",), folder=folder / "servers", record=record
        ) as cluster,
        observer(cluster, logins, folder / "observer.log") as found,
    ):
        cluster.lend(found)
        await cluster.form(30.0)
        async with provided(scenario, cluster, found):
            yield Stage(scenario, cluster, found, messages, events)


@pytest.mark.parametrize("replicas", [1, 3])
async def test_each_replica_is_read_as_leader(tmp_path: Path, replicas: int) -> None:
    async with stage(tmp_path, 3, replicas) as on:
        await on.publish(1_500)
        await on.audit()
        reads = on.of("audit.read")
        assert len({one["node"] for one in reads}) == len(reads) == replicas
        for one in reads:
            facts = (one["rows"], one["led"], one["first_seq"], one["last_seq"])
            assert facts == (1_500, True, 1, 1_500)
            assert (one["absent"], one["absent_count"], one["halts"]) == ([], 0, [])
            rows = on.rows(one)
            assert rows["sequence"].tolist() == list(range(1_500))
            assert rows["stream_sequence"].tolist() == list(range(1, 1_501))
            assert set(rows["sender"].tolist()) == {3}
            assert set(rows["integrity"].tolist()) == {0}
        assert not on.of("audit.failed")
        states = on.of("audit.state")
        assert {one["messages"] for one in states} == {1_500}
        assert {one["healthz"]["code"] for one in states} == {200}


async def test_a_server_alone_is_audited_as_well(tmp_path: Path) -> None:
    async with stage(tmp_path, 1, 1) as on:
        await on.publish(300)
        await on.audit()
        (read,) = on.of("audit.read")
        assert (read["rows"], read["led"], read["absent_count"]) == (300, True, 0)


async def test_what_consumers_would_take_away_is_read_by_sequence(tmp_path: Path) -> None:
    async with stage(tmp_path, 3, 3, ", retention: workqueue") as on:
        await on.publish(300)
        await on.audit()
        reads = on.of("audit.read")
        assert [one["rows"] for one in reads] == [300, 300, 300]
        state = (await on.observer.request("$JS.API.STREAM.INFO.S", limit_s=5.0))["state"]
        assert (state["messages"], state["consumer_count"]) == (300, 0)


async def test_messages_that_were_removed_are_confirmed_absent(tmp_path: Path) -> None:
    async with stage(tmp_path, 3, 3) as on:
        await on.publish(500)
        for sequence in (1, 250, 251, 500):
            gone = await on.observer.request(
                "$JS.API.STREAM.MSG.DELETE.S", {"seq": sequence}, limit_s=5.0
            )
            assert gone["success"]
        await on.audit()
        for one in on.of("audit.read"):
            assert (one["rows"], one["absent_count"]) == (496, len(one["absent"]))
            assert {250, 251} <= set(one["absent"])


async def test_damage_in_one_replica_shows_there_though_it_is_called_healthy(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, 3, 3) as on:
        await on.publish(6_000, size=4_000)  # more than two blocks: the last one is mended
        victim = (await on.observer.look(2.0)).followers("S")[0]
        node = on.cluster.nodes[victim]
        node.expect_exit()
        await node.kill(10.0)
        _damage(tmp_path / "servers", victim)
        await node.start()
        await node.wait_healthy(20.0)
        await on.audit()
        reads = {one["node"]: one for one in on.of("audit.read")}
        states = {one["node"]: one for one in on.of("audit.state")}
        assert not on.of("audit.failed")
        assert states[victim]["healthz"] == {"code": 200, "status": "ok"}
        lacking = reads.pop(victim)
        assert {one["rows"] for one in reads.values()} == {6_000}
        assert lacking["led"]
        assert lacking["rows"] == len(on.rows(lacking)["sequence"]) < 6_000
        assert lacking["rows"] + lacking["absent_count"] == 6_000
        held = set(on.rows(lacking)["stream_sequence"].tolist())
        assert not held & set(lacking["absent"])


def _damage(servers: Path, node: str) -> None:
    """Flip a bit in the middle of the first block, and have the server read its blocks anew."""
    folder = next((servers / "jetstream" / node).rglob("streams/S/msgs"))
    blocks = sorted(folder.glob("*.blk"), key=lambda path: int(path.stem))
    assert len(blocks) > 2
    data = bytearray(blocks[0].read_bytes())
    data[len(data) // 2] ^= 1
    blocks[0].write_bytes(data)
    (folder / "index.db").unlink(missing_ok=True)


async def test_a_node_that_is_down_cannot_be_audited_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.quiet.QUIET_LIMIT_S", 1.0)
    async with stage(tmp_path, 3, 3) as on:
        await on.publish(250)
        node = on.cluster.nodes["n2"]
        node.expect_exit()
        await node.stop(10.0)
        await on.audit()
        failed = {one["node"]: one["why"] for one in on.of("audit.failed")}
        assert "n2 is not running" in failed["n2"]
        assert "not quiet" in failed[None]
        assert "n2" not in {one["node"] for one in on.of("audit.read")}


async def test_a_stream_of_which_no_server_knows_any_more_is_gone(tmp_path: Path) -> None:
    async with stage(tmp_path, 3, 3) as on:
        await on.publish(100)
        deleted = await on.observer.request("$JS.API.STREAM.DELETE.S", limit_s=5.0)
        assert deleted["success"]
        await on.audit()
        (gone,) = on.of("audit.gone")
        assert (gone["stream"], gone["node"]) == ("S", None)
        assert {one["code"] for one in gone["healthz"].values()} == {200}
        assert not on.of("audit.failed")
        assert not on.of("audit.read")


async def test_what_a_server_refuses_is_an_error_of_the_scenario(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stream S"):
        async with stage(tmp_path, 1, 1, ", options: {no_such_key: true}"):
            raise AssertionError("the key was taken")
