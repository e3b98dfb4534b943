from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from harness.load.adapters.bulk import BulkError, bulk_line

pytestmark = pytest.mark.anyio


def message(sequence: int, waiting: int, payload: bytes = b"x", *, domain: bool = False) -> bytes:
    front = "$JS.ACK.hub.AB" if domain else "$JS.ACK"
    reply = f"{front}.S.C.1.{sequence}.{sequence}.17.{waiting}" + (".t" if domain else "")
    return f"MSG o.x 1 {reply} {len(payload)}\r\n".encode() + payload + b"\r\n"


def headed(sequence: int, waiting: int, payload: bytes) -> bytes:
    head = b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n"
    reply = f"$JS.ACK.S.C.1.{sequence}.{sequence}.17.{waiting}"
    sizes = f"{len(head)} {len(head) + len(payload)}"
    return f"HMSG o.x 1 {reply} {sizes}\r\n".encode() + head + payload + b"\r\n"


@asynccontextmanager
async def server(*pieces: bytes, silent: bool = False) -> AsyncIterator[int]:
    """Say INFO and PONG, and then the pieces, one after the other."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"INFO {}\r\n")
            await reader.readuntil(b"PING\r\n")
            writer.write(b"PONG\r\n")
            await reader.readuntil(b"}\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if silent:
                await reader.read()
        except OSError:
            pass  # the reader has hung up
        finally:
            writer.close()
            served.set()

    served = asyncio.Event()
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
        if pieces:
            await served.wait()
    finally:
        listening.close()


async def pulled(port: int, limit_s: float = 5.0) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    async with bulk_line("127.0.0.1", port, ("u", "p")) as line:
        async for batch in line.pull("S", "C", limit_s):
            found += zip(batch.sequences, batch.payloads, strict=True)
    return found


async def test_messages_are_taken_apart_wherever_the_stream_is_cut() -> None:
    bodies = (b"MSG o.x 1 fake 3\r\n", b"b\r\n", b"\r\n")
    said = (
        message(3, 2, bodies[0]) + headed(4, 1, bodies[1]) + message(7, 0, bodies[2], domain=True)
    )
    pieces = [said[at : at + 7] for at in range(0, len(said), 7)]
    async with server(*pieces, silent=True) as port:
        assert await pulled(port) == list(zip((3, 4, 7), bodies, strict=True))


async def test_a_status_is_no_message_and_a_ping_is_answered() -> None:
    head = b"NATS/1.0 100 Idle Heartbeat\r\n\r\n"
    status = b"HMSG in 1 %d %d\r\n%s\r\n" % (len(head), len(head), head)
    async with server(b"PING\r\n" + status + message(1, 0), silent=True) as port:
        assert await pulled(port) == [(1, b"x")]


async def test_a_consumer_that_falls_silent_is_an_error() -> None:
    async with server(message(1, 5), silent=True) as port:
        with pytest.raises(BulkError, match=r"nothing came for 0\.2 s"):
            await pulled(port, 0.2)


@pytest.mark.parametrize(
    ("said", "why"), [(b"", "closed the connection"), (b"-ERR 'no'\r\n", "no")]
)
async def test_a_server_that_hangs_up_or_complains_is_an_error(said: bytes, why: str) -> None:
    async with server(message(1, 5), said) as port:
        with pytest.raises(BulkError, match=why):
            await pulled(port)


async def test_a_server_that_is_not_there_is_an_error() -> None:
    async with server() as port:
        pass
    with pytest.raises(BulkError):
        await pulled(port)
