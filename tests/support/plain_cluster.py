"""A cluster that somebody else runs: plain servers on loopback ports, no harness involved."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from harness.cluster.binaries import bundled

FREEZE = """#!/bin/sh
echo "freezing $NATS_HARNESS_NODE for $NATS_HARNESS_FAULT"
kill -STOP "$(cat "$FOLDER/$NATS_HARNESS_NODE.pid")"
"""
THAW = """#!/bin/sh
kill -CONT "$(cat "$FOLDER/$NATS_HARNESS_NODE.pid")"
"""
FROZEN = """#!/bin/sh
state=$(sed 's/.*) //' "/proc/$(cat "$FOLDER/$NATS_HARNESS_NODE.pid")/stat" | cut -c1)
echo "state $state"
[ "$state" = T ]
"""


@dataclass
class PlainServer:
    name: str
    client: int
    route: int
    monitor: int
    argv: list[str]
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log)
        (self.folder / f"{self.name}.pid").write_text(str(self.process.pid))

    def end(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def varz(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.monitor, timeout=2)
        try:
            connection.request("GET", "/varz")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return found


@dataclass
class PlainCluster:
    """Servers whose own names are not those that scenarios give them."""

    folder: Path
    size: int = 3
    extra: tuple[str, ...] = ()
    servers: dict[str, PlainServer] = field(default_factory=dict)

    def __enter__(self) -> Self:
        with ExitStack() as held:
            ports = [_free(held) for _ in range(3 * self.size)]
        seed_route = f"nats://127.0.0.1:{ports[1]}"
        for index in range(self.size):
            client, route, monitor = ports[3 * index : 3 * index + 3]
            name = f"east-{index}"
            argv = [str(bundled().path), "-a", "127.0.0.1", "-p", str(client), "-m", str(monitor)]
            argv += ["--name", f"server-{index}", "--cluster_name", "theirs"]
            argv += ["--cluster", f"nats://127.0.0.1:{route}", "--routes", seed_route, *self.extra]
            self.servers[name] = PlainServer(name, client, route, monitor, argv, self.folder)
        for server in self.servers.values():
            server.start()
        for name, text in (("freeze", FREEZE), ("thaw", THAW), ("frozen", FROZEN)):
            self.script(name, text)
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers.values():
            server.end()

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError):
                if all(one.varz()["remotes"] == self.size - 1 for one in self.servers.values()):
                    return
            time.sleep(0.05)
        raise AssertionError("the plain cluster has not formed")

    def script(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text.replace("$FOLDER", str(self.folder)))
        path.chmod(0o755)
        return path

    def attach(self) -> str:
        """Return the scenario's `cluster.attach`, in flow style."""
        return ", ".join(
            f'{one.name}: {{client: "nats://127.0.0.1:{one.client}", '
            f'monitor: "http://127.0.0.1:{one.monitor}"}}'
            for one in self.servers.values()
        )


def _free(held: ExitStack) -> int:
    holder = held.enter_context(socket.socket())
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    return port
