"""The plan line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.errors import WorkerError
from harness.load.plan import ClientPlan, WorkerPlan, parse_plan

SENDER = ClientPlan(
    id=2, name="ask-requester-1", role="requester", workload="ask", worker="ask-requesters",
    servers=("nats://127.0.0.1:4222",), subject="ask", rate=10.0, offset_s=0.05,
    payload_bytes=64, timeout_s=1.0, max_in_flight=5,
)  # fmt: skip
RECEIVER = ClientPlan(
    id=3, name="ask-responder-1", role="responder", workload="ask", worker="ask-requesters",
    servers=("nats://127.0.0.1:4222",), subject="ask", queue="responders", senders=(2,),
)  # fmt: skip
PLAN = WorkerPlan(
    worker="ask-requesters", run=7, columns="w.columns", clients=(SENDER, RECEIVER),
    options={"ping_interval": 1.0}, user="joe", password="hunter2", seed="1/0",
)  # fmt: skip


def test_a_plan_comes_back_from_its_line() -> None:
    line = PLAN.to_json()
    assert "\n" not in line
    assert parse_plan(json.loads(line)) == PLAN


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
