from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from fake_jetstream import NODES, FakeJetStream, views
from fake_nodes import Events, FakeNode
from fake_strikes import injection_on

from harness.cluster.jetstream import Views
from harness.cluster.targets import resolve
from harness.errors import FaultError
from harness.faults import FAULTS
from harness.scenario.sites import NOWHERE

pytestmark = pytest.mark.anyio


class FakeCluster:
    sites = NOWHERE

    def __init__(self, jetstream: FakeJetStream | None) -> None:
        self.nodes = {name: FakeNode(name, []) for name in NODES}
        self.record = Events()
        self.jetstream = jetstream


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("step_down", "peer_remove"):
        monkeypatch.setattr(f"harness.faults.{module}.EFFECT_LIMIT_S", 0.1)
        monkeypatch.setattr(f"harness.faults.{module}.UNDO_LIMIT_S", 0.1)


async def inject(jetstream: FakeJetStream | None, **fields: Any) -> Events:
    cluster = FakeCluster(jetstream)
    fault = FAULTS[fields["action"]].model_validate({"name": "f", **fields})
    await injection_on(cluster, fault).run()
    return cluster.record


def failure(record: Events) -> str:
    (facts,) = [
        facts
        for kind, facts in zip(record.kinds, record.facts, strict=True)
        if kind == "fault.failed"
    ]
    return f"{facts['edge']}: {facts['message']}"


def moves_to(**now: Any) -> FakeJetStream:
    return FakeJetStream(react=lambda one, _: setattr(one, "now", views(**now)))


async def test_a_step_down_is_proven_by_another_leader() -> None:
    jetstream = moves_to(leader="n3")
    record = await inject(jetstream, action="step-down", target="stream-leader:S")
    assert jetstream.asked == [("$JS.API.STREAM.LEADER.STEPDOWN.S", None, False)]
    assert record.proofs("effect") == ["n1: stream:S went to n3"]
    assert record.proofs("undo") == ["n1: stream:S is led by n3"]
    hit = record.facts[record.kinds.index("fault.hit")]
    assert (hit["node"], hit["groups"]) == ("n1", [])


async def test_a_leader_that_stays_is_no_step_down() -> None:
    record = await inject(FakeJetStream(), action="step-down", target="stream-leader:S")
    assert failure(record) == "effect: stream:S is led by n1, after 0.1 s"


async def test_a_group_that_nobody_leads_afterwards_is_not_healed() -> None:
    record = await inject(moves_to(leader=None), action="step-down", target="stream-leader:S")
    assert "nobody" in failure(record) or "no leader" in failure(record)


async def test_the_preferred_node_and_no_other_has_to_lead() -> None:
    jetstream = moves_to(leader="n3")
    fields = {"action": "step-down", "target": "stream-leader:S", "preferred": "n2"}
    assert "led by n3" in failure(await inject(jetstream, **fields))
    assert jetstream.asked[0][1] == {"placement": {"preferred": "n2!"}}
    record = await inject(moves_to(leader="n2"), **fields)
    assert record.proofs("effect") == ["n1: stream:S went to n2"]


@pytest.mark.parametrize(
    ("version", "said"),
    [("2.10.25", None), ("2.11.0", "n2!"), ("dev", "n2!")],
)
async def test_a_server_that_does_not_know_the_key_is_not_told_who_is_preferred(
    version: str, said: str | None
) -> None:
    jetstream = moves_to(leader="n2")
    cluster = FakeCluster(jetstream)
    cluster.nodes["n3"].version = version
    fields = {"name": "f", "action": "step-down", "target": "stream-leader:S", "preferred": "n2"}
    await injection_on(cluster, FAULTS["step-down"].model_validate(fields)).run()
    body = None if said is None else {"placement": {"preferred": said}}
    assert jetstream.asked[0][1] == body
    assert cluster.record.proofs("effect") == ["n1: stream:S went to n2"]


async def test_of_several_preferred_nodes_the_first_that_does_not_lead_has_to() -> None:
    fields = {"action": "step-down", "target": "stream-leader:S", "preferred": ["n1", "n2"]}
    jetstream = moves_to(leader="n2")
    record = await inject(jetstream, **fields)
    assert jetstream.asked[0][1] == {"placement": {"preferred": "n2!"}}
    assert record.proofs("effect") == ["n1: stream:S went to n2"]
    assert "led by n3" in failure(await inject(moves_to(leader="n3"), **fields))
    fields["preferred"] = ["n1"]
    assert "n1 leads stream:S already" in failure(await inject(moves_to(leader="n2"), **fields))


