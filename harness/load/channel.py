"""A worker's end of the protocol: JSON objects, one a line, on stdin and stdout.

Reads and writes never block the event loop: a harness that is slow to read must not
slow the clients down.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
from collections.abc import Callable
from typing import Any

from harness.errors import WorkerError

LINE_LIMIT = 16 * 1024 * 1024
_READ_BYTES = 65536


class Channel:
    """Read commands from descriptor `source`, write messages to descriptor `sink`.

    Args:
        on_message: called with each command, in order.
        on_end: called once when the harness has closed its end.
        on_problem: called with a WorkerError when a line is not a JSON object.
    """

    def __init__(
        self,
        source: int,
        sink: int,
        *,
        on_message: Callable[[dict[str, Any]], None],
        on_end: Callable[[], None],
        on_problem: Callable[[WorkerError], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._on_message = on_message
        self._on_end = on_end
        self._on_problem = on_problem
        self._loop = asyncio.get_running_loop()
        self._incoming = bytearray()
        self._outgoing: list[bytes] = []
        self._scheduled = False
        os.set_blocking(source, False)
        os.set_blocking(sink, False)
        self._loop.add_reader(source, self._read)

    def say(self, message: dict[str, Any]) -> None:
        """Queue one message; it is written when the loop turns, before anything waits."""
        self._outgoing.append(json.dumps(message).encode() + b"\n")
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._write)

    def flush(self, limit_s: float) -> None:
        """Write what is queued, blocking for `limit_s` at most: the last act of a worker."""
        deadline = self._loop.time() + limit_s
        while self._outgoing and (left_s := deadline - self._loop.time()) > 0:
            select.select([], [self._sink], [], left_s)
            self._write_some()

    def _read(self) -> None:
        try:
            data = os.read(self._source, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a harness that was killed resets the channel: the same as its end
        if not data:
            self._loop.remove_reader(self._source)
            self._on_end()
            return
        self._incoming += data
        *lines, rest = self._incoming.split(b"\n")
        self._incoming = bytearray(rest)
        if len(rest) > LINE_LIMIT:
            self._on_problem(
                WorkerError(f"a line from the harness is longer than {LINE_LIMIT} bytes")
            )
        for line in lines:
            self._accept(bytes(line))

    def _accept(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if isinstance(message, dict):
            self._on_message(message)
        else:
            # The line may be a garbled plan and hold a password: do not repeat it.
            self._on_problem(WorkerError("a line from the harness is not a JSON object"))

    def _write(self) -> None:
        self._scheduled = False
        self._write_some()
        if self._outgoing:
            self._scheduled = True
            self._loop.add_writer(self._sink, self._continue)

    def _continue(self) -> None:
        self._loop.remove_writer(self._sink)
        self._write()

    def _write_some(self) -> None:
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        try:
            written = os.write(self._sink, data)
        except BlockingIOError:
            written = 0
        except OSError:
            return  # nobody listens any more; the end of the channel is told by `_read`
        if written < len(data):
            self._outgoing.append(data[written:])


def serve(make: Callable[[], object]) -> None:
    """Serve the harness by what `make` makes, in an event loop, until it ends the process.

    The harness decides when that is, also when its terminal sends Ctrl-C.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import uvloop  # noqa: PLC0415 - absent where the platform has none
    except ImportError:
        factory = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop

    async def hold() -> None:
        made = make()
        await asyncio.get_running_loop().create_future()
        del made

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(hold())
