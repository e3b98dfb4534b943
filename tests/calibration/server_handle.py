"""Start a scripted server in a process of its own, command it, and read its truth."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from subprocess import PIPE

import anyio
from anyio.abc import ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream
from server_script import Act, Script

PROGRAM = Path(__file__).with_name("scripted_server.py")
LIMIT_S = 10.0


class ServerHandle:
    """A running scripted server."""

    def __init__(
        self, process: Process, commands: ByteSendStream, output: BufferedByteReceiveStream
    ) -> None:
        self.port = 0
        self._process = process
        self._commands = commands
        self._output = output

    @property
    def pid(self) -> int:
        """Return the server's process id."""
        return self._process.pid

    @property
    def url(self) -> str:
        """Return where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    async def start(self, script: Script) -> None:
        """Hand over the script and wait until the server listens."""
        with anyio.fail_after(LIMIT_S):
            await self._commands.send(script.to_json().encode() + b"\n")
            self.port = int(await self._output.receive_until(b"\n", 64))

    async def act(self, act: Act) -> tuple[int, int]:
        """Command one act; return when it was done: just before and just after."""
        with anyio.fail_after(LIMIT_S):
            await self._commands.send(json.dumps(asdict(act)).encode() + b"\n")
            deed, before_ns, after_ns = json.loads(await self._output.receive_until(b"\n", 256))
        assert deed == act.do
        return before_ns, after_ns

    async def end(self) -> None:
        """End the server; its truth file is complete."""
        with anyio.fail_after(LIMIT_S):
            await self._commands.aclose()
            returncode = await self._process.wait()
        if returncode != 0:
            raise RuntimeError(f"the scripted server exited with {returncode}")


@asynccontextmanager
async def scripted_server(script: Script, truth_file: Path) -> AsyncIterator[ServerHandle]:
    """Run a scripted server; on leaving it is gone and has written its truth.

    Args:
        script: what it does.
        truth_file: where it writes what it did.
    """
    argv = [sys.executable, str(PROGRAM), str(truth_file)]
    process = await anyio.open_process(
        argv, stdin=PIPE, stdout=PIPE, stderr=None, start_new_session=True
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        server = ServerHandle(process, process.stdin, BufferedByteReceiveStream(process.stdout))
        await server.start(script)
        yield server
        await server.end()
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()
            await process.aclose()
