"""The scripted server does to a plain client exactly what its script says."""

from __future__ import annotations

import asyncio
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from server_handle import scripted_server
from server_script import Act, Deed, Rule, Script, Truth, Verb

pytestmark = pytest.mark.anyio
COUNT = 12


def payload(sequence: int, *, kind: int = 0) -> bytes:
    body = struct.pack("<IIQq", 7, 0, sequence, 0) + b"filler filler filler"
    return struct.pack("<3sBI", b"NH1", kind, zlib.crc32(body)) + body


def sequence_of(data: bytes) -> int:
    return int(struct.unpack_from("<Q", data, 16)[0])


def sound(data: bytes) -> bool:
    return bool(struct.unpack_from("<I", data, 4)[0] == zlib.crc32(data[8:]))


async def publish_through(
    script: Script, folder: Path, queue: str = ""
) -> tuple[list[bytes], Truth]:
    """Return what one subscriber of twelve messages saw, and the truth."""
    async with scripted_server(script, folder / "truth.json") as server:
        client = await nats.connect(server.url, name="c", allow_reconnect=False)
        seen: list[bytes] = []
        ended = asyncio.Event()

        async def receive(message: Msg) -> None:
            if message.data == b"end":
                ended.set()
            else:
                seen.append(message.data)

        await client.subscribe("a.*", queue, cb=receive)
        for sequence in range(COUNT):
            await client.publish("a.b", payload(sequence))
        await client.publish("a.b", b"end")
        await asyncio.wait_for(ended.wait(), 5)
        await client.close()
    return seen, Truth.read((folder / "truth.json").read_text())


def rule(do: Verb, *sequences: int, **options: Any) -> Script:
    return Script((Rule(do, 0, sequences, **options),))


async def test_without_a_script_everything_arrives_once_in_order(tmp_path: Path) -> None:
    seen, truth = await publish_through(Script(), tmp_path)
    assert [sequence_of(data) for data in seen] == list(range(COUNT))
    assert truth.applied == ()
    assert [row[:3] for row in truth.deliveries] == [("c", 0, n) for n in range(COUNT)]
    assert [row[:2] for row in truth.arrivals] == [(0, n) for n in range(COUNT)]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (rule("drop", 3, 4), [0, 1, 2, 5, 6]),
        (rule("duplicate", 2, copies=2), [0, 1, 2, 2, 2, 3, 4, 5, 6]),
        (rule("hold", 2), [0, 1, 3, 2, 4, 5, 6]),
        (rule("hold", 2, by=3), [0, 1, 3, 4, 5, 2, 6]),
        (rule("echo", 2, by=3), [0, 1, 2, 3, 4, 5, 2, 6]),
        (rule("drop", 3, receiver="another"), [0, 1, 2, 3, 4, 5, 6]),
        (rule("forge_unsent", 1), [0, 1, 1_000_001, 2, 3, 4, 5, 6]),
    ],
    ids=["drop", "duplicate", "swap", "hold", "echo", "another receiver", "forge"],
)
async def test_rules_change_the_stream_as_they_say(
    tmp_path: Path, script: Script, expected: list[int]
) -> None:
    seen, _ = await publish_through(script, tmp_path)
    expected += list(range(7, COUNT))
    assert [sequence_of(data) for data in seen] == expected
    assert all(sound(data) for data in seen)


async def test_a_corrupted_message_fails_its_checksum(tmp_path: Path) -> None:
    seen, truth = await publish_through(rule("corrupt", 5, offset=40), tmp_path)
    assert [sequence_of(data) for data in seen if not sound(data)] == [5]
    assert truth.count("corrupt") == 1


async def test_a_queue_group_gets_each_message_once(tmp_path: Path) -> None:
    seen, _ = await publish_through(Script(), tmp_path, queue="q")
    assert len(seen) == COUNT


