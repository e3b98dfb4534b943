"""The plan line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.errors import WorkerError
from harness.load.plan import ClientPlan, ConsumerPlan, RetryPlan, WorkerPlan, parse_plan
from harness.load.stores import StorePlan

SENDER = ClientPlan(
    id=2, name="ask-requester-1", role="requester", workload="ask", worker="ask-requesters",
    servers=("nats://127.0.0.1:4222",), subject="ask", rate=10.0, offset_s=0.05,
    payload_bytes=64, timeout_s=1.0, max_in_flight=5,
)  # fmt: skip
RECEIVER = ClientPlan(
    id=3, name="ask-responder-1", role="responder", workload="ask", worker="ask-requesters",
    servers=("nats://127.0.0.1:4222",), subject="ask", queue="responders", senders=(2,),
)  # fmt: skip
STORE = StorePlan(
    kind="kv", bucket="cfg", keys=5, mix={"put": 1.0, "get": 2.0}, replicas=3, history=4,
    storage="memory", direct=True, place=1, clients=2,
)  # fmt: skip
USER = ClientPlan(
    id=4, name="cfg-user-1", role="user", workload="cfg", worker="ask-requesters",
    servers=("nats://127.0.0.1:4222",), subject="$KV.cfg", rate=10.0, offset_s=0.05,
    payload_bytes=64, timeout_s=1.0, max_in_flight=5, store=STORE,
)  # fmt: skip
WATCHER = ClientPlan(
    id=5, name="cfg-watcher-1", role="watcher", workload="cfg", worker="ask-requesters",
    servers=("nats://127.0.0.1:4222",), subject="$KV.cfg", senders=(4,), timeout_s=1.0, store=STORE,
)  # fmt: skip
PLAN = WorkerPlan(
    worker="ask-requesters", run=7, columns="w.columns", clients=(SENDER, RECEIVER, USER, WATCHER),
    options={"ping_interval": 1.0}, user="joe", password="hunter2", seed="1/0",
)  # fmt: skip


def test_a_plan_comes_back_from_its_line() -> None:
    line = PLAN.to_json()
    assert "\n" not in line
    assert parse_plan(json.loads(line)) == PLAN


PUBLISHER = replace(
    SENDER, role="publisher", stream="ORDERS", retry=RetryPlan(max=2, msg_id=True, wait_s=0.25)
)
CONSUMER = replace(
    RECEIVER, role="consumer", queue=None, stream="ORDERS",
    consumer=ConsumerPlan("C1", "pull", True, "explicit", 10, 1.0, 0.0, {"ack_wait": 5}),
)  # fmt: skip


def test_a_plan_for_a_stream_comes_back_from_its_line() -> None:
    plan = replace(PLAN, clients=(PUBLISHER, replace(PUBLISHER, retry=None), CONSUMER))
    assert parse_plan(json.loads(plan.to_json())) == plan


def test_clients_of_streams_tell_the_history_of_them() -> None:
    assert PUBLISHER.describe()["stream"] == "ORDERS"
    assert "consumer" not in PUBLISHER.describe()
    assert (CONSUMER.describe()["stream"], CONSUMER.describe()["consumer"]) == ("ORDERS", "C1")


def test_a_consumer_without_its_consumer_is_refused() -> None:
    message = json.loads(replace(PLAN, clients=(CONSUMER,)).to_json())
    del message["clients"][0]["consumer"]
    with pytest.raises(WorkerError, match="the plan lacks 'consumer'"):
        parse_plan(message)


def test_a_plan_shows_no_password() -> None:
    assert "hunter2" not in repr(PLAN)
    assert "hunter2" not in str(PLAN)


def test_a_client_tells_the_history_what_it_keeps() -> None:
    assert set(RECEIVER.describe()) == {
        "id", "name", "role", "workload", "queue", "senders", "rate", "offset_s",
    }  # fmt: skip


def test_another_protocol_version_is_refused() -> None:
    message = json.loads(PLAN.to_json()) | {"protocol": 2}
    with pytest.raises(WorkerError, match="speaks protocol 1, the plan is for 2"):
        parse_plan(message)


@pytest.mark.parametrize("key", ["worker", "run", "columns", "clients", "adapter"])
def test_a_missing_key_is_named(key: str) -> None:
    message = json.loads(PLAN.to_json())
    del message[key]
    with pytest.raises(WorkerError, match=f"the plan lacks '{key}'"):
        parse_plan(message)


@pytest.mark.parametrize(
    ("index", "key"),
    [(0, "rate"), (0, "payload_bytes"), (0, "timeout_s"), (0, "servers"), (1, "senders")],
)
def test_a_missing_key_of_a_client_is_named(index: int, key: str) -> None:
    message = json.loads(PLAN.to_json())
    del message["clients"][index][key]
    with pytest.raises(WorkerError, match=f"the plan lacks '{key}'"):
        parse_plan(message)


def test_values_of_a_wrong_type_are_refused_without_showing_the_plan() -> None:
    message = json.loads(PLAN.to_json()) | {"run": "seven"}
    with pytest.raises(WorkerError, match="cannot be read") as caught:
        parse_plan(message)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_role_is_refused() -> None:
    message = json.loads(replace(PLAN, clients=(replace(SENDER, role="juggler"),)).to_json())
    with pytest.raises(WorkerError, match="unknown role 'juggler'"):
        parse_plan(message)


LISTED = ClientPlan(
    id=4, name="guide-publisher-1", role="publisher", workload="guide", worker="ask-requesters",
    servers=("nats://127.0.0.1:4222",), subject="guide", due_s=(0.5, 1.0), texts=("a", "b"),
)  # fmt: skip


def test_listed_messages_come_back_and_are_told_to_the_history() -> None:
    plan = replace(PLAN, clients=(LISTED, RECEIVER))
    message = json.loads(plan.to_json())
    assert not {"rate", "offset_s", "payload_bytes"} & set(message["clients"][0])
    assert parse_plan(message) == plan
    told = LISTED.describe()
    assert (told["due_s"], told["texts"], told["rate"]) == ([0.5, 1.0], ["a", "b"], None)


@pytest.mark.parametrize(
    "wrong", [{"due_s": []}, {"due_s": [1.0, 0.5]}, {"due_s": [1.0]}, {"texts": ["a", "b", "c"]}]
)
def test_lists_that_do_not_fit_are_refused(wrong: dict[str, object]) -> None:
    message = json.loads(replace(PLAN, clients=(LISTED,)).to_json())
    message["clients"][0] |= wrong
    with pytest.raises(WorkerError, match="needs ascending times in due_s"):
        parse_plan(message)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("kind", "queue", "a store is 'kv' or 'object'"), ("keys", "many", "invalid literal")],
)
def test_a_store_that_cannot_be_read_is_refused(key: str, value: str, message: str) -> None:
    plan = json.loads(PLAN.to_json())
    plan["clients"][2]["store"][key] = value
    with pytest.raises(WorkerError, match=message):
        parse_plan(plan)
