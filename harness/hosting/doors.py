"""Doors into the lab: sockets that listen outside and lead to servers inside.

A socket belongs to the network it was made in, whoever has it open (network_namespaces(7)):
the doors are made before the lab is entered, and what is accepted there is connected, from the
place of the clients, with a server inside. What passes between goes through this process.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import anyio
import anyio.abc

from harness.backends.server_cluster import ServerCluster
from harness.cluster.protocols import Address

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 1 << 16
PAUSE_S = 0.05  # until it is tried again to let in who could not be for want of resources
LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Door:
    """The two sockets of a node that listen outside."""

    client: socket.socket
    monitor: socket.socket

    @property
    def client_address(self) -> Address:
        """Return where clients connect."""
        return Address(*self.client.getsockname())

    @property
    def monitor_address(self) -> Address:
        """Return where the node is asked about itself."""
        return Address(*self.monitor.getsockname())


@contextmanager
def open_doors(nodes: Sequence[str]) -> Iterator[Mapping[str, Door]]:
    """Make the doors of all nodes here; OSError when no ports are left."""
    with ExitStack() as held:

        def listen() -> socket.socket:
            listener = held.enter_context(socket.create_server((LOOPBACK, 0), backlog=512))
            listener.setblocking(False)
            return listener

        yield {node: Door(listen(), listen()) for node in nodes}


@asynccontextmanager
async def led_in(
    cluster: ServerCluster, doors: Mapping[str, Door], group: str
) -> AsyncIterator[None]:
    """Lead in what comes through the doors for as long as the body runs.

    Clients come from the place of `group`, so that its links carry them; whoever asks a
    monitoring port comes past all faults of links.
    """
    async with anyio.create_task_group() as tasks:
        for name, door in doors.items():
            endpoints = cluster.nodes[name].endpoints
            server = endpoints.server or endpoints.client

            def from_group() -> socket.socket:
                return cluster.socket(group, socket.AF_INET)

            tasks.start_soon(_lead, door.client, from_group, server)
            tasks.start_soon(_lead, door.monitor, socket.socket, endpoints.monitor)
        yield
        tasks.cancel_scope.cancel()


async def _lead(
    listener: socket.socket, make: Callable[[], socket.socket], address: Address
) -> None:
    loop = asyncio.get_running_loop()
    async with anyio.create_task_group() as tasks:
        while True:
            await anyio.wait_readable(listener)
            try:
                client, _ = listener.accept()
            except (BlockingIOError, ConnectionError):
                continue
            except OSError:  # no descriptor or memory is left: who knocks waits meanwhile
                await anyio.sleep(PAUSE_S)
                continue
            client.setblocking(False)
            tasks.start_soon(_carry, loop, client, make, address)


async def _carry(
    loop: asyncio.AbstractEventLoop,
    client: socket.socket,
    make: Callable[[], socket.socket],
    address: Address,
) -> None:
    """Connect a client with a server and pass on everything, ends and resets too."""
    with client, ExitStack() as held:
        ends = [client]
        try:
            server = held.enter_context(make())
            ends.append(server)
            server.setblocking(False)
            for end in ends:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not await _connect(loop, client, server, address):
                return
            async with anyio.create_task_group() as both:
                both.start_soon(_pass_on, loop, client, server)
                both.start_soon(_pass_on, loop, server, client)
        except (OSError, BaseExceptionGroup) as raised:
            if isinstance(raised, BaseExceptionGroup) and raised.split(OSError)[1] is not None:
                raise
            for end in ends:  # closed so, it is reset
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)


async def _connect(
    loop: asyncio.AbstractEventLoop, client: socket.socket, server: socket.socket, address: Address
) -> bool:
    """Connect to the server, and tell whether the client has waited for it."""
    waited = False

    async def connect() -> None:
        nonlocal waited
        await loop.sock_connect(server, (address.host, address.port))
        waited = True
        tasks.cancel_scope.cancel()

    async def see_it_go() -> None:
        await anyio.wait_readable(client)
        try:
            if client.recv(1, socket.MSG_PEEK) != b"":
                return  # it speaks first: for the server to read
        except BlockingIOError:
            return
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connect)
        tasks.start_soon(see_it_go)
    return waited


async def _pass_on(
    loop: asyncio.AbstractEventLoop, source: socket.socket, sink: socket.socket
) -> None:
    while data := await loop.sock_recv(source, CHUNK_BYTES):
        await loop.sock_sendall(sink, data)
    with suppress(OSError):  # the other side may have gone first
        sink.shutdown(socket.SHUT_WR)
