"""A NATS server whose every misdeed is scripted, in a process of its own.

It speaks as much of the client protocol (NATS docs, Client Protocol) as a client library
needs, reads the ids in the payloads by docs/worker-protocol.md, and shares no code with the
harness: it is the truth that the harness is measured against.

Run as ``python scripted_server.py TRUTH_FILE`` with the script as the first line on stdin.
It prints its port, takes commands (acts as lines of JSON), prints each once it is done, and at
the end of file writes what it did to TRUTH_FILE and exits.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from server_courier import Courier, State
from server_script import Act, Script, read_act
from server_wire import Connection, Message


class ScriptedServer:
    """Listen, accept, and do the acts of a script at their times."""

    def __init__(self, script: Script) -> None:
        self.state = State()
        self.courier = Courier(script.rules, script.latency_s, self.state)
        self.connections = self.courier.connections
        self.port = 0
        self._connect_urls = list(script.connect_urls)
        self._listener: socket.socket | None = None
        self._loop = asyncio.get_running_loop()
        self._triggers = {act.on: act for act in script.acts if act.on}
        for act in script.acts:
            if act.on is None:
                self.schedule(act)

    def listen(self) -> None:
        """Listen on the port of before, or on a free one the first time."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
            self._listener.setblocking(False)
            self.port = self._listener.getsockname()[1]
        if not self.state.silent:
            self._loop.add_reader(self._listener, self._accept)

    def unlisten(self) -> None:
        """Close the listening socket: who connects from now on is refused."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            peer, _ = self._listener.accept()
        except BlockingIOError:
            return
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, peer, time.monotonic_ns())
        self.connections.add(connection)
        self.courier.ledger.connections.append(connection.times)
        if not self.state.mute:
            connection.send_info(self._info())

    def _info(self) -> dict[str, Any]:
        return {
            "server_id": "SCRIPTED",
            "server_name": f"scripted-{self.port}",
            "version": "2.15.1",
            "proto": 1,
            "headers": True,
            "host": "127.0.0.1",
            "port": self.port,
            "max_payload": 1 << 20,
            "connect_urls": self._connect_urls,
        }

    def route(self, origin: Connection, message: Message) -> None:
        """Carry a published message; first do what waits for its arrival."""
        ids = self.courier.arrived(message)
        if ids is not None and self._triggers:
            act = self._triggers.pop((ids.sender, ids.sequence), None)
            if act is not None:
                self.perform(act)
        self.courier.carry(origin, message)

    def schedule(self, act: Act) -> None:
        """Do an act of the script at its time; before anything else when that is past."""
        if act.at_ns <= time.monotonic_ns():
            self.perform(act)
        else:
            self._loop.call_at(act.at_ns / 1e9, self.perform, act)

    def schedule_command(self, act: Act) -> None:
        """Do a commanded act at its time and tell when it was done."""
        self._loop.call_at(act.at_ns / 1e9, self.obey, act)

    def perform(self, act: Act) -> None:
        """Do `act` now and note when."""
        if not act.listening:
            self.unlisten()
        before_ns = time.monotonic_ns()
        getattr(self, f"_do_{act.do}")(act)
        self.courier.ledger.acts.append((act.do, before_ns, time.monotonic_ns()))

    def obey(self, act: Act) -> None:
        """Do `act` now and tell when."""
        self.perform(act)
        sys.stdout.write(json.dumps(self.courier.ledger.acts[-1]) + "\n")
        sys.stdout.flush()

    def _do_close(self, _: Act) -> None:
        for connection in list(self.connections):
            connection.finish()

    def _do_reset(self, _: Act) -> None:
        for connection in list(self.connections):
            connection.reset()

    def _do_silent(self, _: Act) -> None:
        self.state.silent = True
        if self._listener is not None:
            self._loop.remove_reader(self._listener)

    def _do_deaf(self, act: Act) -> None:
        self._do_silent(act)
        for connection in self.connections:
            connection.pause()

    def _do_refuse(self, _: Act) -> None:
        self.unlisten()

    def _do_mute(self, _: Act) -> None:
        self.state.mute = True

    def _do_blackhole(self, _: Act) -> None:
        self.state.blackhole = True

    def _do_error(self, act: Act) -> None:
        for connection in list(self.connections):
            connection.write(b"-ERR '%s'\r\n" % act.text.encode())

    def _do_return(self, _: Act) -> None:
        self.state.silent = self.state.mute = self.state.blackhole = False
        for connection in list(self.connections):
            connection.resume()
            if not connection.times["info_ns"]:
                connection.send_info(self._info())
        self.listen()


async def serve(truth_file: Path) -> None:
    """Serve until the end of file on stdin, then write the truth."""
    reader = asyncio.StreamReader(limit=1 << 24)
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(0), "rb")
    )
    server = ScriptedServer(Script.from_json((await reader.readline()).decode()))
    server.listen()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    while line := await reader.readline():
        server.schedule_command(read_act(json.loads(line)))
    pipe.close()
    server.unlisten()
    for connection in list(server.connections):
        connection.reset()
    truth = json.dumps(asdict(server.courier.ledger))
    truth_file.write_text(truth)  # noqa: ASYNC240 - nobody is served any more


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
