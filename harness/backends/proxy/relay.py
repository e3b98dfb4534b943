"""Carry connections: each through two lanes, which hold back, delay or limit what passes.

A lane is one direction of the link between a client group and a node, shared by all
connections of the two. What passes it stays in order, also ends and resets of connections.
"""

from __future__ import annotations

import errno
import socket
import struct
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from time import monotonic

CHUNK_BYTES = 1 << 16
SEGMENT_BYTES = 1448  # of a stream, in a full Ethernet frame of 1514 bytes
FRAME_BYTES = 1514
RECEIVE_BYTES = 1 << 17  # what the kernel may acknowledge for a link that lets nothing pass
HELD_BYTES = 4 << 20  # in a lane without a rate; then nothing more is read
SLICE_S = 0.002  # what a limited lane sends at once
LATE_S = 0.0005
LINGER_NOT = struct.pack("ii", 1, 0)


class Sign(Enum):
    """What passes a lane beside bytes."""

    END = "end"
    RESET = "reset"


@dataclass(frozen=True)
class Manner:
    """How a lane treats what passes; `seed` is what its dice start from."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    rate_bytes_s: float | None = None
    held_bytes: int = HELD_BYTES
    seed: str = ""

    @property
    def plain(self) -> bool:
        """Tell whether everything passes at once."""
        return self.delay_s == 0 and self.rate_bytes_s is None


@dataclass
class _Item:
    pipe: Pipe
    what: bytes | Sign
    came_s: float
    luck: float  # -1 to 1: which part of the jitter is its own


class Lane:
    """One direction of a link."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._manner = Manner()
        self._random = Random(0)
        self._items: deque[_Item] = deque()
        self._free_s = 0.0
        self._timer: TimerHandle | None = None
        self.held_bytes = 0
        self.cut = False
        self.pipes: set[Pipe] = set()

    @property
    def full(self) -> bool:
        """Tell whether nothing more is to be read for it."""
        return self.cut or self.held_bytes >= self._manner.held_bytes

    @property
    def read_bytes(self) -> int:
        """Return how much to read at once."""
        rate = self._manner.rate_bytes_s
        return CHUNK_BYTES if rate is None else max(SEGMENT_BYTES, int(rate * SLICE_S))

    def set_cut(self, cut: bool) -> None:  # noqa: FBT001 - it is the state itself
        """Hold everything from now on, or let it pass again."""
        self.cut = cut
        self._go_on()

    def set_manner(self, manner: Manner) -> None:
        """Treat everything so from now on, also what is on its way."""
        if manner.seed != self._manner.seed:
            self._random = Random(manner.seed)
        if manner.rate_bytes_s != self._manner.rate_bytes_s:
            self._free_s = monotonic()
        self._manner = manner
        self._go_on()

    def take(self, pipe: Pipe, what: bytes | Sign) -> None:
        """Pass on what came into a pipe, now or when it is due."""
        if self._manner.plain and not self._items and not self.cut:
            pipe.put(what)
            return
        now_s = monotonic()
        self._items.append(_Item(pipe, what, now_s, self._random.uniform(-1, 1)))
        if isinstance(what, bytes):
            self.held_bytes += len(what)
        if self._timer is None:
            self._arm()
        if self.full:
            self._adjust()

    def forget(self, pipe: Pipe) -> None:
        """Drop a pipe and what it has here."""
        self.pipes.discard(pipe)
        left = [item for item in self._items if item.pipe is not pipe]
        if len(left) != len(self._items):
            self._items = deque(left)
            self.held_bytes = sum(len(one.what) for one in left if isinstance(one.what, bytes))
            self._go_on()

    def _go_on(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._release()

    def _release(self) -> None:
        self._timer = None
        now_s = monotonic()
        while self._items and not self.cut and (due_s := self._due_s(self._items[0])) <= now_s:
            item = self._items.popleft()
            if isinstance(item.what, bytes):
                self.held_bytes -= len(item.what)
            self._free_s = due_s
            item.pipe.put(item.what)
        self._arm()
        self._adjust()

    def _due_s(self, item: _Item) -> float:
        manner = self._manner
        due_s = item.came_s + max(0.0, manner.delay_s + manner.jitter_s * item.luck)
        if manner.rate_bytes_s is None:
            return due_s
        size = len(item.what) if isinstance(item.what, bytes) else 0
        return max(due_s, self._free_s) + size * FRAME_BYTES / SEGMENT_BYTES / manner.rate_bytes_s

    def _arm(self) -> None:
        if self._items and not self.cut and self._timer is None:
            # The loop's own clock is coarse: a timer may come early, and then it is set again.
            wait_s = max(LATE_S, self._due_s(self._items[0]) - monotonic())
            self._timer = self._loop.call_later(wait_s, self._release)

    def _adjust(self) -> None:
        for pipe in tuple(self.pipes):
            pipe.adjust()


class Pipe:
    """One direction of a connection: read from one socket, through a lane, into the other."""

    def __init__(self, connection: Connection, lane: Lane, source: str, sink: str) -> None:
        self._connection = connection
        self.lane = lane
        self._source = source
        self._sink = sink
        self._reading = self._writing = False
        self._ended = False
        self._unsent: deque[bytes] = deque()
        self._end_due = False
        self.done = False
        lane.pipes.add(self)

    def adjust(self) -> None:
        """Read as long as there is room for it all the way, and write what may pass."""
        loop, open_ = self._connection.loop, not self._connection.closed
        reading = (
            open_
            and self._connection.joined
            and not (self._ended or self._unsent or self.lane.full)
        )
        if reading != self._reading:
            self._reading = reading
            source = self._connection.ends[self._source]
            if reading:
                loop.add_reader(source, self._read)
            else:
                loop.remove_reader(source)
        writing = open_ and bool(self._unsent) and not self.lane.cut
        if writing != self._writing:
            self._writing = writing
            sink = self._connection.ends[self._sink]
            if writing:
                loop.add_writer(sink, self._write)
            else:
                loop.remove_writer(sink)

    def put(self, what: bytes | Sign) -> None:
        """Send on what passed the lane."""
        if self._connection.closed:
            return
        if what is Sign.RESET:
            self._connection.reset()
        elif isinstance(what, bytes):
            self._unsent.append(what)
            if len(self._unsent) == 1:
                self._write()
        else:
            self._end_due = True
            if not self._unsent:
                self._end()

    def _read(self) -> None:
        try:
            data = self._connection.ends[self._source].recv(self.lane.read_bytes)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._ended = True
            self.adjust()
            self.lane.take(self, Sign.RESET)
            return
        if not data:
            self._ended = True
            self.adjust()
        self.lane.take(self, data or Sign.END)

    def _write(self) -> None:
        sink = self._connection.ends[self._sink]
        while self._unsent:
            data = self._unsent[0]
            try:
                sent = sink.send(data)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self._connection.reset()
                return
            if sent < len(data):
                self._unsent[0] = data[sent:]
                break
            self._unsent.popleft()
        self.adjust()
        if self._end_due and not self._unsent:
            self._end()

    def _end(self) -> None:
        self.done = True
        with suppress(OSError):
            self._connection.ends[self._sink].shutdown(socket.SHUT_WR)
        self._connection.note_end()


@dataclass(eq=False)
class Connection:
    """A client's connection and the one that was made to the server for it.

    Attributes:
        ends: the sockets, ``client`` and ``server``.
        counted: whether it is a client's, not a probe.
        lanes: what leads to the server, and what leads back.
        address: where the server is.
    """

    loop: AbstractEventLoop
    number: int
    group: str
    node: str
    client_port: int
    counted: bool
    ends: dict[str, socket.socket]
    lanes: tuple[Lane, Lane]
    address: tuple[str, int]
    on_close: Callable[[Connection], None]
    joined: bool = False
    closed: bool = False
    pipes: list[Pipe] = field(default_factory=list)

    def dial(self) -> None:
        """Connect to `address`, and begin to carry once that is done; else reset the client."""
        code = self.ends["server"].connect_ex(self.address)
        if code not in (0, errno.EINPROGRESS):
            self.reset()
            return
        self.loop.add_writer(self.ends["server"], self.join)

    def join(self) -> None:
        """Begin to carry: the server has answered, or refused."""
        server = self.ends["server"]
        self.loop.remove_writer(server)
        if server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0:
            self.reset()
            return
        self.joined = True
        up, down = self.lanes
        self.pipes = [Pipe(self, up, "client", "server"), Pipe(self, down, "server", "client")]
        for pipe in self.pipes:
            pipe.adjust()

    @property
    def cut(self) -> bool:
        """Tell whether nothing passes now."""
        return any(lane.cut for lane in self.lanes)

    @property
    def server_port(self) -> int | None:
        """Return the port that the server sees it come from; None before there is one."""
        if not self.joined or self.closed:
            return None
        port: int = self.ends["server"].getsockname()[1]
        return port

    def note_end(self) -> None:
        """Close once both directions have ended."""
        if all(pipe.done for pipe in self.pipes):
            self.close()

    def reset(self) -> None:
        """Close both ends by a TCP reset."""
        for end in self.ends.values():
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self.close()

    def close(self) -> None:
        """Close both ends."""
        if self.closed:
            return
        self.closed = True
        for end in self.ends.values():
            self.loop.remove_reader(end)
            self.loop.remove_writer(end)
            end.close()
        for pipe in self.pipes:
            pipe.lane.forget(pipe)
        self.on_close(self)
