"""Corrupt: what is damaged, how it is proven, and what comes of it; with real servers, too."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from fake_nodes import Events, FakeNode
from fake_strikes import strike_on, strike_with
from stored import MESSAGES, filled_cluster

from harness.backends.local import LocalBackend
from harness.backends.server_node import ServerNode
from harness.cluster.monitor import Reply
from harness.cluster.store import find, names_no_stream
from harness.errors import FaultError, ServerError
from harness.faults.base import Strike
from harness.faults.corrupt import Corrupt
from harness.scenario.model import ClusterSpec

pytestmark = pytest.mark.anyio
LIMIT_S = 20.0
BLOCK = "jetstream/$G/streams/S/msgs/1.blk"
TEXT = bytes(range(1, 251)) * 100
ENDING = """#!/bin/sh
if [ "$1" = --version ]; then echo "nats-server: v2.99.0"; exit 0; fi
echo "[1] [FTL] {words}" >&2
exit {code}
"""


def corrupt(part: str = "stream-block", **keys: Any) -> Corrupt:
    return Corrupt.model_validate({"name": "f", "action": "corrupt", "part": part, **keys})


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    for number in (1, 2, 3):
        path = tmp_path / BLOCK.replace("1.blk", f"{number}.blk")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(TEXT)
    (tmp_path / BLOCK).with_name("index.db").write_bytes(b"index")
    return FakeNode("n2", [], store=tmp_path)


def make_strike(node: FakeNode, seed: int = 1) -> tuple[Strike, Events]:
    events = Events()
    return strike_on([node], "corrupt", events, seed=seed, random=Random(0)), events


def block(node: FakeNode, name: str = "1.blk") -> Path:
    assert node.store is not None
    return (node.store / BLOCK).with_name(name)


async def test_one_bit_of_the_first_block_is_turned_over_while_the_node_is_down(
    node: FakeNode,
) -> None:
    strike, events = make_strike(node)
    async with strike_with(corrupt(), strike):
        assert not node.running
        found = block(node).read_bytes()
        assert sum((a ^ b).bit_count() for a, b in zip(TEXT, found, strict=True)) == 1
        assert block(node, "2.blk").read_bytes() == TEXT
        assert block(node, "index.db").exists()
        for look in strike.looks:
            await look.take()
    told = events.facts[events.kinds.index("fault.damaged")]
    assert told["file"] == "$G/streams/S/msgs/1.blk"
    assert told["sha256_before"] == hashlib.sha256(TEXT).hexdigest()
    assert told["sha256_after"] == hashlib.sha256(found).hexdigest()
    assert told["sha256_before"] != told["sha256_after"]
    (effect,) = events.proofs("effect")
    assert effect.startswith("n2: exited by signal 9; $G/streams/S/msgs/1.blk: byte ")
    assert events.proofs("held") == ["n2: still down, its files as they were left"]
    assert events.proofs("undo")[0].startswith("n2: started again on its damaged files, healthy")
    assert node.diary == ["n2 kill", "n2 start", "n2 healthy"]


async def test_the_damage_is_there_before_the_node_starts_again(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    strike, _ = make_strike(node)
    seen: list[bytes] = []

    async def start() -> None:
        seen.append(block(node).read_bytes())
        node.running = True

    monkeypatch.setattr(node, "start", start)
    async with strike_with(corrupt(), strike):
        pass
    assert seen != [TEXT]
    assert len(seen) == 1


async def test_a_seed_decides_which_bit(tmp_path: Path) -> None:
    found = []
    for turn, seed in enumerate((1, 1, 2)):
        path = tmp_path / str(turn) / BLOCK
        path.parent.mkdir(parents=True)
        path.write_bytes(TEXT)
        strike, _ = make_strike(FakeNode("n2", [], store=tmp_path / str(turn)), seed)
        async with strike_with(corrupt(), strike):
            found.append(path.read_bytes())
    assert found[0] == found[1] != found[2]


async def test_an_index_goes_with_its_blocks_and_a_stop_is_a_stop(node: FakeNode) -> None:
    strike, events = make_strike(node)
    fault = corrupt(block="last", how="truncate", drop_index=True, down_by="stop")
    async with strike_with(fault, strike):
        assert not block(node, "index.db").exists()
        assert len(block(node, "3.blk").read_bytes()) < len(TEXT)
    assert [fact["how"] for fact in events.facts if "how" in fact] == [
        "SIGTERM",
        "truncate",
        "remove",
    ]
    assert node.diary[0] == "n2 stop"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (corrupt(stream="T"), "n2 has no stream-block of stream T"),
        (corrupt(block=7), "n2 has no stream-block, block 7"),
        (corrupt("stream-snapshot"), "n2 has no stream-snapshot; such files .* down_by: stop"),
        (corrupt("stream-log"), "n2 has no stream-log; only a stream with several replicas"),
        (corrupt("consumer-state", consumer="C"), "n2 has no consumer-state of consumer C"),
        (corrupt(offset=25_000), r"n2: 1\.blk has 25000 bytes, so none at offset 25000"),
    ],
)
async def test_what_finds_no_file_or_changes_nothing_is_no_effect_and_the_node_is_started(
    node: FakeNode, fault: Corrupt, words: str
) -> None:
    strike, events = make_strike(node)
    with pytest.raises(FaultError, match=words):
        async with strike_with(fault, strike):
            pytest.fail("entered")
    assert events.proofs("effect") == []
    assert node.running


async def test_zeros_on_zeros_are_no_damage(node: FakeNode) -> None:
    block(node).write_bytes(bytes(9000))
    strike, events = make_strike(node)
    with pytest.raises(FaultError, match="would be as it was"):
        async with strike_with(corrupt(how="zero"), strike):
            pytest.fail("entered")
    assert events.proofs("effect") == []


async def test_a_node_without_files_or_without_a_process_cannot_be_struck(node: FakeNode) -> None:
    for changes, words in (({"store": None}, "no files"), ({"running": False}, "not running")):
        for name, value in changes.items():
            setattr(node, name, value)
        strike, _ = make_strike(node)
        with pytest.raises(FaultError, match=words):
            async with strike_with(corrupt(), strike):
                pytest.fail("entered")
        node.store = Path()
    assert node.diary == []


async def test_a_file_that_somebody_repairs_meanwhile_is_found_before_the_heal(
    node: FakeNode,
) -> None:
    strike, events = make_strike(node)
    async with strike_with(corrupt(), strike):
        block(node).write_bytes(TEXT)
        with pytest.raises(FaultError, match=r"n2: .*1\.blk is not as it was left"):
            await strike.looks[0].take()
        node.running = True
        with pytest.raises(FaultError, match="n2 runs again, though nobody started it"):
            await strike.looks[0].take()
    assert events.proofs("held") == []


async def test_a_server_that_refuses_to_start_is_a_failed_undo_unless_it_may(
    node: FakeNode,
) -> None:
    node.refuses = "Can't start JetStream: raft: snapshot corrupt"
    strike, events = make_strike(node)
    with pytest.raises(FaultError, match=r"n2 refuses to start: Can't .*say refusal: allowed"):
        async with strike_with(corrupt(), strike):
            pass
    assert events.proofs("undo") == []
    assert node.refused is None
    node.running = True
    async with strike_with(corrupt(refusal="allowed"), strike):
        pass
    assert events.proofs("undo") == [
        f"n2: refuses to start, as it may, and is left so: {node.refuses}"
    ]
    assert node.refused == node.refuses


async def test_a_server_that_does_not_come_back_is_a_failed_undo_even_if_it_may_refuse(
    node: FakeNode,
) -> None:
    node.never_healthy = True
    strike, _ = make_strike(node)
    with pytest.raises(FaultError, match="not healthy"):
        async with strike_with(corrupt(refusal="allowed"), strike):
            pass


# From here on: real servers.


@pytest.mark.parametrize("version", ["2.12.1", "bundled"])
async def test_one_bit_in_a_stream_of_several_blocks_is_on_the_disk_of_a_follower(
    tmp_path: Path, version: str
) -> None:
    events = Events()
    async with filled_cluster(tmp_path, events, version=version) as cluster:
        leader = await leader_of(cluster)
        node = next(one for name, one in cluster.nodes.items() if name != leader)
        assert node.store is not None
        path = node.store / BLOCK
        strike = Strike("f", "corrupt", (node,), events, seed=3)
        fault = corrupt(stream="S", drop_index=True, offset="50%")
        before = path.read_bytes()
        async with fault.active(cluster, strike):
            after = path.read_bytes()
            assert sum((a ^ b).bit_count() for a, b in zip(before, after, strict=True)) == 1
            assert not path.with_name("index.db").exists()
            for look in strike.looks:
                await look.take()
        assert node.running
        assert len(list(path.parent.glob("*.blk"))) > 1
        if version == "2.12.1":  # as published: it says that it is healthy, and has less
            assert await messages_at(node) < MESSAGES
        assert events.proofs("undo")
        assert all(fact["expected"] for fact in of_kind(events, "server.exited"))


async def messages_at(node: Any) -> int:
    return int((await stream_at(node))["state"]["messages"])


async def leader_of(cluster: Any) -> str:
    return str((await stream_at(cluster.nodes["n1"]))["cluster"]["leader"])


async def stream_at(node: Any) -> dict[str, Any]:
    """Return what a node tells of S."""
    said = (await node.monitor.get("/jsz?accounts=1&streams=1", LIMIT_S)).body
    streams = said["account_details"][0]["stream_detail"]
    found: dict[str, Any] = next(one for one in streams if one["name"] == "S")
    return found


def of_kind(events: Events, kind: str) -> list[dict[str, Any]]:
    return [fact for name, fact in zip(events.kinds, events.facts, strict=True) if name == kind]


@pytest.mark.parametrize(
    ("part", "keys"),
    [
        ("stream-index", {"down_by": "stop"}),
        ("stream-meta", {"how": "truncate"}),
        ("consumer-state", {"how": "remove"}),
        ("stream-snapshot", {"down_by": "stop", "how": "remove"}),
        ("stream-log", {"block": "last", "how": "zero", "drop_index": True}),
        ("meta-log", {}),
    ],
)
async def test_every_part_can_be_damaged_and_is_proven_whatever_the_server_makes_of_it(
    tmp_path: Path, part: str, keys: dict[str, Any]
) -> None:
    events = Events()
    async with filled_cluster(tmp_path, events) as cluster:
        strike = Strike("f", "corrupt", (cluster.nodes["n2"],), events, seed=3)
        of = {} if part == "meta-log" else {"stream": "S"}
        async with corrupt(part, refusal="allowed", **of, **keys).active(cluster, strike):
            assert of_kind(events, "fault.damaged")
        assert events.proofs("effect")
        assert events.proofs("undo")


async def test_a_server_that_says_it_is_not_healthy_is_left_so_where_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.faults.corrupt.START_LIMIT_S", 15.0)
    events = Events()
    async with filled_cluster(tmp_path, events) as cluster:
        fault = corrupt("consumer-state", stream="S", how="zero", refusal="allowed")
        strike = Strike("f", "corrupt", (cluster.nodes["n2"],), events, seed=3)
        async with fault.active(cluster, strike):
            pass
        (undo,) = events.proofs("undo")
        assert undo.startswith("n2: says that it is not healthy, as it may, and is left so: ")
        assert "C1" in undo
        assert cluster.nodes["n2"].running


@pytest.mark.parametrize(
    "said",
    [
        "JetStream has not established contact with a meta leader",
        "JetStream is still recovering meta layer",
        "JetStream is not current with the meta leader",
        "JetStream stream '$G > S' is not current",
        "",
    ],
)
async def test_a_server_that_only_catches_up_does_not_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    events = Events()
    async with LocalBackend().cluster(
        ClusterSpec(), groups=(), folder=tmp_path / "servers", record=events
    ) as cluster:
        await cluster.form(LIMIT_S)
        node = cluster.nodes["n2"]
        await node.stop(LIMIT_S)
        monitor = node.monitor

        async def get(path: str, limit_s: float) -> Reply:
            told = await monitor.get(path, limit_s)
            return Reply(503, {"error": said}) if path == "/healthz" else told

        fake = SimpleNamespace(get=get, lacks_routes_to=monitor.lacks_routes_to, healthy=never)
        monkeypatch.setattr(node, "_monitor", fake)  # no server says so for long
        with pytest.raises(ServerError, match="n2 is not healthy after 1 s"):
            await node.try_start(1.0)


async def never(limit_s: float) -> bool:
    return limit_s < 0


async def have_streams_named(node: ServerNode) -> None:
    """Stop and start a node until its snapshot names streams: not every stop writes one."""
    while any(names_no_stream(path) for path in snapshots(node)):
        await node.stop(LIMIT_S)
        await node.start()
        await node.wait_healthy(LIMIT_S)


def snapshots(node: ServerNode) -> tuple[Path, ...]:
    assert node.store is not None
    found = find(node.store, "meta-snapshot")
    assert found
    return found


async def test_a_snapshot_that_is_older_than_the_streams_is_not_worth_damaging(
    tmp_path: Path,
) -> None:
    events = Events()
    async with filled_cluster(tmp_path, events) as cluster:
        node = cluster.nodes["n2"]
        assert all(names_no_stream(path) for path in snapshots(node))
        strike = Strike("f", "corrupt", (node,), events, seed=3)
        with pytest.raises(FaultError, match=r"n2 has 2 streams and a snapshot .* names none"):
            async with corrupt("meta-snapshot", refusal="allowed").active(cluster, strike):
                pass
        assert not of_kind(events, "fault.damaged")
        await node.wait_healthy(LIMIT_S)


@pytest.mark.parametrize(("version", "refuses"), [("2.12.1", False), ("2.15.1", True)])
async def test_a_damaged_snapshot_of_all_streams_is_refused_by_newer_releases(
    tmp_path: Path, version: str, refuses: bool
) -> None:
    events = Events()
    async with filled_cluster(tmp_path, events, version=version) as cluster:
        node = cluster.nodes["n2"]
        await have_streams_named(node)
        strike = Strike("f", "corrupt", (node,), events, seed=3)
        async with anyio.create_task_group() as group:
            group.start_soon(cluster.watch)  # an exit that nobody asked for would end the run
            async with corrupt("meta-snapshot", refusal="allowed").active(cluster, strike):
                pass
            group.cancel_scope.cancel()
        (undo,) = events.proofs("undo")
        assert ("raft: snapshot corrupt" in undo) is refuses
        assert node.running is not refuses
        assert (node.refused is not None) is refuses
        for other in ("n1", "n3"):  # nobody waits for one that stays down
            await cluster.nodes[other].wait_healthy(LIMIT_S)
        assert all(fact["expected"] for fact in of_kind(events, "server.exited"))


@pytest.mark.parametrize(
    ("code", "words"),
    [(2, "Can't start JetStream: as it says"), (1, "Error listening on port: as it says"), (1, "")],
)
async def test_a_crash_or_a_taken_port_is_no_refusal_and_was_not_asked_for(
    tmp_path: Path, code: int, words: str
) -> None:
    program = tmp_path / "ending"
    program.write_text(ENDING.format(code=code, words=words))
    program.chmod(0o755)
    events = Events()
    async with LocalBackend().cluster(
        ClusterSpec(), groups=(), folder=tmp_path / "servers", record=events
    ) as cluster:
        node = cluster.nodes["n2"]
        await node.change_release(str(program))
        with pytest.raises(ServerError, match=f"n2 exited with status {code}"):
            await node.try_start(LIMIT_S)
        assert node.ended_unasked
        assert node.refused is None


@pytest.mark.parametrize(
    ("words", "unasked"),
    [("Can't start JetStream: as it says", False), ("Error listening on port: as it says", True)],
)
async def test_an_end_that_is_seen_before_the_loop_is_told_of_it_is_judged_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, unasked: bool
) -> None:
    program = tmp_path / "ending"
    program.write_text(ENDING.format(code=1, words=words))
    program.chmod(0o755)
    async with LocalBackend().cluster(
        ClusterSpec(), groups=(), folder=tmp_path / "servers", record=Events()
    ) as cluster:
        node = cluster.nodes["n2"]
        await node.change_release(str(program))

        async def see_it_first(limit_s: float) -> None:
            until = time.monotonic() + limit_s
            while node.running and time.monotonic() < until:
                time.sleep(0.01)  # noqa: ASYNC251 - the loop must not run
            raise node.why_ended()

        monkeypatch.setattr(node, "wait_healthy", see_it_first)
        if unasked:
            with pytest.raises(ServerError, match="n2 exited with status 1"):
                await node.try_start(LIMIT_S)
        else:
            assert await node.try_start(LIMIT_S) == words
        assert node.ended_unasked is unasked


async def test_what_was_refused_once_is_not_taken_for_a_later_end(tmp_path: Path) -> None:
    program = tmp_path / "ending"
    events = Events()
    async with LocalBackend().cluster(
        ClusterSpec(), groups=(), folder=tmp_path / "servers", record=events
    ) as cluster:
        node = cluster.nodes["n2"]
        program.write_text(ENDING.format(code=1, words="Can't start JetStream: as it says"))
        program.chmod(0o755)
        await node.change_release(str(program))
        assert await node.try_start(LIMIT_S) == "Can't start JetStream: as it says"
        assert (node.ended_unasked, node.refused) == (False, None)
        assert await node.try_start(LIMIT_S, may_refuse=True) == node.refused
        program.write_text("#!/bin/sh\nexit 1\n")
        with pytest.raises(ServerError, match="n2 exited with status 1"):
            await node.try_start(LIMIT_S)
        assert node.ended_unasked
        assert node.refused is None
