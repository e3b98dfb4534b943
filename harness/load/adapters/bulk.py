"""Read a stream in bulk through a pull consumer, without a client library.

The protocol of NATS is plain text (NATS docs, Client Protocol). A library hands over one
message at a time, which for an audit of millions costs more than all the rest: here the
lines of one read are taken apart at once. Nothing is acknowledged and nothing reconnects.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

READ_BYTES = 1 << 20
BUFFER_BYTES = 4 << 20
BATCH = 10_000  # messages of one pull; two are under way
EXPIRES_NS = 30_000_000_000  # of a pull: longer than anybody waits for its first message
CONNECT_LIMIT_S = 5.0
_END = b"\r\n"
_INBOX = b"_INBOX.nats-harness.audit"
_TOKENS = 9  # of a reply subject up to 2.x; those with a domain have more, two of them in front
_SEQUENCE, _WAITING = 5, 8  # which token is the stream's sequence, and how many wait after it
_MORE = 2


class BulkError(Exception):
    """Say that the connection broke or the server refused it."""


@dataclass
class Batch:
    """Messages in the order of the stream; `waiting` is how many there were after the last one."""

    payloads: list[bytes] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    waiting: int = 1


class BulkLine:
    """One connection that pulls from one consumer; see `bulk_line`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = b""

    async def greet(self, login: tuple[str, str] | None) -> None:
        """Log in and subscribe."""
        await self._reader.readuntil(_END)  # INFO
        options: dict[str, object] = {
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "lang": "nats-harness",
            "version": "1",
            "protocol": 1,
            "name": "nats-harness-audit",
        }
        if login is not None:
            options |= {"user": login[0], "pass": login[1]}
        hello = b"CONNECT " + json.dumps(options).encode() + _END
        self._writer.write(hello + b"SUB " + _INBOX + b" 1\r\nPING\r\n")
        while (line := await self._reader.readuntil(_END)) != b"PONG\r\n":
            if line.startswith(b"-ERR"):
                raise BulkError(line.decode(errors="replace").strip())

    async def pull(self, stream: str, consumer: str, limit_s: float) -> AsyncIterator[Batch]:
        """Yield what comes, until the last message says that nothing waits any more.

        Call it only where something waits.

        Raises:
            BulkError: nothing came for `limit_s` seconds, or the connection broke.
        """
        api = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}".encode()
        body = json.dumps({"batch": BATCH, "expires": EXPIRES_NS}).encode()
        order = b"PUB %s %s %d\r\n%s\r\n" % (api, _INBOX, len(body), body)
        self._writer.write(order + order)
        asked, came = 2 * BATCH, 0
        while True:
            try:
                async with asyncio.timeout(limit_s):
                    data = await self._reader.read(READ_BYTES)
            except TimeoutError:
                raise BulkError(f"nothing came for {limit_s:g} s") from None
            except OSError as error:
                raise BulkError(f"the connection broke: {error}") from error
            if not data:
                raise BulkError("the server closed the connection")
            batch = self._take_apart(data)
            came += len(batch.payloads)
            if batch.payloads:
                yield batch
                if batch.waiting == 0:
                    return
            while asked - came <= BATCH:
                self._writer.write(order)
                asked += BATCH

    def _take_apart(self, data: bytes) -> Batch:
        """Return the whole messages of what has come; what is cut short waits for more."""
        buffer = self._rest + data
        at, length = 0, len(buffer)
        batch, last = Batch(), list[bytes]()
        keep, number = batch.payloads.append, batch.sequences.append
        while (end := buffer.find(_END, at)) >= 0:
            fields = buffer[at:end].split(b" ")
            kind = fields[0]
            if kind not in (b"MSG", b"HMSG"):
                if kind == b"PING":
                    self._writer.write(b"PONG\r\n")
                elif kind == b"-ERR":
                    raise BulkError(buffer[at:end].decode(errors="replace"))
                at = end + 2
                continue
            start = end + 2
            stop = start + int(fields[-1])
            if stop + 2 > length:
                break
            headed = kind == b"HMSG"
            if len(fields) == (6 if headed else 5):  # it has a subject for its acknowledgement
                tokens = fields[3].split(b".")
                last = tokens
                number(int(tokens[_SEQUENCE if len(tokens) == _TOKENS else _SEQUENCE + _MORE]))
                keep(buffer[start + int(fields[4]) if headed else start : stop])
            at = stop + 2
        self._rest = buffer[at:]
        if last:
            batch.waiting = int(last[_WAITING if len(last) == _TOKENS else _WAITING + _MORE])
        return batch


@asynccontextmanager
async def bulk_line(host: str, port: int, login: tuple[str, str] | None) -> AsyncIterator[BulkLine]:
    """Connect to one server; the connection is closed on leaving, whatever it is doing.

    Raises:
        BulkError: it cannot be reached, or refuses the login.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                reader, writer = await asyncio.open_connection(host, port, limit=BUFFER_BYTES)
                line = BulkLine(reader, writer)
                await line.greet(login)
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError) as error:
            raise BulkError(f"{host}:{port}: {type(error).__name__} {error}") from error
        yield line
    finally:
        if writer is not None:
            with suppress(OSError):
                writer.transport.abort()
