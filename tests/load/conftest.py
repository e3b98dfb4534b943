"""Real servers and a place to run workers in, for the tests of the load."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness.backends.process import ChildProcess, spawn
from harness.clock import now_ns, to_ns
from harness.load.fleet import Fleet, fleet
from harness.load.plan import ClientPlan, WorkerPlan
from harness.scenario.model import Phases
from harness.workloads.core import Core
from harness.workloads.request import Request

NATS_SERVER = Path(sys.executable).parent / "nats-server"
RUN = 0x5EED
LIMIT_S = 15.0


@dataclass
class Server:
    """A nats-server on a port of its own; restarts keep the port."""

    name: str
    port: int
    argv: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"nats://{self.address}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as peer:
                    assert peer.recv(4) == b"INFO"
                    return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.01)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def end(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server; further arguments go to its command line."""
    with ExitStack() as ends:

        def start(name: str = "n1", *more: str, port: int | None = None) -> Server:
            port = free_port() if port is None else port
            argv = [str(NATS_SERVER), "-a", "127.0.0.1", "-p", str(port), "-n", name, *more]
            server = Server(name, port, argv, tmp_path / f"{name}.log")
            ends.callback(server.end)
            server.start()
            return server

        yield start


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve()


@pytest.fixture
def pair(serve: Callable[..., Server]) -> tuple[Server, Server]:
    """Two routed servers; the second knows the first."""
    first, second = free_port(), free_port()
    listen = "nats://127.0.0.1:{}"
    seed = serve("n1", "--cluster_name", "pair", "--cluster", listen.format(first))
    routes = ["--routes", listen.format(first)]
    other = serve("n2", "--cluster_name", "pair", "--cluster", listen.format(second), *routes)
    return seed, other


@dataclass
class Office:
    """A folder with logs and columns, the workers started in it and the events they told."""

    folder: Path
    processes: dict[str, ChildProcess] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    argv: Sequence[str] | None = None

    def spawn(
        self, group: str, argv: Sequence[str], channel: socket.socket, log: Path
    ) -> ChildProcess:
        with log.open("ab") as stderr:
            self.processes[group] = process = spawn(
                self.argv or argv,
                stdin=channel.fileno(),
                stdout=channel.fileno(),
                stderr=stderr,
                env=self.env,
            )
        return process

    def on_event(self, kind: str, facts: dict[str, Any]) -> None:
        self.events.append((kind, facts))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [facts for name, facts in self.events if name == kind]

    def columns(self, worker: str) -> Path:
        return self.folder / f"{worker}.columns"

    def plans(self, *clients: ClientPlan, **more: Any) -> tuple[WorkerPlan, ...]:
        """Return one plan per worker named by the clients."""
        options = {"ping_interval": 1.0, "reconnect_time_wait": 0.1, "max_reconnect_attempts": -1}
        options |= more.pop("options", {})
        return tuple(
            WorkerPlan(
                worker=worker,
                run=RUN,
                columns=str(self.columns(worker)),
                clients=tuple(client for client in clients if client.worker == worker),
                options=options,
                **more,
            )
            for worker in dict.fromkeys(client.worker for client in clients)
        )


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def core(*urls: str, rate: str = "200/s", first_id: int = 0, **more: Any) -> tuple[ClientPlan, ...]:
    """Return the clients of a core workload; client i of a role starts on url i."""
    workload = Core(name=more.pop("name", "hello"), rate=rate, **more)
    return workload.clients(first_id, lambda _, index: (urls[index % len(urls)],), Phases())


def request(*urls: str, rate: str = "100/s", **more: Any) -> tuple[ClientPlan, ...]:
    """Return the clients of a request workload."""
    workload = Request(name="ask", rate=rate, **more)
    return workload.clients(0, lambda _, index: (urls[index % len(urls)],), Phases())


@pytest.fixture
def core_clients() -> Callable[..., tuple[ClientPlan, ...]]:
    return core


@pytest.fixture
def request_clients() -> Callable[..., tuple[ClientPlan, ...]]:
    return request


@asynccontextmanager
async def working(office: Office, plans: Sequence[WorkerPlan]) -> AsyncIterator[Fleet]:
    """Yield a fleet whose clients are connected, confirmed and sending."""
    async with fleet(plans, office.spawn, on_event=office.on_event, logs=office.folder) as crew:
        await crew.ready(LIMIT_S)
        await crew.connect(LIMIT_S)
        await crew.confirm(LIMIT_S)
        await crew.start(now_ns() + to_ns(0.02))
        yield crew


@pytest.fixture
def at_work() -> Callable[..., AbstractAsyncContextManager[Fleet]]:
    return working


async def holds(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Return once the condition holds; fail when it does not within the limit."""
    with anyio.fail_after(limit_s):
        while not condition():
            await anyio.sleep(0.01)


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    return holds
