"""Servers with JetStream for the tests of the load, and a connection to look at them."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import nats
from nats.aio.client import Client as Connection
from nats.errors import Error
from nats.js.api import StreamInfo

from harness.load.plan import ClientPlan
from harness.scenario.model import Phases
from harness.scenario.streams import StreamSpec
from harness.workloads.jetstream import JetStream

LIMIT_S = 30.0


def lay_out(
    stream: StreamSpec, *urls: str, first_id: int = 0, **more: Any
) -> tuple[ClientPlan, ...]:
    """Return the clients of a jetstream workload; client i of a role starts on url i."""
    name = more.pop("name", "orders")
    workload = JetStream.model_validate({"name": name, "stream": stream.name} | more)
    laid = workload.resolved([stream])
    return laid.clients(first_id, lambda _, index: (urls[index % len(urls)],), Phases())


@asynccontextmanager
async def looking(*urls: str) -> AsyncIterator[Connection]:
    """Yield a connection of the test's own, which comes back whatever happens."""

    async def ignore(_: Exception) -> None:
        pass

    connection = await nats.connect(
        list(urls), error_cb=ignore, reconnect_time_wait=0.1, max_reconnect_attempts=-1
    )
    try:
        yield connection
    finally:
        await connection.close()


async def ask(connection: Connection, what: str, **body: Any) -> dict[str, Any]:
    """Return the answer of the JetStream API, asked again until it gives one without an error."""
    with anyio.fail_after(LIMIT_S):
        while True:
            try:
                reply = await connection.request(f"$JS.API.{what}", json.dumps(body).encode(), 1.0)
                answer: dict[str, Any] = json.loads(reply.data)
            except (Error, TimeoutError):
                await anyio.sleep(0.1)
                continue
            if "error" not in answer:
                return answer
            await anyio.sleep(0.1)


async def make(connection: Connection, stream: StreamSpec, *clients: ClientPlan) -> None:
    """Make a stream, and the durable consumers of the clients."""
    await ask(connection, f"STREAM.CREATE.{stream.name}", **stream.config())
    for client in clients:
        if client.consumer is not None and client.consumer.durable:
            name = client.consumer.name
            body = {"stream_name": stream.name, "config": client.consumer.config}
            await ask(connection, f"CONSUMER.CREATE.{stream.name}.{name}", **body)


async def info(connection: Connection, stream: str) -> StreamInfo:
    """Return what the stream's leader says of it, asked until it answers."""
    told: StreamInfo = StreamInfo.from_response(await ask(connection, f"STREAM.INFO.{stream}"))
    return told


def jetstream_arguments(folder: Path, name: str) -> tuple[str, ...]:
    return ("-js", "-sd", str(folder / f"store-{name}"))


def cluster_arguments(ports: list[int], place: int) -> tuple[str, ...]:
    listen = f"nats://127.0.0.1:{ports[place]}"
    routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
    return ("--cluster_name", "trio", "--cluster", listen, "--routes", routes)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
