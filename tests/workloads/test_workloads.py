"""The kinds of traffic and the clients they lay out."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.scenario.model import Phases
from harness.scenario.streams import StreamSpec
from harness.workloads import WORKLOADS
from harness.workloads.core import Core
from harness.workloads.jetstream import JetStream
from harness.workloads.kv import Kv
from harness.workloads.named import Named
from harness.workloads.object import Object
from harness.workloads.request import Request


def anywhere(role: str, index: int) -> tuple[str, ...]:
    return (f"nats://{role}:{index}",)


def test_every_kind_is_found_by_its_name() -> None:
    kinds = [Core, JetStream, Kv, Named, Object, Request]
    assert dict(WORKLOADS) == {one.__name__.lower(): one for one in kinds}


def test_roles_are_the_keys_of_attach() -> None:
    assert Core.roles == ("publishers", "subscribers")
    assert Request.roles == ("requesters", "responders")


def test_a_core_workload_lays_out_publishers_then_subscribers() -> None:
    clients = Core(name="hello", publishers=2, subscribers=3, rate="500/s", payload="256B").clients(
        10, anywhere, Phases()
    )
    assert [client.id for client in clients] == [10, 11, 12, 13, 14]
    assert [client.name for client in clients] == [
        "hello-publisher-1", "hello-publisher-2",
        "hello-subscriber-1", "hello-subscriber-2", "hello-subscriber-3",
    ]  # fmt: skip
    assert {client.worker for client in clients[:2]} == {"hello-publishers"}
    assert {client.worker for client in clients[2:]} == {"hello-subscribers"}
    assert clients[1].servers == ("nats://publishers:1",)
    assert clients[4].servers == ("nats://subscribers:2",)
    assert {client.subject for client in clients} == {"hello"}
    assert all(client.senders == (10, 11) for client in clients[2:])


def test_publishers_share_the_rate_and_take_turns() -> None:
    clients = Core(name="hello", publishers=4, rate="100/s").clients(0, anywhere, Phases())
    assert [client.rate for client in clients[:4]] == [25.0] * 4
    assert [client.offset_s for client in clients[:4]] == [0.0, 0.01, 0.02, 0.03]


def test_a_queue_reaches_every_subscriber() -> None:
    clients = Core(name="jobs", subscribers=2, queue="workers", subject="a.b").clients(
        0, anywhere, Phases()
    )
    assert [client.queue for client in clients[1:]] == ["workers", "workers"]
    assert {client.subject for client in clients} == {"a.b"}


def test_a_request_workload_lays_out_requesters_and_one_group_of_responders() -> None:
    workload = Request(
        name="ask", requesters=2, responders=2, rate="10/s", timeout="250ms", max_in_flight=7
    )
    clients = workload.clients(5, anywhere, Phases())
    assert [client.role for client in clients] == ["requester"] * 2 + ["responder"] * 2
    assert {(client.timeout_s, client.max_in_flight) for client in clients[:2]} == {(0.25, 7)}
    assert {client.queue for client in clients[2:]} == {"responders"}
    assert all(client.senders == (5, 6) for client in clients[2:])
    assert [client.worker for client in clients[1:3]] == ["ask-requesters", "ask-responders"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": "0/s"},
        {"payload": "31B"},
        {"payload": "65MiB"},
        {"publishers": 10_001},
        {"publishers": 0},
        {"subscribers": 0},
        {"subject": "with space"},
        {"subject": "wild.*"},
        {"subject": "wild.>"},
        {"subject": ".dot"},
        {"subject": ""},
        {"queue": "a b"},
        {"unknown": 1},
    ],
)
def test_values_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Core.model_validate({"name": "hello", "kind": "core"} | wrong)


def test_a_time_out_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError):
        Request.model_validate({"name": "ask", "kind": "request", "timeout": "0s"})


def test_a_kv_workload_lays_out_users_then_watchers_of_one_bucket() -> None:
    workload = Kv(
        name="cfg", users=2, watchers=1, rate="10/s", keys=7, replicas=3, timeout="1s", direct=True
    )
    clients = workload.clients(5, anywhere, Phases())
    assert [client.name for client in clients] == ["cfg-user-1", "cfg-user-2", "cfg-watcher-1"]
    assert [client.worker for client in clients] == ["cfg-users", "cfg-users", "cfg-watchers"]
    assert [client.rate for client in clients] == [5.0, 5.0, None]
    assert clients[2].senders == (5, 6)
    stores = [client.store for client in clients if client.store is not None]
    assert len(stores) == len(clients)
    assert {(store.kind, store.bucket, store.replicas, store.direct) for store in stores} == {
        ("kv", "cfg", 3, True)
    }
    assert [list(store.own_keys) for store in stores[:2]] == [[0, 2, 4, 6], [1, 3, 5]]
    assert workload.stream_names == ("KV_cfg",)
    assert Kv(name="cfg", bucket="b").stream_names == ("KV_b",)


def test_an_object_workload_lays_out_users_of_one_store() -> None:
    workload = Object(name="blobs", users=2, rate="10/s", payload="1MiB", storage="memory")
    clients = workload.clients(0, anywhere, Phases())
    assert [client.name for client in clients] == ["blobs-user-1", "blobs-user-2"]
    stores = [client.store for client in clients if client.store is not None]
    assert [(store.kind, store.bucket, store.storage) for store in stores] == [
        ("object", "blobs", "memory")
    ] * 2
    assert workload.stream_names == ("OBJ_blobs",)
    assert workload.message_bytes == 128 * 1024


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        (Kv, {"mix": {"get": 1}}, "expected something that writes"),
        (Kv, {"mix": {"put": -1}}, "greater than or equal to 0"),
        (Kv, {"mix": {"purge": 1}}, "Extra inputs"),
        (Kv, {"bucket": "a.b"}, "match pattern"),
        (Kv, {"history": 65}, "less than or equal to 64"),
        (Kv, {"replicas": 6}, "less than or equal to 5"),
        (Kv, {"keys": 0}, "greater than or equal to 1"),
        (Object, {"mix": {"get": 1}}, "Field required"),
        (Object, {"mix": {"put": 0}}, "greater than 0"),
    ],
)
def test_what_no_bucket_can_be_is_refused(kind, keys, message) -> None:
    with pytest.raises(ValidationError, match=message):
        kind(name="x", **keys)


ORDERS = StreamSpec(name="ORDERS", subjects=("o.*.>",))


def jetstream(**more: object) -> JetStream:
    facts = {"name": "orders", "stream": "ORDERS"} | more
    return JetStream.model_validate(facts).resolved([ORDERS])


def test_a_jetstream_workload_lays_out_publishers_then_consumers() -> None:
    workload = jetstream(
        publishers=2,
        rate="100/s",
        ack_timeout="2s",
        retry={"max": 5},
        consumers=[{"durable": "C1", "clients": 2}, {"name": "E", "clients": 2}, {"mode": "push"}],
    )
    clients = workload.clients(4, anywhere, Phases())
    assert [client.name for client in clients] == [
        "orders-publisher-1", "orders-publisher-2", "orders-consumer-1", "orders-consumer-2",
        "orders-consumer-3", "orders-consumer-4", "orders-consumer-5",
    ]  # fmt: skip
    assert {client.worker for client in clients} == {"orders-publishers", "orders-consumers"}
    assert {client.subject for client in clients} == {"o.orders.orders"}
    assert {client.stream for client in clients} == {"ORDERS"}
    first = clients[0]
    assert (first.timeout_s, first.max_in_flight, first.rate) == (2.0, 256, 50.0)
    assert first.retry is not None
    assert (first.retry.max, first.retry.msg_id, first.retry.wait_s) == (5, True, 0.25)
    consumers = [client.consumer for client in clients[2:]]
    assert all(one is not None for one in consumers)
    assert [one.name for one in consumers if one] == ["C1", "C1", "E-1", "E-2", "orders-3"]
    assert [one.durable for one in consumers if one] == [True, True, False, False, False]
    assert all(client.senders == (4, 5) for client in clients[2:])


def test_durable_consumers_are_told_as_the_server_wants_them() -> None:
    workload = jetstream(
        consumers=[
            {"durable": "C1", "ack_wait": "2s", "max_deliver": 3, "filter": "o.a.>",
             "options": {"description": "x"}},
            {"durable": "P1", "mode": "push", "clients": 2, "ack": "none", "replicas": 1},
            {"name": "E"},
        ]
    )  # fmt: skip
    assert workload.durables() == {
        "ORDERS": {
            "C1": {
                "name": "C1", "durable_name": "C1", "ack_policy": "explicit",
                "deliver_policy": "all", "filter_subject": "o.a.>", "ack_wait": 2_000_000_000,
                "max_deliver": 3, "description": "x",
            },
            "P1": {
                "name": "P1", "durable_name": "P1", "ack_policy": "none",
                "deliver_policy": "all", "num_replicas": 1,
                "deliver_subject": "_INBOX.nats-harness.ORDERS.P1", "deliver_group": "P1",
            },
        }
    }  # fmt: skip
    assert jetstream().durables() == {}


def test_a_workload_says_how_long_its_last_attempts_may_take() -> None:
    assert jetstream(ack_timeout="3s").settle_s == 3.0
    assert Request(name="ask", timeout="2s").settle_s == 2.0
    assert Core(name="hello").settle_s == 0.0
