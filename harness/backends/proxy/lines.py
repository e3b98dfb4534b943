"""Lines: the harness's own connections through the proxies, which probes are sent over.

There is one for each client group and node. It takes the way that clients' connections
take, through the same two lanes, but for its far end, which is the harness and not the
server: so what passes one way is seen without an answer. Records are numbered and stamped.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from socket import AF_INET, IPPROTO_TCP, SO_ERROR, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY, socket

import anyio

from harness.backends.proxy.control import UP, Pair, ProxyProcess, lane_of
from harness.clock import now_ns
from harness.cluster.links import Link
from harness.cluster.protocols import Endpoints
from harness.cluster.shapes import Arrival
from harness.errors import FaultError, ServerError

LOOPBACK = "127.0.0.1"
OPEN_LIMIT_S = 5.0
RECORD = struct.Struct("!8sIqI")  # the round's mark, number, when it was sent (ns), length of all
READ_BYTES = 1 << 18


class End:
    """One end of a line; it reads all the while, and stamps what comes the moment it does."""

    def __init__(self, one: socket) -> None:
        one.setblocking(False)
        one.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._socket = one
        self._came = bytearray()
        self._unsent: deque[bytes] = deque()
        self._rounds: dict[bytes, list[Arrival]] = {}
        self.broken: str | None = None
        # A task for each of many ends would stamp later.
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(one, self._read)

    def close(self) -> None:
        """Close it."""
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()

    @contextmanager
    def collecting(self, mark: bytes) -> Iterator[list[Arrival]]:
        """Keep what comes with a mark for as long as the body runs."""
        arrivals = self._rounds[mark] = list[Arrival]()
        try:
            yield arrivals
        finally:
            del self._rounds[mark]

    def send(self, mark: bytes, number: int, size: int) -> None:
        """Send a record of so many bytes, or as soon as there is room."""
        size = max(size, RECORD.size)
        record = RECORD.pack(mark, number, now_ns(), size) + bytes(size - RECORD.size)
        self._unsent.append(record)
        if len(self._unsent) == 1:
            self._write()

    def _write(self) -> None:
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent[0])
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self.broken = str(error)
                self._unsent.clear()
                break
            if sent < len(self._unsent[0]):
                self._unsent[0] = self._unsent[0][sent:]
                self._loop.add_writer(self._socket, self._write)
                return
            self._unsent.popleft()
        self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            data, self.broken = b"", str(error)
        if not data:
            self.broken = self.broken or "it was closed"
            self._loop.remove_reader(self._socket)
            return
        at_ns = now_ns()
        self._came += data
        begin = 0
        while len(self._came) - begin >= RECORD.size:
            mark, number, sent_ns, size = RECORD.unpack_from(self._came, begin)
            if len(self._came) - begin < size:
                break
            if mark in self._rounds:
                self._rounds[mark].append(Arrival(number, sent_ns, at_ns))
            begin += size
        del self._came[:begin]


class Lines:
    """The open lines; see `open_lines`."""

    def __init__(self, ends: Mapping[Pair, tuple[End, End]], groups: tuple[str, ...]) -> None:
        self._ends = ends
        self._groups = groups

    def ends(self, link: Link) -> tuple[End, End]:
        """Return where a record that is to pass a link is sent and where it comes.

        Raises:
            FaultError: no line takes that link, or it broke.
        """
        pair, direction = lane_of(link, self._groups)
        near, far = self._ends[pair]
        for end in (near, far):
            if end.broken is not None:
                raise FaultError(f"{link}: the probes' own connection broke: {end.broken}")
        return (near, far) if direction == UP else (far, near)

    @contextmanager
    def round(
        self, links: Collection[Link]
    ) -> Iterator[tuple[bytes, dict[Link, tuple[End, list[Arrival]]]]]:
        """Yield a mark, and for each link where to send and what has come with the mark."""
        mark = os.urandom(8)
        with ExitStack() as held:
            found: dict[Link, tuple[End, list[Arrival]]] = {}
            for link in links:
                sender, receiver = self.ends(link)
                found[link] = sender, held.enter_context(receiver.collecting(mark))
            yield mark, found


@asynccontextmanager
async def open_lines(
    proxies: ProxyProcess, nodes: Mapping[str, Endpoints], groups: tuple[str, ...]
) -> AsyncIterator[Lines]:
    """Open a line for each group and node; close them on leaving.

    Raises:
        ServerError: one does not come about.
    """
    with ExitStack() as held:
        ends: dict[Pair, tuple[End, End]] = {}
        try:
            with anyio.fail_after(OPEN_LIMIT_S):
                for group in groups:
                    for node, endpoints in nodes.items():
                        door = (endpoints.client.host, endpoints.client.port)
                        ends[group, node] = await _open(proxies, group, door, held)
        except (OSError, FaultError) as error:  # TimeoutError too
            raise ServerError(f"no probes can be sent through the proxies: {error}") from error
        yield Lines(ends, groups)


async def _open(
    proxies: ProxyProcess, group: str, door: tuple[str, int], held: ExitStack
) -> tuple[End, End]:
    with socket(AF_INET, SOCK_STREAM) as listener:
        listener.setblocking(False)
        listener.bind((LOOPBACK, 0))
        listener.listen(1)
        with announced(proxies, group, listener.getsockname()) as near:
            near.connect_ex(door)
            await anyio.wait_readable(listener)
            far, _ = listener.accept()
            ends = End(near.dup()), End(far)
    for end in ends:
        held.callback(end.close)
    return ends


@contextmanager
def announced(proxies: ProxyProcess, group: str, sink: tuple[str, int] | None) -> Iterator[socket]:
    """Yield a bound socket whose first connection is the group's; it leads to `sink`."""
    with socket(AF_INET, SOCK_STREAM) as one:
        one.setblocking(False)
        one.bind((LOOPBACK, 0))
        port = one.getsockname()[1]
        proxies.announce(port, group, sink)
        try:
            yield one
        finally:
            with suppress(FaultError):  # that they have ended is told by whoever asks them next
                proxies.renounce(port)


async def connected(one: socket, door: tuple[str, int]) -> int:
    """Return 0 once the socket is connected, else the number of the error that it came to."""
    one.connect_ex(door)
    await anyio.wait_writable(one)
    return one.getsockopt(SOL_SOCKET, SO_ERROR)
