"""What comes through a door arrives whole, and ends as it ends on the other side."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.to_thread
import pytest

from harness.cluster.protocols import Address, Endpoints
from harness.hosting.doors import LINGER_NOT, Door, led_in, open_doors

MEGABYTE = 1 << 20


class OneNode:
    """A cluster of one node, which is a listening socket of the test's; some sockets fail."""

    def __init__(self, listener: socket.socket, failing: int = 0) -> None:
        self.failing = failing
        address = Address(*listener.getsockname())
        self.nodes = {"n1": self}
        self.endpoints = Endpoints(address, address, address)

    def socket(self, place: str, family: socket.AddressFamily) -> socket.socket:
        assert place == "tests"
        if self.failing:
            self.failing -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return socket.socket(family)


@asynccontextmanager
async def through_a_door(listener: socket.socket, failing: int = 0) -> AsyncIterator[Door]:
    with open_doors(["n1"]) as doors:
        cluster: Any = OneNode(listener, failing)
        async with led_in(cluster, doors, "tests"):
            yield doors["n1"]


def connect(door: Door) -> socket.socket:
    return socket.create_connection((door.client_address.host, door.client_address.port), timeout=5)


@pytest.mark.anyio
async def test_all_bytes_pass_both_ways_and_one_side_may_end_first() -> None:
    sent = os.urandom(3 * MEGABYTE)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def echo() -> None:
            peer, _ = listener.accept()
            with peer:
                whole = b""
                while data := peer.recv(MEGABYTE):
                    whole += data
                peer.sendall(whole)

        def talk() -> bytes:
            with connect(door) as client:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: client.recv(MEGABYTE), b""))

        async with through_a_door(listener) as door:
            server = threading.Thread(target=echo)
            server.start()
            assert await anyio.to_thread.run_sync(talk) == sent
            server.join()


@pytest.mark.anyio
async def test_a_reset_comes_through_as_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset() -> None:
            peer, _ = listener.accept()
            peer.recv(1)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
            peer.close()

        def talk() -> None:
            with connect(door) as client:
                client.sendall(b"x")
                client.recv(1)

        async with through_a_door(listener) as door:
            server = threading.Thread(target=reset)
            server.start()
            with pytest.raises(ConnectionResetError):
                await anyio.to_thread.run_sync(talk)
            server.join()


@pytest.mark.anyio
async def test_a_server_that_is_down_is_a_connection_that_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with through_a_door(listener) as door:
            listener.close()

            def talk() -> bytes:
                with connect(door) as client:
                    return client.recv(1)

            with suppress(ConnectionResetError):
                assert await anyio.to_thread.run_sync(talk) == b""


class Full(socket.socket):
    """A listening socket for which a process has no descriptor left, a few times."""

    failing = 3

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failing:
            self.failing -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


def greeted(door: Door) -> bytes:
    with connect(door) as client:
        return client.recv(5)


def greet(listener: socket.socket) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.sendall(b"INFO ")


@pytest.mark.anyio
async def test_who_cannot_be_let_in_for_want_of_descriptors_waits() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        open_doors(["n1"]) as doors,
        Full(fileno=os.dup(doors["n1"].client.fileno())) as full,
    ):
        full.setblocking(False)
        door = Door(full, doors["n1"].monitor)
        cluster: Any = OneNode(listener)
        async with led_in(cluster, {"n1": door}, "tests"):
            server = threading.Thread(target=greet, args=[listener])
            server.start()
            assert await anyio.to_thread.run_sync(greeted, door) == b"INFO "
            server.join()
        assert full.failing == 0


@pytest.mark.anyio
async def test_one_for_whom_there_is_no_second_socket_is_reset_and_the_next_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with through_a_door(listener, failing=1) as door:
            with pytest.raises(ConnectionResetError):
                await anyio.to_thread.run_sync(greeted, door)
            server = threading.Thread(target=greet, args=[listener])
            server.start()
            assert await anyio.to_thread.run_sync(greeted, door) == b"INFO "
            server.join()
