"""The kinds of traffic and the clients they lay out."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.workloads import WORKLOADS
from harness.workloads.core import Core
from harness.workloads.request import Request


def anywhere(role: str, index: int) -> tuple[str, ...]:
    return (f"nats://{role}:{index}",)


def test_every_kind_is_found_by_its_name() -> None:
    assert dict(WORKLOADS) == {"core": Core, "request": Request}


def test_roles_are_the_keys_of_attach() -> None:
    assert Core.roles == ("publishers", "subscribers")
    assert Request.roles == ("requesters", "responders")


def test_a_core_workload_lays_out_publishers_then_subscribers() -> None:
    clients = Core(name="hello", publishers=2, subscribers=3, rate="500/s", payload="256B").clients(
        10, anywhere
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
    clients = Core(name="hello", publishers=4, rate="100/s").clients(0, anywhere)
    assert [client.rate for client in clients[:4]] == [25.0] * 4
    assert [client.offset_s for client in clients[:4]] == [0.0, 0.01, 0.02, 0.03]


def test_a_queue_reaches_every_subscriber() -> None:
    clients = Core(name="jobs", subscribers=2, queue="workers", subject="a.b").clients(0, anywhere)
    assert [client.queue for client in clients[1:]] == ["workers", "workers"]
    assert {client.subject for client in clients} == {"a.b"}


def test_a_request_workload_lays_out_requesters_and_one_group_of_responders() -> None:
    workload = Request(
        name="ask", requesters=2, responders=2, rate="10/s", timeout="250ms", max_in_flight=7
    )
    clients = workload.clients(5, anywhere)
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
