"""The wire of the scripted server: connections, frames, and the ids inside payloads."""

from __future__ import annotations

import asyncio
import itertools
import json
import select
import socket
import struct
import time
import zlib
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

HEADER = struct.Struct("<3sBIIIQq")  # mark, kind, crc, run, sender, sequence, intended_ns
CHECKED_FROM = 8
READ_BYTES = 1 << 16
MESSAGE = 0
_numbers = itertools.count()


@dataclass(frozen=True)
class Message:
    """A published message; `headers` bytes of `data` are NATS headers."""

    subject: str
    reply: str
    headers: int
    data: bytes

    def flipped(self, offset: int) -> Message:
        """Return it with the lowest bit of payload byte `offset` flipped."""
        data = bytearray(self.data)
        data[self.headers + offset] ^= 1
        return replace(self, data=bytes(data))


@dataclass(frozen=True)
class Ids:
    """Who sent a message: the harness's run, sender and sequence."""

    run: int
    sender: int
    sequence: int
    intended_ns: int


def ids_of(message: Message) -> Ids | None:
    """Return the ids of a harness message; None for probes, end markers and strangers."""
    payload = message.data[message.headers :]
    if len(payload) < HEADER.size:
        return None
    mark, kind, _, run, sender, sequence, intended_ns = HEADER.unpack_from(payload)
    if mark != b"NH1" or kind != MESSAGE:
        return None
    return Ids(run, sender, sequence, intended_ns)


def forge(message: Message, *, run: int | None = None, sequence: int | None = None) -> Message:
    """Return a sound message, checksum and all, with other ids."""
    payload = bytearray(message.data[message.headers :])
    mark, kind, _, old_run, sender, old_sequence, intended_ns = HEADER.unpack_from(payload)
    ids = (old_run if run is None else run, sender, old_sequence if sequence is None else sequence)
    HEADER.pack_into(payload, 0, mark, kind, 0, *ids, intended_ns)
    struct.pack_into("<I", payload, 4, zlib.crc32(payload[CHECKED_FROM:]))
    return replace(message, data=message.data[: message.headers] + bytes(payload))


def matches(pattern: str, subject: str) -> bool:
    """Tell whether a subscription to `pattern` gets what is published on `subject`."""
    wanted, found = pattern.split("."), subject.split(".")
    for position, token in enumerate(wanted):
        if token == ">":
            return len(found) > position
        if position >= len(found) or token not in ("*", found[position]):
            return False
    return len(wanted) == len(found)


class Manners(Protocol):
    """What a connection heeds of what its server is doing."""

    silent: bool


class Router(Protocol):
    """What a connection needs of its server."""

    connections: set[Connection]

    @property
    def state(self) -> Manners: ...

    def route(self, origin: Connection, message: Message) -> None: ...


@dataclass(eq=False)
class Subscription:
    """One SUB; `held` has [messages to wait for, sender, message] of what was held back."""

    connection: Connection
    subject: str
    queue: str
    sid: str
    held: list[list[Any]] = field(default_factory=list)


