"""The harness's end of a worker's channel: lines in and out of a socket, each wait cancellable."""

from __future__ import annotations

import socket
from contextlib import suppress

import anyio

from harness.errors import WorkerError

LINE_LIMIT = 1024 * 1024
_READ_BYTES = 65536


class Line:
    """Send and receive lines; owns the socket.

    Built on `anyio.wait_readable`: anyio's own socket streams log an error when a wait is
    cancelled in the moment that data arrives, which is how every run ends.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._rest = b""
        self._sending = anyio.Lock()

    async def receive(self) -> list[bytes]:
        """Return the lines that have come, none if only part of one; EndOfStream at the end.

        Raises:
            WorkerError: a line is longer than `LINE_LIMIT` bytes.
        """
        await anyio.wait_readable(self._socket)
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""  # the other end was killed and left something unread
        if not data:
            raise anyio.EndOfStream
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_LIMIT:
            raise WorkerError(f"said a line of more than {LINE_LIMIT} bytes")
        return lines

    async def send(self, text: str) -> None:
        """Send one line; do nothing when the other end is gone: `receive` tells of that."""
        async with self._sending:
            data = memoryview(text.encode() + b"\n")
            while data:
                try:
                    data = data[self._socket.send(data) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._socket)
                except OSError:
                    return

    def hang_up(self) -> None:
        """End the conversation: both ends see the end of the stream."""
        with suppress(OSError):  # the other end may be gone
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the socket; nobody may be waiting on it."""
        self._socket.close()