async def test_the_meta_leader_steps_down_for_the_system_account_only() -> None:
    jetstream = moves_to(meta="n2")
    record = await inject(jetstream, action="step-down", target="meta-leader")
    assert jetstream.asked == [("$JS.API.META.LEADER.STEPDOWN", None, True)]
    assert record.proofs("effect") == ["n1: meta went to n2"]
    jetstream = moves_to(meta="n2")
    jetstream.system = False
    assert "system account" in failure(
        await inject(jetstream, action="step-down", target="meta-leader")
    )


async def test_what_the_server_refuses_has_failed() -> None:
    jetstream = FakeJetStream(answer={"error": {"code": 503, "description": "not now"}})
    record = await inject(jetstream, action="step-down", target="stream-leader:S")
    assert "refuses it: not now" in failure(record)


async def test_a_removed_peer_is_replaced_and_the_stream_whole_again() -> None:
    jetstream = FakeJetStream(now=views(replicas=("n1", "n2")))
    jetstream.react = lambda one, _: setattr(one, "now", views(replicas=("n1", "n3")))
    record = await inject(jetstream, action="peer-remove", stream="S", target="n2")
    assert jetstream.asked == [("$JS.API.STREAM.PEER.REMOVE.S", {"peer": "n2!"}, False)]
    assert record.proofs("effect") == ["n2: n1, n3 have replicas now"]
    assert record.proofs("undo") == ["n2: S has its replicas on n1, n3, all current"]


async def test_a_peer_that_stays_or_was_none_is_not_removed() -> None:
    jetstream = FakeJetStream(now=views(replicas=("n1", "n2")))
    record = await inject(jetstream, action="peer-remove", stream="S", target="n2")
    assert "n2 still has a replica" in failure(record)
    record = await inject(jetstream, action="peer-remove", stream="S", target="n3")
    assert "n3 has no replica of S; n1, n2 have" in failure(record)


def becoming(after: Views) -> Callable[[FakeJetStream, str], None]:
    def react(jetstream: FakeJetStream, _: str) -> None:
        jetstream.now = after

    return react


async def test_a_stream_that_stays_short_of_a_replica_is_not_healed() -> None:
    for after in (views(replicas=("n1",)), views(replicas=("n1", "n3"), late=("n3",))):
        jetstream = FakeJetStream(now=views(replicas=("n1", "n2")))
        jetstream.react = becoming(after)
        record = await inject(jetstream, action="peer-remove", stream="S", target="n2")
        assert failure(record).startswith("undo: ")


async def test_without_an_observer_nobody_knows_who_leads() -> None:
    record = await inject(None, action="step-down", target="stream-leader:S")
    assert "nobody observes JetStream" in failure(record)


def struck(target: str, count: str = "all", **now: Any) -> tuple[str, ...]:
    step = FAULTS["kill"].model_validate(
        {"name": "f", "action": "kill", "target": target, "count": count, "duration": "1s"}
    )
    return resolve(step, NODES, lambda *_: frozenset(), Random(1), None, views(**now))


def test_targets_are_resolved_by_what_servers_say_now() -> None:
    assert struck("stream-leader:S", leader="n2") == ("n2",)
    assert struck("meta-leader", meta="n3") == ("n3",)
    assert struck("follower:S", leader="n2") == ("n1", "n3")
    assert len(struck("follower:S", "one", leader="n2")) == 1


@pytest.mark.parametrize(
    ("target", "now"),
    [
        ("stream-leader:S", {"leader": None}),
        ("stream-leader:T", {}),
        ("meta-leader", {"meta": None}),
        ("follower:S", {"leader": None}),
        ("follower:S", {"replicas": ("n1",)}),
    ],
)
def test_a_target_that_nobody_is_now_is_an_error(target: str, now: dict[str, Any]) -> None:
    with pytest.raises(FaultError, match=r"no leader now|no follower now"):
        struck(target, **now)
