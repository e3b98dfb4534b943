"""Lanes and connections between socket pairs: what passes, when, and what does not."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from harness.backends.proxy.relay import Connection, Lane, Manner

pytestmark = pytest.mark.anyio

LIMIT_S = 10.0
SHORT_S = 0.05


class Bench:
    """A client and a server at the two far ends of a connection."""

    def __init__(self, up: Lane, down: Lane) -> None:
        self.up, self.down = up, down
        self.closed = False
        self.client, near = pair()
        self.server, far = pair()
        loop = asyncio.get_running_loop()
        self.connection = Connection(
            loop=loop,
            number=1,
            group="g",
            node="n1",
            client_port=1,
            counted=True,
            ends={"client": near, "server": far},
            lanes=(up, down),
            address=("127.0.0.1", 1),
            on_close=self._note,
        )
        self.connection.join()

    def _note(self, _: Connection) -> None:
        self.closed = True

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.client, data)

    async def received(self, size: int, limit_s: float = LIMIT_S) -> bytes:
        loop, data = asyncio.get_running_loop(), b""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while len(data) < size and (more := await loop.sock_recv(self.server, size)):
                    data += more
        return data

    def push(self) -> int:
        """Send until there is no room left, and return how much that was."""
        sent = 0
        with suppress(BlockingIOError):
            while True:
                sent += self.client.send(bytes(1 << 16))
        return sent


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    for end in (one, other):
        end.setblocking(False)
    return one, other


@contextmanager
def bench() -> Iterator[Bench]:
    loop = asyncio.get_running_loop()
    made = Bench(Lane(loop), Lane(loop))
    try:
        yield made
    finally:
        made.connection.close()
        made.client.close()
        made.server.close()


async def test_what_comes_in_goes_out_at_once_and_ends_are_passed_on() -> None:
    with bench() as made:
        await made.send(b"hello")
        assert await made.received(5) == b"hello"
        made.client.shutdown(socket.SHUT_WR)
        assert await made.received(1) == b""
        assert not made.closed
        made.server.shutdown(socket.SHUT_WR)
        assert await asyncio.get_running_loop().sock_recv(made.client, 1) == b""
        assert made.closed


async def test_a_reset_at_one_end_is_a_reset_at_the_other() -> None:
    with bench() as made:
        made.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        made.client.close()
        with pytest.raises(ConnectionResetError):
            await asyncio.get_running_loop().sock_recv(made.server, 1)
        assert made.closed


async def test_a_cut_lane_holds_everything_and_gives_it_out_in_order_afterwards() -> None:
    with bench() as made:
        made.up.set_cut(True)
        await made.send(b"held")
        made.client.shutdown(socket.SHUT_WR)
        assert await made.received(1, SHORT_S) == b""
        assert not made.closed
        made.up.set_cut(False)
        assert await made.received(9) == b"held"  # and then the end


async def test_what_a_cut_lane_takes_in_is_bounded() -> None:
    with bench() as made:
        made.up.set_cut(True)
        async with asyncio.timeout(LIMIT_S):
            while made.push():
                await asyncio.sleep(SHORT_S)
        assert made.up.held_bytes == 0


async def test_what_waits_for_a_slow_reader_does_not_pass_a_cut() -> None:
    with bench() as made:
        sent = 0
        while more := made.push():  # both buffers and what is between them are full
            sent += more
            await asyncio.sleep(SHORT_S)
        assert made.connection.pipes[0]._unsent
        made.up.set_cut(True)
        got = len(await made.received(sent, 0.3))
        assert await made.received(1, SHORT_S) == b""
        assert 0 < got < sent
        made.up.set_cut(False)
        assert len(await made.received(sent - got)) == sent - got


async def test_a_delay_is_never_short_and_jitter_keeps_the_order() -> None:
    with bench() as made:
        loop = asyncio.get_running_loop()
        made.up.set_manner(Manner(delay_s=0.03, jitter_s=0.02, seed="s"))
        begun_s = loop.time()
        for number in range(50):
            await made.send(bytes([number]))
            await asyncio.sleep(0.001)
        assert (await made.received(1))[0] == 0
        assert loop.time() - begun_s >= 0.01
        assert await made.received(49) == bytes(range(1, 50))


async def test_an_end_comes_after_what_is_delayed() -> None:
    with bench() as made:
        made.up.set_manner(Manner(delay_s=0.05))
        await made.send(b"last words")
        made.client.shutdown(socket.SHUT_WR)
        assert await made.received(100) == b"last words"


async def test_a_rate_limits_all_connections_of_a_lane_together() -> None:
    with bench() as one:
        other = Bench(one.up, one.down)
        loop = asyncio.get_running_loop()
        rate, each = 200_000.0, 40_000
        one.up.set_manner(Manner(rate_bytes_s=rate, held_bytes=1 << 16))
        begun_s = loop.time()
        for made in (one, other):
            await made.send(bytes(each))
        got = await asyncio.gather(one.received(each), other.received(each))
        assert [len(data) for data in got] == [each, each]
        assert loop.time() - begun_s >= 2 * each / rate
        for end in (other.client, other.server):
            end.close()
        other.connection.close()


async def test_a_full_lane_reads_no_more() -> None:
    with bench() as made:
        made.up.set_manner(Manner(delay_s=5.0, held_bytes=1 << 16))
        while made.push():
            await asyncio.sleep(SHORT_S)
        assert made.up.held_bytes < 3 << 16


async def test_the_opposite_lane_is_untouched() -> None:
    with bench() as made:
        made.up.set_cut(True)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(made.server, b"news")
        assert await loop.sock_recv(made.client, 4) == b"news"