class Connection:
    """One client: reads frames, writes frames, and stamps what happens to its socket.

    The socket is driven directly, without a transport, so that a write has reached the
    kernel when its time is taken, and FIN, RST and deafness are exactly what was asked for.
    """

    def __init__(self, server: Router, peer: socket.socket, accepted_ns: int) -> None:
        self.server = server
        self.number = next(_numbers)
        self.name = ""
        self.subscriptions: dict[str, Subscription] = {}
        keys = ("info_ns", "connect_ns", "pong_ns", "eof_ns")
        self.times: dict[str, Any] = {
            "name": "",
            "accepted_ns": accepted_ns,
            **dict.fromkeys(keys, 0),
        }
        self._peer = peer
        self._buffer = bytearray()
        self._backlog = bytearray()
        self._verbose = False
        self._finished = False
        self._paused = False
        self._loop = asyncio.get_running_loop()
        peer.setblocking(False)
        self._loop.add_reader(peer, self._readable)

    # Writing

    def write(self, data: bytes) -> int:
        """Hand `data` to the kernel; return when, or 0 when the connection is over."""
        if self._finished:
            return 0
        at_ns = time.monotonic_ns()
        if self._backlog:
            self._backlog += data
            return at_ns
        try:
            sent = self._peer.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end()
            return 0
        if sent < len(data):
            self._backlog += data[sent:]
            self._loop.add_writer(self._peer, self._writable)
        return at_ns

    def _writable(self) -> None:
        try:
            sent = self._peer.send(self._backlog)
        except BlockingIOError:
            return
        except OSError:
            self._end()
            return
        del self._backlog[:sent]
        if not self._backlog:
            self._loop.remove_writer(self._peer)

    def send_info(self, info: dict[str, Any]) -> None:
        """Greet the client."""
        self.times["info_ns"] = self.write(b"INFO %s\r\n" % json.dumps(info).encode())

    def send_message(self, subscription: Subscription, message: Message) -> int:
        """Send MSG or HMSG; return when, or 0 when the connection is over."""
        reply = f"{message.reply} " if message.reply else ""
        head = f"{message.subject} {subscription.sid} {reply}"
        if message.headers:
            frame = f"HMSG {head}{message.headers} {len(message.data)}\r\n"
        else:
            frame = f"MSG {head}{len(message.data)}\r\n"
        return self.write(frame.encode() + message.data + b"\r\n")

    def send_no_responders(self, reply: str) -> None:
        """Answer a request with status 503, as a server without a responder does."""
        status = b"NATS/1.0 503\r\n\r\n"
        for subscription in self.subscriptions.values():
            if matches(subscription.subject, reply):
                self.send_message(subscription, Message(reply, "", len(status), status))
                return

    # Ending

    def finish(self) -> None:
        """Send FIN and read on, so that no unread byte turns it into a reset."""
        if not self._finished:
            self._finished = True
            self.subscriptions.clear()
            self._peer.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST."""
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._end()

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self._paused = True
        self._loop.remove_reader(self._peer)

    def resume(self) -> None:
        """Read again; deliver nothing to a client that has closed meanwhile."""
        if self._paused:
            self._paused = False
            if self._peer_has_closed():
                self.subscriptions.clear()
            self._loop.add_reader(self._peer, self._readable)

    def _peer_has_closed(self) -> bool:
        # FIN shows here at once; to recv it hides behind whatever was sent before it.
        poll = select.poll()
        poll.register(self._peer, select.POLLRDHUP)
        return bool(poll.poll(0))

    def _end(self) -> None:
        self._finished = True
        self.subscriptions.clear()
        self.server.connections.discard(self)
        self._loop.remove_reader(self._peer)
        self._loop.remove_writer(self._peer)
        self._peer.close()

    # Reading

    def _readable(self) -> None:
        try:
            data = self._peer.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.times["eof_ns"] = time.monotonic_ns()
            self._end()
            return
        if self._finished:
            return
        self._buffer += data
        while not self._finished and not self._paused and self._take_frame():
            pass

    def _take_frame(self) -> bool:
        line, separator, rest = self._buffer.partition(b"\r\n")
        if not separator:
            return False
        verb, _, text = line.decode().partition(" ")
        if verb in ("PUB", "HPUB"):
            return self._take_publish(verb, text.split(), len(line) + 2)
        self._buffer = rest
        match verb:
            case "CONNECT":
                self._connect(json.loads(text))
            case "PING":
                self._answer(b"PONG\r\n")
            case "SUB":
                subject, *queue, sid = text.split()
                self.subscriptions[sid] = Subscription(self, subject, "".join(queue), sid)
                self._acknowledge()
            case "UNSUB":
                sid, *limit = text.split()
                if not limit:
                    self.subscriptions.pop(sid, None)
                self._acknowledge()
            case "PONG":
                pass
            case _:
                self.write(b"-ERR 'Unknown Protocol Operation'\r\n")
        return True

    def _take_publish(self, verb: str, words: list[str], start: int) -> bool:
        size = int(words[-1])
        if len(self._buffer) < start + size + 2:
            return False
        headers = int(words[-2]) if verb == "HPUB" else 0
        names = words[:-2] if verb == "HPUB" else words[:-1]
        data = bytes(self._buffer[start : start + size])
        del self._buffer[: start + size + 2]
        reply = names[1] if len(names) > 1 else ""
        self._acknowledge()
        self.server.route(self, Message(names[0], reply, headers, data))
        return True

    def _connect(self, options: dict[str, Any]) -> None:
        self.name = self.times["name"] = options.get("name") or ""
        self.times["connect_ns"] = time.monotonic_ns()
        self._verbose = bool(options.get("verbose"))
        self._acknowledge()

    def _acknowledge(self) -> None:
        if self._verbose:
            self._answer(b"+OK\r\n")

    def _answer(self, data: bytes) -> None:
        if self.server.state.silent:
            return
        at_ns = self.write(data)
        if data.startswith(b"PONG") and not self.times["pong_ns"]:
            self.times["pong_ns"] = at_ns