async def test_a_request_that_nobody_hears_is_answered_no_responders(tmp_path: Path) -> None:
    async with scripted_server(Script(), tmp_path / "truth.json") as server:
        client = await nats.connect(server.url)
        with pytest.raises(NoRespondersError):
            await client.request("nobody", b"?", timeout=5)
        await client.close()


async def test_probes_are_left_alone_by_rules(tmp_path: Path) -> None:
    async with scripted_server(rule("drop", 0), tmp_path / "truth.json") as server:
        client = await nats.connect(server.url)
        subscription = await client.subscribe("a")
        await client.publish("a", payload(0))
        await client.publish("a", payload(0, kind=1))
        message = await subscription.next_msg(5)
        assert message.data[3] == 1
        await client.close()


@pytest.mark.parametrize("deed", ["close", "reset"])
async def test_a_cut_connection_comes_back_only_after_return(tmp_path: Path, deed: Deed) -> None:
    async with scripted_server(Script(), tmp_path / "truth.json") as server:
        cut, refused, back = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def note_cut() -> None:
            cut.set()

        async def note_back() -> None:
            back.set()

        async def note_error(error: Exception) -> None:
            if isinstance(error, ConnectionRefusedError):
                refused.set()

        client = await nats.connect(
            server.url,
            name="c",
            reconnect_time_wait=0.01,
            max_reconnect_attempts=-1,
            disconnected_cb=note_cut,
            reconnected_cb=note_back,
            error_cb=note_error,
        )
        before_ns = time.monotonic_ns()
        await server.act(Act(deed, listening=False))
        await asyncio.wait_for(cut.wait(), 5)
        await asyncio.wait_for(refused.wait(), 5)
        assert not back.is_set()
        await server.act(Act("return"))
        await asyncio.wait_for(back.wait(), 5)
        after_ns = time.monotonic_ns()
        await client.close()
        await server.end()
        truth = Truth.read((tmp_path / "truth.json").read_text())
        assert [act[0] for act in truth.acts] == [deed, "return"]
        stamps = [before_ns, truth.acts[0][1], truth.acts[1][1], after_ns]
        assert stamps == sorted(stamps)
        first, second = truth.connections
        assert first["name"] == second["name"] == "c"
        assert truth.acts[1][1] <= second["accepted_ns"] <= second["pong_ns"]


async def test_a_silent_server_answers_no_ping_and_sees_the_client_leave(tmp_path: Path) -> None:
    async with scripted_server(Script(), tmp_path / "truth.json") as server:
        closed = asyncio.Event()

        async def note() -> None:
            closed.set()

        await nats.connect(
            server.url,
            ping_interval=0.05,
            max_outstanding_pings=1,
            allow_reconnect=False,
            closed_cb=note,
        )
        await server.act(Act("silent"))
        await asyncio.wait_for(closed.wait(), 5)
        await server.end()
        truth = Truth.read((tmp_path / "truth.json").read_text())
        assert truth.connections[0]["eof_ns"] > truth.acts[0][1]


async def test_a_mute_server_accepts_and_never_greets(tmp_path: Path) -> None:
    script = Script(acts=(Act("mute"),))
    async with scripted_server(script, tmp_path / "truth.json") as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 0.2)
        await server.act(Act("return"))
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"INFO ")
        writer.close()
        await writer.wait_closed()


async def test_an_act_can_wait_for_a_message(tmp_path: Path) -> None:
    script = Script(acts=(Act("blackhole", on=(0, 3)),))
    async with scripted_server(script, tmp_path / "truth.json") as server:
        client = await nats.connect(server.url, name="c")
        await client.subscribe("a")
        for sequence in range(COUNT):
            await client.publish("a", payload(sequence))
        # nats-py's PING overtakes what lies in its own buffer, but only once.
        await client.flush()
        await client.flush()
        await client.close()
        await server.end()
        truth = Truth.read((tmp_path / "truth.json").read_text())
        assert [row[2] for row in truth.deliveries] == [0, 1, 2]
        assert len(truth.arrivals) == COUNT
