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
from server_script import Act, Script, Truth

PROGRAM = Path(__file__).with_name("scripted_server.py")
LIMIT_S = 10.0


class ServerHandle:
    """A running scripted server."""

    def __init__(self, process: Process, commands: ByteSendStream, port: int, file: Path) -> None:
        self.port = port
        self._process = process
        self._commands = commands
        self._file = file

    @property
    def url(self) -> str:
        """Return where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    async def act(self, *acts: Act) -> None:
        """Command further acts."""
        lines = "".join(json.dumps(asdict(act)) + "\n" for act in acts)
        await self._commands.send(lines.encode())

    async def truth(self) -> Truth:
        """End the server and return what it did."""
        with anyio.fail_after(LIMIT_S):
            await self._commands.aclose()
            returncode = await self._process.wait()
        if returncode != 0:
            raise RuntimeError(f"the scripted server exited with {returncode}")
        return Truth.read(await anyio.Path(self._file).read_text())


@asynccontextmanager
async def scripted_server(script: Script, truth_file: Path) -> AsyncIterator[ServerHandle]:
    """Run a scripted server; it is gone on leaving.

    Args:
        script: what it does.
        truth_file: where it writes what it did.
    """
    argv = [sys.executable, str(PROGRAM), str(truth_file)]
    process = await anyio.open_process(argv, stdin=PIPE, stdout=PIPE, stderr=None)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        with anyio.fail_after(LIMIT_S):
            await process.stdin.send(script.to_json().encode() + b"\n")
            output = BufferedByteReceiveStream(process.stdout)
            port = int(await output.receive_until(b"\n", 64))
        yield ServerHandle(process, process.stdin, port, truth_file)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()
            await process.aclose()
