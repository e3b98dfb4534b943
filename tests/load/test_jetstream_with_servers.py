"""Publishers to streams and consumers, in a worker of their own, with one real server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from jetstream_servers import ask, info, jetstream_arguments, lay_out, looking, make

from harness.clock import now_ns, to_ns
from harness.history.columns import read_columns
from harness.history.tables import Integrity, Outcome
from harness.scenario.streams import StreamSpec

pytestmark = pytest.mark.anyio

ORDERS = StreamSpec(name="ORDERS", subjects=("o.>",))
LIMIT_S = 20.0


@pytest.fixture
def server(serve: Callable[..., Any], tmp_path: Path) -> Any:
    return serve("n1", *jetstream_arguments(tmp_path, "n1"))


async def run(
    at_work: Any, office: Any, clients: Any, *, length_s: float = 1.0, drain_s: float = LIMIT_S
) -> bool:
    """Let the clients work for a while; tell whether all was drained."""
    async with at_work(office, office.plans(*clients)) as crew:
        await anyio.sleep(length_s)
        await crew.stop(now_ns() + to_ns(0.1), LIMIT_S)
        drained: bool = await crew.drain(drain_s)
        await crew.finish(LIMIT_S)
    return drained


def left(office: Any, worker: str) -> dict[str, dict[str, Any]]:
    columns = read_columns(office.columns(worker))
    assert columns.complete, columns.problem
    return columns.tables


async def test_every_acknowledged_message_has_its_place_in_the_stream(
    at_work: Any, office: Any, server: Any
) -> None:
    clients = lay_out(ORDERS, server.url, publishers=2, rate="400/s", consumers=[{"durable": "C1"}])
    async with looking(server.url) as connection:
        await make(connection, ORDERS, *clients)
        assert await run(at_work, office, clients)
        stored = (await info(connection, "ORDERS")).state.messages
    published, consumed = left(office, "orders-publishers"), left(office, "orders-consumers")
    sent, acks, seen = published["sent"], published["acks"], consumed["consumed"]
    assert len(sent["client"]) >= 300
    assert set(sent["outcome"]) == {Outcome.ACKED}
    assert sorted(acks["stream_sequence"]) == list(range(1, stored + 1))
    assert set(zip(acks["client"], acks["sequence"], strict=True)) == set(
        zip(sent["client"], sent["sequence"], strict=True)
    )
    assert set(acks["attempts"]) == {1}
    assert not acks["duplicate"].any()
    assert list(seen["stream_sequence"]) == list(range(1, stored + 1))
    assert list(seen["consumer_sequence"]) == list(range(1, stored + 1))
    assert set(seen["delivery"]) == {1}
    assert seen["acked"].all()
    assert set(seen["integrity"]) == {Integrity.INTACT}
    assert set(zip(seen["sender"], seen["sequence"], strict=True)) == set(
        zip(sent["client"], sent["sequence"], strict=True)
    )
    (done,) = [one for one in office.of("worker.done") if one["worker"] == "orders-publishers"]
    assert done["rows"]["acks"] == len(acks["client"])
    (told,) = office.of("subscription.confirmed")
    assert told["senders"] == ["orders-publisher-1", "orders-publisher-2"]


@pytest.mark.parametrize(
    "consumer",
    [
        {"durable": "C1", "clients": 2, "batch": 3},
        {"name": "E1"},
        {"durable": "C1", "ack": "all"},
        {"durable": "C1", "ack": "none"},
        {"durable": "P1", "mode": "push"},
        {"durable": "P1", "mode": "push", "clients": 2},
        {"durable": "P1", "mode": "push", "idle_heartbeat": "500ms", "flow_control": True},
        {"name": "E1", "mode": "push", "ack": "none"},
        {"mode": "ordered"},
        {"durable": "F1", "filter": "o.orders"},
    ],
    ids=str,
)
async def test_every_kind_of_consumer_gets_everything_once(
    at_work: Any, office: Any, server: Any, consumer: dict[str, Any]
) -> None:
    clients = lay_out(ORDERS, server.url, rate="100/s", consumers=[consumer])
    async with looking(server.url) as connection:
        await make(connection, ORDERS, *clients)
        assert await run(at_work, office, clients, length_s=0.5)
        stored = (await info(connection, "ORDERS")).state.messages
    seen = left(office, "orders-consumers")["consumed"]
    assert stored >= 30
    assert sorted(seen["stream_sequence"]) == list(range(1, stored + 1))
    acknowledges = clients[1].consumer is not None and clients[1].consumer.ack != "none"
    assert set(seen["acked"]) == {int(acknowledges)}


async def test_a_message_that_is_worked_on_for_too_long_is_delivered_again(
    at_work: Any, office: Any, server: Any
) -> None:
    queue = StreamSpec(name="JOBS", subjects=("jobs",), retention="workqueue")
    slow = {"durable": "C1", "ack_wait": "500ms", "work": "700ms", "batch": 1, "clients": 2}
    clients = lay_out(queue, server.url, name="jobs", rate="2/s", consumers=[slow])
    async with looking(server.url) as connection:
        await make(connection, queue, *clients)
        assert await run(at_work, office, clients, length_s=1.5)
        assert (await info(connection, "JOBS")).state.messages == 0
    seen = left(office, "jobs-consumers")["consumed"]
    sent = left(office, "jobs-publishers")["sent"]
    assert set(seen["sequence"]) == set(sent["sequence"])
    assert seen["delivery"].max() > 1


async def test_a_full_stream_refuses(at_work: Any, office: Any, server: Any) -> None:
    small = StreamSpec(name="SMALL", subjects=("small",), max_msgs=10, discard="new")
    clients = lay_out(small, server.url, name="small", rate="100/s", max_in_flight=1)
    async with looking(server.url) as connection:
        await make(connection, small)
        assert await run(at_work, office, clients, length_s=0.5)
        assert (await info(connection, "SMALL")).state.messages == 10
    sent = left(office, "small-publishers")["sent"]
    assert list(sent["outcome"][:10]) == [Outcome.ACKED] * 10
    assert set(sent["outcome"][10:]) == {Outcome.REFUSED}


async def test_without_a_stream_publishes_are_refused_and_where_nobody_answers_unknown(
    at_work: Any, office: Any, server: Any
) -> None:
    silent = StreamSpec(name="ORDERS", subjects=("mute",), options={"no_ack": True})
    clients = (
        *lay_out(StreamSpec(name="GONE"), server.url, name="lost", rate="50/s"),
        *lay_out(silent, server.url, name="mute", first_id=1, ack_timeout="200ms", rate="50/s"),
    )
    async with looking(server.url) as connection:
        await make(connection, silent)
        assert await run(at_work, office, clients, length_s=0.5)
    assert set(left(office, "lost-publishers")["sent"]["outcome"]) == {Outcome.REFUSED}
    mute = left(office, "mute-publishers")
    assert set(mute["sent"]["outcome"]) == {Outcome.UNKNOWN}
    assert len(mute["acks"]["client"]) == 0


async def test_an_acknowledgement_of_another_stream_proves_nothing_and_is_told(
    at_work: Any, office: Any, server: Any
) -> None:
    other = StreamSpec(name="OTHER", subjects=("o.>",))
    clients = lay_out(ORDERS, server.url, rate="20/s")
    async with looking(server.url) as connection:
        await make(connection, other)
        assert await run(at_work, office, clients, length_s=0.3)
    publisher = left(office, "orders-publishers")
    assert set(publisher["sent"]["outcome"]) == {Outcome.UNKNOWN}
    assert len(publisher["acks"]["client"]) == 0
    told = office.of("client.misacked")
    assert len(told) == len(publisher["sent"]["client"])
    assert told[0]["stream"] == "OTHER"
    assert told[0]["stream_sequence"] >= 1


@pytest.mark.parametrize("mode", ["pull", "push"])
async def test_a_consumer_of_its_own_is_made_again_where_it_left_off(
    at_work: Any, office: Any, server: Any, mode: str, until: Any
) -> None:
    clients = lay_out(ORDERS, server.url, rate="100/s", consumers=[{"name": "E1", "mode": mode}])
    async with looking(server.url) as connection:
        await make(connection, ORDERS)
        async with at_work(office, office.plans(*clients)) as crew:
            await until(lambda: crew.stats["orders-consumers"].delivered > 20)
            await ask(connection, "CONSUMER.DELETE.ORDERS.E1")
            await until(lambda: len(office.of("client.consumer_made")) == 2)
            await crew.stop(now_ns() + to_ns(0.1), LIMIT_S)
            assert await crew.drain(LIMIT_S)
            await crew.finish(LIMIT_S)
        stored = (await info(connection, "ORDERS")).state.messages
    seen = left(office, "orders-consumers")["consumed"]["stream_sequence"]
    assert set(seen) == set(range(1, stored + 1))
    assert len(seen) < 1.5 * stored
    assert office.of("client.consumer_made")[1]["start"] > 1


async def test_a_durable_consumer_that_is_gone_is_told_and_not_made_again(
    at_work: Any, office: Any, server: Any, until: Any
) -> None:
    clients = lay_out(ORDERS, server.url, rate="50/s", consumers=[{"durable": "C1"}])

    def complaints() -> list[str]:
        return [one["error"] for one in office.of("client.error") if "Gone" in one["error"]]

    async with looking(server.url) as connection:
        await make(connection, ORDERS, *clients)
        async with at_work(office, office.plans(*clients)) as crew:
            await until(lambda: crew.stats["orders-consumers"].delivered > 5)
            await ask(connection, "CONSUMER.DELETE.ORDERS.C1")
            await until(lambda: bool(complaints()))
            await crew.stop(now_ns() + to_ns(0.1), LIMIT_S)
            assert not await crew.drain(1.0)
            await crew.finish(LIMIT_S)
        assert (await info(connection, "ORDERS")).state.consumer_count == 0
    assert "consumer not found" in complaints()[0]


async def test_what_was_received_and_not_handled_is_in_the_columns(
    at_work: Any, office: Any, server: Any, until: Any
) -> None:
    idle = {"durable": "C1", "work": "1m", "batch": 5}
    clients = lay_out(ORDERS, server.url, rate="50/s", consumers=[idle])
    async with looking(server.url) as connection:
        await make(connection, ORDERS, *clients)
        async with at_work(office, office.plans(*clients)) as crew:
            with anyio.fail_after(LIMIT_S):
                while not (await ask(connection, "CONSUMER.INFO.ORDERS.C1"))["num_ack_pending"]:
                    await anyio.sleep(0.05)
            await crew.stop(now_ns() + to_ns(1.2), LIMIT_S)
            assert not await crew.drain(0.5)
            await crew.finish(LIMIT_S)
    seen = left(office, "orders-consumers")["consumed"]
    assert len(seen["client"]) >= 1
    assert not seen["acked"].any()


async def test_probes_and_end_markers_stay_out_of_the_stream(
    at_work: Any, office: Any, server: Any
) -> None:
    clients = lay_out(ORDERS, server.url, rate="20/s", consumers=[{"durable": "C1"}])
    async with looking(server.url) as connection:
        await make(connection, ORDERS, *clients)
        assert await run(at_work, office, clients, length_s=0.5)
        stored = (await info(connection, "ORDERS")).state.messages
    assert stored == len(left(office, "orders-publishers")["sent"]["client"])
    seen = left(office, "orders-consumers")["consumed"]
    assert np.all(seen["integrity"] == Integrity.INTACT)
