"""An Engine elsewhere: a port of this machine that leads to its own Engine."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Relay(socketserver.ThreadingTCPServer):
    """Take connections for the Engine."""

    daemon_threads = True


class Relayed(socketserver.BaseRequestHandler):
    """Carry bytes both ways between a client and the Engine's socket until one ends."""

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect("/var/run/docker.sock")
            sides = {self.request: engine, engine: self.request}
            while True:
                for one in select.select(list(sides), [], [])[0]:
                    data = one.recv(1 << 16)
                    if not data:
                        return
                    self.forward(data, sides[one])

    def forward(self, data: bytes, to: socket.socket) -> None:
        to.sendall(data)


class RelayedLate(Relayed):
    """Carry a request to make a container a while after it came, also when nobody waits for it.

    An Engine under load is no other: it makes what it was asked for once it comes to it.
    """

    asked = threading.Event()
    late_s = 1.5

    def forward(self, data: bytes, to: socket.socket) -> None:
        if data.startswith(b"POST ") and b"/containers/create" in data.partition(b"\r\n")[0]:
            self.asked.set()
            time.sleep(self.late_s)
        super().forward(data, to)


@contextmanager
def engine_elsewhere(relayed: type[Relayed] = Relayed) -> Iterator[str]:
    """Yield what DOCKER_HOST says of an Engine on another machine."""
    with Relay(("127.0.0.1", 0), relayed) as relay:
        thread = threading.Thread(target=relay.serve_forever)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{relay.server_address[1]}"
        finally:
            relay.shutdown()
            thread.join()
