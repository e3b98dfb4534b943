"""Processes of ours whose calls wait for an answer, and the process that answers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.backends.disk.holder import interposed, serve_argv

LIMIT_S = 30.0
HEAD = """
import os, sys, threading
store = sys.argv[1]
def path(name): return os.path.join(store, name)
def make(name, flags=0):
    return os.open(path(name), os.O_RDWR | os.O_CREAT | flags, 0o600)
def sync_folder(name=""):
    folder = os.open(path(name), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
"""


@dataclass
class WatchedDisk:
    store: Path
    holder: subprocess.Popen[bytes]
    orders: socket.socket
    intake: socket.socket

    def start(self, code: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-I", "-S", "-c", HEAD + code, str(self.store)]
        return subprocess.Popen(
            interposed(argv, self.holder.pid),
            stdin=self.intake.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, code: str) -> str:
        with self.start(code) as process:
            said, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, said
        return said

    def order(self, do: str, **facts: Any) -> dict[str, Any]:
        self.orders.sendall(json.dumps({"do": do, **facts}).encode() + b"\n")
        said = b""
        while not said.endswith(b"\n"):
            data = self.orders.recv(1 << 20)
            assert data, "what answers has ended"
            said += data
        told: dict[str, Any] = json.loads(said)
        assert not told.get("errors"), told["errors"]
        return told

    def lose(self) -> dict[str, bytes]:
        """Lose what is not synced; return what is left."""
        told = self.order("lose")
        assert "error" not in told, told
        files = [one for one in self.store.rglob("*") if one.is_file()]
        return {str(one.relative_to(self.store)): one.read_bytes() for one in files}


@contextmanager
def watched_disk(folder: Path) -> Iterator[WatchedDisk]:
    store = folder / "store"
    store.mkdir()
    ours, orders = socket.socketpair()
    intake, theirs = socket.socketpair()
    ours.settimeout(LIMIT_S)
    with ours, orders, intake, theirs:
        holder = subprocess.Popen(
            serve_argv(store, folder / "shadow"), stdin=orders.fileno(), stdout=theirs.fileno()
        )
        try:
            orders.close()
            theirs.close()
            yield WatchedDisk(store, holder, ours, intake)
        finally:
            holder.kill()
            holder.wait()
