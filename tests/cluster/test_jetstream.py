from __future__ import annotations

from typing import Any

import pytest
from fake_jetstream import views

from harness.cluster.config import render, system_login
from harness.cluster.jetstream import Views, read_view, refusal
from harness.cluster.protocols import Address, Endpoints
from harness.scenario.model import ClusterSpec

NAMES = {"east-1": "n1", "east-2": "n2", "east-3": "n3"}


def said(leader: str, **peers: Any) -> dict[str, Any]:
    replicas = [{"name": name.replace("_", "-"), **facts} for name, facts in peers.items()]
    consumer = {
        "name": "C",
        "cluster": {"leader": leader},
        "num_pending": 4,
        "num_ack_pending": 2,
        "delivered": {"stream_seq": 9, "consumer_seq": 11},
        "ack_floor": {"stream_seq": 7, "consumer_seq": 9},
    }
    stream = {
        "name": "S",
        "cluster": {"leader": leader, "replicas": replicas},
        "state": {"messages": 3, "bytes": 30, "first_seq": 7, "last_seq": 12, "num_deleted": 3},
        "consumer_detail": [consumer],
    }
    secret = {"name": "$SYS", "stream_detail": [{"name": "OURS"}]}
    return {
        "config": {},
        "meta_cluster": {"leader": leader, "replicas": replicas},
        "account_details": [secret, {"name": "$G", "stream_detail": [stream]}],
    }


def test_a_view_names_nodes_and_leaves_out_the_system_account() -> None:
    view = read_view("n1", said("east-1", east_2={"current": True, "lag": 5}), NAMES)
    assert set(view.streams) == {"S"}
    assert view.leaders == {"meta": "n1", "stream:S": "n1", "consumer:S/C": "n1"}
    (peer,) = view.streams["S"].peers
    assert (peer.node, peer.current, peer.lag, peer.offline) == ("n2", True, 5, False)
    assert view.streams["S"].num_deleted == 3
    consumer = view.streams["S"].consumers["C"]
    assert (consumer.pending, consumer.delivered, consumer.ack_floor) == (4, 9, 7)


def test_a_server_without_jetstream_or_streams_is_seen_as_such() -> None:
    assert not read_view("n1", {"disabled": True}, {}).enabled
    assert read_view("n1", {"config": {}}, {}).leaders == {"meta": None}


def test_a_server_alone_leads_the_consumers_of_which_it_names_no_leader() -> None:
    body = said("east-1")  # as 2.10.25, 2.12.1 and 2.15.1 say it
    del body["meta_cluster"]
    stream = body["account_details"][1]["stream_detail"][0]
    del stream["cluster"]["replicas"], stream["consumer_detail"][0]["cluster"]
    found = Views({"n1": read_view("n1", body, NAMES, alone=True)})
    assert found.leader("consumer:S/C") == found.leader("stream:S") == "n1"
    assert found.replicas("S") == ("n1",)
    consumer = found.consumer("S", "C")
    assert consumer is not None
    assert consumer.pending == 4


@pytest.mark.parametrize("alone", [False, True])
def test_a_consumer_without_a_leader_in_a_cluster_has_none(alone: bool) -> None:
    body = said("east-1")
    if not alone:
        del body["meta_cluster"]  # one of several, that has just been started
    body["account_details"][1]["stream_detail"][0]["consumer_detail"][0]["cluster"] = {}
    assert read_view("n1", body, NAMES, alone=alone).leaders["consumer:S/C"] is None


def test_the_leader_is_whom_most_name_and_lag_is_what_it_says() -> None:
    current = {"current": True}
    nodes = {
        "n1": read_view("n1", said("east-1", east_2=current), NAMES),  # cut off, and unaware
        "n2": read_view("n2", said("east-3", east_1={"current": False, "lag": 7}), NAMES),
        "n3": read_view("n3", said("east-3", east_1={"current": True, "lag": 2}), NAMES),
    }
    found = Views(nodes)
    assert found.leader("stream:S") == "n3"
    assert found.behind("S", 2) == "of stream S, by its leader n3, n1 is 2 behind"
    assert found.replicas("S") == ("n3", "n1")
    assert found.followers("S") == ("n1",)


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (views(), ""),
        (views(late=("n3",)), "n3 is not current"),
        (views(replicas=("n1", "n2")), "2 of 3 replicas"),
        (views(leader=None), "no leader that answers"),
    ],
)
def test_what_keeps_a_stream_from_being_whole_is_told(now: Views, why: str) -> None:
    assert why in now.behind("S", 3)
    assert bool(now.behind("S", 3)) == bool(why)


def test_a_refusal_is_told_with_its_codes() -> None:
    assert refusal({"success": True}) is None
    error = {"code": 503, "err_code": 10075, "description": "peer remap failed"}
    assert refusal({"error": error}) == "peer remap failed (503, 10075)"


def spec(**fields: Any) -> ClusterSpec:
    return ClusterSpec.model_validate({"servers": 1, "jetstream": True, **fields})


def test_the_harness_gives_itself_a_login_of_the_system_account(tmp_path: Any) -> None:
    here = Endpoints(*(Address("127.0.0.1", port) for port in (1, 2, 3)))
    login = system_login(spec())
    assert login is not None
    config = render(spec(), "n1", {"n1": here}, tmp_path)
    secret = login.password.get_secret_value()
    assert secret not in config.text
    assert any(secret in value for value in config.environment.values())
    assert '"$SYS": {' in config.text
    assert secret not in str(config.effective)


@pytest.mark.parametrize(
    "fields",
    [
        {"jetstream": False},
        {"authorization": {"user": "u", "password": "p"}},
        {"config": {"accounts": {"A": {}}}},
        {"container": {"arguments": "-js"}},
    ],
)
def test_where_others_say_who_may_log_in_it_gives_itself_none(fields: dict[str, Any]) -> None:
    assert system_login(spec(**fields)) is None
