"""Raw netlink: messages, attributes and exchanges, for what must happen in microseconds.

Links and addresses go through pyroute2; cuts and resets do not, since building one
request there takes longer than a cut may (netlink(7), rtnetlink(7)).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from socket import AF_NETLINK, SO_RCVBUF, SO_SNDBUF, SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET, socket
from types import TracebackType
from typing import Self

NETLINK_SOCK_DIAG = 4
NETLINK_NETFILTER = 12

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
CREATE, APPEND = 0x400, 0x800

_SOL_NETLINK, _CAP_ACK = 270, 10
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_BUFFER_BYTES = 1 << 20
_LIMIT_S = 2.0


@dataclass(frozen=True)
class Message:
    """One request; with `ACK` in its flags the kernel answers even when all went well."""

    kind: int
    flags: int
    body: bytes


def attribute(kind: int, *values: bytes) -> bytes:
    """Return a netlink attribute, padded to four bytes."""
    value = b"".join(values)
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attribute(kind | _NESTED, *attributes)


def text(kind: int, value: str) -> bytes:
    """Return an attribute that holds a zero-terminated text."""
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """Return an attribute that holds 32 bits in network order, as nf_tables wants them."""
    return attribute(kind, struct.pack(">I", value))


class Netlink:
    """A netlink socket in the network namespace of the calling thread; close it by `with`."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
        self._sequence = 0
        self._socket.settimeout(_LIMIT_S)
        self._socket.setsockopt(SOL_SOCKET, SO_SNDBUF, _BUFFER_BYTES)
        self._socket.setsockopt(SOL_SOCKET, SO_RCVBUF, _BUFFER_BYTES)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)  # else errors repeat the request
        self._socket.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def exchange(self, messages: Sequence[Message]) -> list[int]:
        """Send all messages at once and return an errno for each that asked for an answer.

        Raises:
            OSError: the kernel took none of it, or did not answer.
        """
        packed, awaited = self._pack(messages)
        self._socket.send(packed)
        answers: dict[int, int] = {}
        while len(answers) < len(awaited):
            for kind, sequence, body in self._receive():
                if kind == _ERROR and sequence in awaited:
                    answers[sequence] = -int(struct.unpack_from("=i", body)[0])
        return [answers[sequence] for sequence in awaited]

    def commit(self, messages: Sequence[Message]) -> None:
        """Exchange a batch that happens as a whole or not at all.

        Raises:
            OSError: it did not happen.
        """
        packed, awaited = self._pack(messages)
        self._socket.send(packed)
        missing = set(awaited)
        while missing:
            for kind, sequence, body in self._receive():
                if kind != _ERROR or sequence not in self._own(packed):
                    continue
                code = -int(struct.unpack_from("=i", body)[0])
                if code:
                    raise OSError(code, os.strerror(code))
                missing.discard(sequence)

    def dump(self, message: Message) -> list[bytes]:
        """Return the bodies that the kernel lists in answer to a message; OSError if refused."""
        packed, _ = self._pack([message])
        self._socket.send(packed)
        bodies: list[bytes] = []
        while True:
            for kind, sequence, body in self._receive():
                if sequence != self._sequence:
                    continue
                if kind == _ERROR:
                    code = -int(struct.unpack_from("=i", body)[0])
                    raise OSError(code, os.strerror(code))
                if kind == _DONE:
                    return bodies
                bodies.append(body)

    def _pack(self, messages: Sequence[Message]) -> tuple[bytes, list[int]]:
        """Return the messages as bytes, and the sequence numbers that will be answered."""
        parts, awaited = [], []
        for one in messages:
            self._sequence += 1
            length = _HEADER.size + len(one.body)
            parts.append(_HEADER.pack(length, one.kind, one.flags, self._sequence, 0) + one.body)
            if one.flags & ACK:
                awaited.append(self._sequence)
        return b"".join(parts), awaited

    def _own(self, packed: bytes) -> range:
        """Return the sequence numbers of what was just sent; older answers are stale."""
        first = int(_HEADER.unpack_from(packed)[3])
        return range(first, self._sequence + 1)

    def _receive(self) -> Iterable[tuple[int, int, bytes]]:
        data = self._socket.recv(_BUFFER_BYTES)
        place = 0
        while place < len(data):
            length, kind, _, sequence, _ = _HEADER.unpack_from(data, place)
            yield kind, sequence, data[place + _HEADER.size : place + length]
            place += (length + 3) & ~3
