"""Publishers to streams and consumers while the servers of a cluster fail."""

from __future__ import annotations

import base64
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from jetstream_servers import (
    ask,
    cluster_arguments,
    free_ports,
    info,
    jetstream_arguments,
    lay_out,
    looking,
    make,
)

from harness.clock import now_ns, to_ns
from harness.history.columns import read_columns
from harness.history.tables import Integrity, Outcome
from harness.load.payload import examine
from harness.scenario.streams import StreamSpec

pytestmark = pytest.mark.anyio

ORDERS = StreamSpec(name="ORDERS", subjects=("o.>",), replicas=3)
LIMIT_S = 40.0


@pytest.fixture
def trio(serve: Callable[..., Any], tmp_path: Path) -> dict[str, Any]:
    """Three routed servers with JetStream, by name."""
    ports = free_ports(3)
    names = [f"n{number}" for number in (1, 2, 3)]
    return {
        name: serve(name, *jetstream_arguments(tmp_path, name), *cluster_arguments(ports, place))
        for place, name in enumerate(names)
    }


async def leader_of(connection: Any, stream: str) -> str:
    with anyio.fail_after(LIMIT_S):
        while True:
            cluster = (await info(connection, stream)).cluster
            if cluster is not None and cluster.leader:
                return str(cluster.leader)
            await anyio.sleep(0.1)


def left(office: Any, worker: str) -> dict[str, dict[str, Any]]:
    columns = read_columns(office.columns(worker))
    assert columns.complete, columns.problem
    return columns.tables


async def kill_the_leader(
    trio: dict[str, Any], at_work: Any, office: Any, until: Any, **workload: Any
) -> dict[int, tuple[int, int]]:
    """Publish and consume over a kill of the stream's leader; return what the stream holds.

    The clients start on another server than the leader. Keys are stream sequences, values
    (sender, sequence), as the messages' own headers have them.
    """
    urls = [server.url for server in trio.values()]
    async with looking(*urls) as connection:
        await make(connection, ORDERS)
        leader = await leader_of(connection, "ORDERS")
        others = [server.url for name, server in trio.items() if name != leader]
        clients = lay_out(ORDERS, *others, **workload)
        for client in clients:
            if client.consumer is not None and client.consumer.durable:
                body = {"stream_name": "ORDERS", "config": client.consumer.config}
                await ask(connection, f"CONSUMER.CREATE.ORDERS.{client.consumer.name}", **body)
        async with at_work(office, office.plans(*clients)) as crew:
            await until(lambda: crew.stats["orders-publishers"].accepted > 50)
            trio[leader].signal(signal.SIGKILL)
            await until(lambda: crew.stats["orders-publishers"].in_flight > 0)
            before = crew.stats["orders-publishers"].accepted
            await until(lambda: crew.stats["orders-publishers"].accepted > before + 200, LIMIT_S)
            trio[leader].start()
            await crew.stop(now_ns() + to_ns(0.1), LIMIT_S)
            assert await crew.drain(LIMIT_S)
            await crew.finish(LIMIT_S)
        last = (await info(connection, "ORDERS")).state.last_seq
        return await stored(connection, "ORDERS", last)


async def stored(connection: Any, stream: str, last: int) -> dict[int, tuple[int, int]]:
    """Read every message of a stream by its sequence."""
    found = {}
    for sequence in range(1, last + 1):
        answer = await ask(connection, f"STREAM.MSG.GET.{stream}", seq=sequence)
        header, integrity = examine(base64.b64decode(answer["message"]["data"]), 0x5EED)
        assert integrity is Integrity.INTACT
        found[sequence] = (header.sender, header.sequence)
    return found


async def test_retries_with_message_ids_store_each_message_once(
    trio: dict[str, Any], at_work: Any, office: Any, until: Any
) -> None:
    kept = await kill_the_leader(
        trio, at_work, office, until,
        rate="100/s", ack_timeout="1s", max_in_flight=2000,
        retry={"max": 20, "wait": "200ms"}, consumers=[{"durable": "C1"}],
    )  # fmt: skip
    published = left(office, "orders-publishers")
    sent, acks = published["sent"], published["acks"]
    assert len(set(kept.values())) == len(kept), "the stream holds a message twice"
    assert acks["attempts"].max() > 1
    for client, sequence, place in zip(
        acks["client"], acks["sequence"], acks["stream_sequence"], strict=True
    ):
        assert kept[int(place)] == (client, sequence)
    acked = set(sent["sequence"][sent["outcome"] == Outcome.ACKED])
    assert acked == set(acks["sequence"])
    refused = set(sent["sequence"][sent["outcome"] == Outcome.REFUSED])
    assert not refused & {sequence for _, sequence in kept.values()}
    seen = left(office, "orders-consumers")["consumed"]
    assert set(seen["stream_sequence"]) == set(kept)


async def test_without_retries_what_is_refused_is_not_in_the_stream(
    trio: dict[str, Any], at_work: Any, office: Any, until: Any
) -> None:
    kept = await kill_the_leader(
        trio, at_work, office, until,
        rate="100/s", ack_timeout="1s", consumers=[{"mode": "ordered", "idle_heartbeat": "500ms"}],
    )  # fmt: skip
    sent = left(office, "orders-publishers")["sent"]
    refused = set(sent["sequence"][sent["outcome"] == Outcome.REFUSED])
    there = {sequence for _, sequence in kept.values()}
    assert len(refused) > 10
    assert not refused & there
    assert set(sent["sequence"][sent["outcome"] == Outcome.ACKED]) <= there
    seen = left(office, "orders-consumers")["consumed"]["stream_sequence"]
    assert set(seen) == set(kept)
    assert np.all(np.diff(seen.astype(np.int64)) > 0), "an ordered consumer is in order, once"
