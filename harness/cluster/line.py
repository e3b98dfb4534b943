"""A line to a monitoring port that stays open, for many questions in a row."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from harness.clock import now_ns
from harness.cluster.protocols import Address
from harness.errors import ServerError

HEAD_LIMIT_BYTES = 65_536
END_OF_LINE = b"\r\n"
END_OF_HEAD = b"\r\n\r\n"
BROKEN = (
    OSError,
    ValueError,
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.IncompleteRead,
    anyio.DelimiterNotFound,
)


@dataclass(frozen=True)
class Answer:
    """The JSON of an answer; the server looked between `from_ns` and `to_ns` (monotonic)."""

    body: dict[str, Any]
    from_ns: int
    to_ns: int


@dataclass(frozen=True)
class MonitorLine:
    """An open connection to a monitoring port; see `open_line`."""

    address: Address
    _stream: SocketStream
    _reader: BufferedByteReceiveStream

    async def ask(self, path: str) -> Answer:
        """Return the answer to ``GET path``; the caller bounds the wait.

        Raises:
            ServerError: the line broke, or the answer is no JSON object.
        """
        from_ns = now_ns()
        request = f"GET {path} HTTP/1.1\r\nHost: {self.address}\r\n\r\n"
        try:
            await self._stream.send(request.encode("ascii"))
            body = json.loads(await self._receive_body())
        except BROKEN as error:
            raise self._broken(path, error) from error
        if not isinstance(body, dict):
            raise ServerError(f"{self.address} answered {path} without a JSON object")
        return Answer(body, from_ns, now_ns())

    async def _receive_body(self) -> bytes:
        head = await self._reader.receive_until(END_OF_HEAD, HEAD_LIMIT_BYTES)
        fields = {}
        for line in head.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip().lower()
        if fields.get("transfer-encoding") != "chunked":
            return await self._reader.receive_exactly(int(fields["content-length"]))
        body = bytearray()
        while True:
            size = int(await self._reader.receive_until(END_OF_LINE, HEAD_LIMIT_BYTES), 16)
            body += await self._reader.receive_exactly(size)
            await self._reader.receive_until(END_OF_LINE, HEAD_LIMIT_BYTES)
            if size == 0:
                return bytes(body)

    def _broken(self, path: str, error: BaseException) -> ServerError:
        what = f"{type(error).__name__} {error}".rstrip()
        return ServerError(f"{self.address} did not answer {path}: {what}")


@asynccontextmanager
async def open_line(address: Address) -> AsyncIterator[MonitorLine]:
    """Connect to a monitoring port; the line is closed, without waiting, on leaving.

    Raises:
        ServerError: nothing listens there.
    """
    try:
        stream = await anyio.connect_tcp(address.host, address.port)
    except OSError as error:
        raise ServerError(f"{address} takes no connection: {error}") from error
    try:
        yield MonitorLine(address, stream, BufferedByteReceiveStream(stream))
    finally:
        await anyio.aclose_forcefully(stream)
