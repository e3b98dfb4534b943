"""A cluster with JetStream in which something is stored, filled by a client of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import nats
from nats.errors import Error
from nats.js.api import StreamConfig
from nats.js.client import JetStreamContext

from harness.backends.local import LocalBackend
from harness.backends.server_cluster import ServerCluster
from harness.scenario.model import ClusterSpec

LIMIT_S = 45.0
TRY_S = 5.0  # what is asked while a leader changes is never answered
MESSAGES, MESSAGE_BYTES = 40, 600_000  # blocks have 8 MiB
ACKNOWLEDGED = 3


@asynccontextmanager
async def filled_cluster(
    folder: Path, record: Any = lambda *_, **__: None, **spec: Any
) -> AsyncIterator[ServerCluster]:
    """Hold a formed cluster of three; S has some blocks and a consumer, T a message."""
    async with LocalBackend().cluster(
        ClusterSpec.model_validate({"jetstream": True, **spec}),
        groups=(),
        folder=folder / "servers",
        record=record,
    ) as cluster:
        await cluster.form(LIMIT_S)
        await fill(cluster)
        yield cluster


async def fill(cluster: ServerCluster) -> None:
    servers = [f"nats://{node.endpoints.client}" for node in cluster.nodes.values()]
    client = await nats.connect(servers)
    try:
        stream = client.jetstream(timeout=TRY_S)
        for name in ("S", "T"):
            await _make(stream, name)
        for number in range(MESSAGES):
            await _publish(stream, "s.a", bytes([number + 1]) * MESSAGE_BYTES)
        await _publish(stream, "t.a", b"one")
        consumer = await stream.pull_subscribe("s.>", durable="C1")
        await _acknowledge(consumer)
    finally:
        await client.close()
    for node in cluster.nodes.values():
        await _until_filled(node)


async def _make(stream: JetStreamContext, name: str) -> None:
    """Make a stream of three replicas; a cluster that has just formed may ask for patience."""
    with anyio.fail_after(LIMIT_S):
        while True:
            try:
                await stream.add_stream(
                    StreamConfig(name=name, subjects=[f"{name.lower()}.>"], num_replicas=3)
                )
            except Error:
                await anyio.sleep(0.1)
            else:
                return


async def _publish(stream: JetStreamContext, subject: str, payload: bytes) -> None:
    """Publish until it is acknowledged, once as far as the stream is concerned."""
    headers = {"Nats-Msg-Id": f"{subject}-{payload[0]}"}
    with anyio.fail_after(LIMIT_S):
        while True:
            try:
                await stream.publish(subject, payload, headers=headers)
            except Error:
                await anyio.sleep(0.1)
            else:
                return


async def _acknowledge(consumer: JetStreamContext.PullSubscription) -> None:
    """Acknowledge the first messages; a consumer that has no leader yet answers with 503."""
    with anyio.fail_after(LIMIT_S):
        while True:
            try:
                messages = await consumer.fetch(ACKNOWLEDGED, timeout=TRY_S)
            except Error:
                await anyio.sleep(0.1)
            else:
                break
    for message in messages:
        await message.ack_sync(timeout=LIMIT_S)


async def _until_filled(node: Any) -> None:
    """Return once the node has all messages and knows what the consumer acknowledged."""
    with anyio.fail_after(LIMIT_S):
        while True:
            said = (await node.monitor.get("/jsz?accounts=1&streams=1&consumers=1", LIMIT_S)).body
            streams = [
                one
                for account in said.get("account_details") or ()
                for one in account.get("stream_detail") or ()
            ]
            acknowledged = [
                consumer["ack_floor"]["consumer_seq"]
                for one in streams
                for consumer in one.get("consumer_detail") or ()
            ]
            stored = sum(one["state"]["messages"] for one in streams)
            if stored == MESSAGES + 1 and acknowledged == [ACKNOWLEDGED]:
                return
            await anyio.sleep(0.02)
