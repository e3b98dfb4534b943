from __future__ import annotations

from contextlib import nullcontext
from random import Random
from typing import Any

import anyio
import pytest
from fake_links import FakeCluster, FakeLinks
from fake_nodes import Events
from fake_shaper import FakeShaper
from fake_strikes import injection_on, strike_on, strike_with

from harness.cluster.links import Answer
from harness.cluster.shapes import Shape
from harness.errors import FaultError
from harness.faults import FAULTS
from harness.faults.base import Fault, Strike

pytestmark = pytest.mark.anyio

N1_N2 = "n1->n2"


def make_fault(action: str, **fields: Any) -> Fault:
    return FAULTS[action].model_validate({"name": "f", "action": action, **fields})


def strike_at(cluster: FakeCluster, *names: str) -> Strike:
    nodes = tuple(cluster.nodes[name] for name in names)
    return strike_on(nodes, "some-action", cluster.record, silent=True, random=Random(1))


def make(**fields: Any) -> tuple[FakeLinks, FakeCluster, Events]:
    links = FakeLinks(**fields)
    cluster = FakeCluster(links)
    return links, cluster, cluster.record


def enter(fault: Fault, cluster: FakeCluster, *names: str) -> Any:
    return strike_with(fault, strike_at(cluster, *names), cluster)


def probed(events: Events) -> dict[str, list[dict[str, Any]]]:
    pairs = zip(events.kinds, events.facts, strict=True)
    return {fact["edge"]: fact["links"] for kind, fact in pairs if kind == "fault.probed"}


def hits(events: Events) -> dict[str, dict[str, Any]]:
    pairs = zip(events.kinds, events.facts, strict=True)
    return {fact["node"]: fact for kind, fact in pairs if kind == "fault.hit"}


async def test_a_partition_is_proven_by_probes_before_during_and_after() -> None:
    links, cluster, events = make()
    async with enter(make_fault("partition", between="servers"), cluster, "n1"):
        assert {str(link) for link in links.severed} == {N1_N2, "n2->n1", "n1->n3", "n3->n1"}
        assert list(probed(events)) == ["before", "during"]
        assert events.proofs("effect")[0].startswith(
            "n1: none of 12 probes passed over the 4 cut links, all of "
        )
    assert not links.severed
    assert list(probed(events)) == ["before", "during", "after"]
    during = probed(events)["during"]
    assert {one["received"] for one in during if one["cut"]} == {0}
    assert {one["received"] for one in during if not one["cut"]} == {3}
    assert len(events.proofs("undo")) == 3
    assert links.diary == ["cut 4", "heal 4"]


@pytest.mark.parametrize("action", ["partition", "reset", "refuse"])
async def test_what_stands_in_for_the_network_is_named_and_serves_clients_only(action: str) -> None:
    links, cluster, events = make(via="proxy")
    links.connect("n1", "hello-publishers", 40000)
    async with enter(make_fault(action, between="clients"), cluster, "n1"):
        pass
    assert events.proofs("effect")
    assert all(what.endswith(", via proxy") for what in events.proofs("effect"))
    looks = [link for links_ in probed(events).values() for link in links_]
    assert all(link["via"] == "proxy" for link in looks)
    between_servers = [one for one in looks if {one["from"], one["to"]} <= set(links.nodes)]
    assert between_servers == []


async def test_a_probe_that_cannot_be_sent_is_a_fault_that_failed() -> None:
    links, cluster, _ = make()

    def break_() -> None:
        raise FaultError("the probes' own connection broke")

    links.during_probe = break_
    with pytest.raises(FaultError, match="own connection broke"):
        async with enter(make_fault("partition"), cluster, "n1"):
            pytest.fail("entered")


async def test_a_hit_tells_whose_connections_it_struck() -> None:
    _, cluster, events = make()
    async with enter(make_fault("partition"), cluster, "n1"):
        pass
    assert hits(events)["n1"]["groups"] == ["hello-publishers", "hello-subscribers"]
    assert hits(events)["n2"]["groups"] == []
    assert [hits(events)[node]["peers"] for node in ("n1", "n2")] == [["n2", "n3"], ["n1"]]
    assert all(fact["silent"] for fact in hits(events).values())


async def test_a_cut_that_lets_something_through_is_none_and_is_healed() -> None:
    links, cluster, events = make()
    leak = next(link for link in all_of(links) if str(link) == N1_N2)
    links.leaks = frozenset({leak})
    with pytest.raises(FaultError, match="during: the cut let something through: n1->n2"):
        async with enter(make_fault("partition"), cluster, "n1"):
            pytest.fail("entered")
    assert events.proofs("effect") == []
    assert not links.severed
    assert any(one["received"] for one in probed(events)["during"] if one["cut"])


async def test_a_cut_that_cuts_more_than_asked_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    links, cluster, events = make()
    extra = frozenset(link for link in all_of(links) if str(link) == "n2->n3")
    cut = links.cut

    def cut_too_much(asked: Any) -> int:
        links.dead = extra
        return cut(asked)

    monkeypatch.setattr(links, "cut", cut_too_much)
    with pytest.raises(FaultError, match="during: not every probe passed over n2->n3"):
        async with enter(make_fault("partition"), cluster, "n1"):
            pytest.fail("entered")
    assert events.proofs("effect") == []
    assert not links.severed


async def test_a_link_that_was_dead_before_is_no_cut() -> None:
    links, cluster, events = make()
    links.dead = frozenset(link for link in all_of(links) if str(link) == N1_N2)
    with pytest.raises(FaultError, match="before: not every probe passed over n1->n2"):
        async with enter(make_fault("partition"), cluster, "n1"):
            pytest.fail("entered")
    assert links.diary == []
    assert "fault.hit" not in events.kinds


async def test_a_heal_that_does_not_come_through_is_a_failed_undo() -> None:
    links, cluster, events = make()
    with pytest.raises(FaultError, match="after: not every probe passed over n1->n2"):
        async with enter(make_fault("partition"), cluster, "n1"):
            links.dead = frozenset(link for link in all_of(links) if str(link) == N1_N2)
    assert events.proofs("undo") == []


async def test_overlapping_cuts_are_each_proven_and_heal_on_their_own() -> None:
    links, cluster, events = make()
    both = make_fault("partition", between="servers")
    async with enter(both, cluster, "n1"):
        async with enter(both, cluster, "n2"):
            assert len(links.severed) == 6
        still = {(one["from"], one["to"]) for one in probed(events)["after"] if one["cut"]}
        assert still == {("n1", "n2"), ("n2", "n1")}
        assert len(links.severed) == 4
    assert not links.severed


async def test_a_look_is_taken_again_when_links_change_meanwhile() -> None:
    links, cluster, events = make()
    turns = iter([True, True, False])

    def change() -> None:
        links.changes += next(turns, False)

    links.during_probe = change
    async with enter(make_fault("partition"), cluster, "n1"):
        pass
    assert events.kinds.count("fault.probed") == 3

    links.during_probe = lambda: setattr(links, "changes", links.changes + 1)
    with pytest.raises(FaultError, match="links changed during each of 8 looks"):
        async with enter(make_fault("partition"), cluster, "n1"):
            pytest.fail("entered")


async def test_an_aborted_partition_is_healed_all_the_same() -> None:
    links, cluster, _ = make()
    with anyio.move_on_after(0.05):
        async with enter(make_fault("partition"), cluster, "n1"):
            await anyio.sleep_forever()
    assert not links.severed


@pytest.mark.parametrize("action", ["partition", "reset", "refuse"])
async def test_a_cluster_without_links_cannot_be_struck(action: str) -> None:
    cluster = FakeCluster(None)
    with pytest.raises(FaultError, match="nothing can be done to the links"):
        async with enter(make_fault(action), cluster, "n1"):
            pytest.fail("entered")


async def test_an_injection_looks_around_before_its_time_and_strikes_at_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, cluster, events = make()
    fault = make_fault("partition", at="0s", duration="10ms")
    zero_ns = anyio_now_ns() + 250_000_000
    stamps: list[tuple[str, int]] = []

    def record(kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        stamps.append((kind, at_ns or anyio_now_ns()))
        events(kind, at_ns=at_ns, **facts)

    monkeypatch.setattr(cluster, "record", record)
    await injection_on(cluster, fault, zero_ns=zero_ns).run()
    times = dict(reversed(stamps))
    assert times["fault.probed"] < zero_ns <= times["fault.inject_started"]
    assert times["fault.hit"] >= zero_ns
    assert events.kinds[-1] == "fault.healed"


async def test_reset_is_proven_at_both_ends_and_tells_whom_it_struck() -> None:
    links, cluster, events = make()
    links.connect("n1", "hello-publishers", 40000)
    links.connect("n1", "n2", 40001)
    async with enter(make_fault("reset"), cluster, "n1"):
        assert events.proofs("effect") == ["n1: 2 connections are gone at both ends"]
        assert not links.open
    assert hits(events)["n1"]["groups"] == ["hello-publishers"]
    assert hits(events)["n1"]["peers"] == ["n2"]
    assert events.proofs("undo") == ["n1: takes new connections from 4 places"]


async def test_reset_keeps_to_its_side() -> None:
    links, cluster, _ = make()
    links.connect("n1", "hello-publishers", 40000)
    links.connect("n1", "n2", 40001)
    async with enter(make_fault("reset", between="servers"), cluster, "n1"):
        assert {one.peer for one in links.open} == {"n1", "hello-publishers"}


async def test_a_reset_that_does_nothing_or_has_nothing_to_do_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.faults.reset.EFFECT_LIMIT_S", 0.05)
    links, cluster, events = make(never_resets=True)
    with pytest.raises(FaultError, match="n1 has no connection to reset"):
        async with enter(make_fault("reset"), cluster, "n1"):
            pytest.fail("entered")
    assert events.kinds == []
    links.connect("n1", "hello-publishers", 40000)
    with pytest.raises(FaultError, match="1 connections are left there, 1 at peers"):
        async with enter(make_fault("reset"), cluster, "n1"):
            pytest.fail("entered")
    assert events.proofs("effect") == []


async def test_a_server_that_takes_nobody_after_a_reset_is_a_failed_undo() -> None:
    links, cluster, events = make()
    links.connect("n1", "n2", 40001)
    with pytest.raises(FaultError, match=r"new connections after the reset: .* refused"):
        async with enter(make_fault("reset"), cluster, "n1"):
            links.refuse(all_of(links))
    assert events.proofs("undo") == []


def test_reset_takes_no_duration() -> None:
    with pytest.raises(ValueError, match="takes no duration"):
        make_fault("reset", duration="1s")


async def test_refuse_is_proven_by_attempts_while_connections_live_on() -> None:
    links, cluster, events = make()
    links.connect("n1", "hello-publishers", 40000)
    async with enter(make_fault("refuse"), cluster, "n1"):
        assert events.proofs("effect") == [
            "n1: refused connections from 4 places; 1 of 1 connections live on"
        ]
    assert hits(events)["n1"]["groups"] == []
    assert events.proofs("undo") == ["n1: takes connections from 4 places again"]
    assert not +links.refused


@pytest.mark.parametrize(
    ("planned", "words"),
    [
        ({"never_refuses": True}, "during: new connections were not refused"),
        ({"refusing_kills": True}, "n1 has lost its 1 connections as well"),
    ],
)
async def test_a_refusal_without_effect_or_with_more_is_none(
    planned: dict[str, bool], words: str
) -> None:
    links, cluster, events = make(**planned)
    links.connect("n1", "hello-publishers", 40000)
    with pytest.raises(FaultError, match=words):
        async with enter(make_fault("refuse"), cluster, "n1"):
            pytest.fail("entered")
    assert events.proofs("effect") == []
    assert "accept 4" in links.diary


async def test_a_server_that_takes_nobody_at_all_is_not_refusing() -> None:
    _, cluster, _ = make()
    cluster.nodes["n1"].lame = True
    with pytest.raises(FaultError, match="takes no connection from anybody"):
        async with enter(make_fault("refuse"), cluster, "n1"):
            pytest.fail("entered")


async def test_doors_that_stay_shut_are_a_failed_undo() -> None:
    _, cluster, events = make(never_accepts=True)
    with pytest.raises(FaultError, match="after: new connections were not accepted"):
        async with enter(make_fault("refuse"), cluster, "n1"):
            pass
    assert events.proofs("undo") == []


@pytest.mark.parametrize("action", ["reset", "refuse"])
async def test_a_way_that_another_fault_cut_is_not_knocked_at(action: str) -> None:
    links, cluster, events = make()
    links.connect("n1", "hello-publishers", 40000)
    cut = frozenset(link for link in all_of(links) if str(link) in (N1_N2, "n3->n1"))
    async with enter(make_fault(action), cluster, "n1"):
        links.cut(cut)
    assert len(events.proofs("undo")) == 1
    assert "from 2 places" in events.proofs("undo")[0]
    links.connect("n1", "hello-publishers", 40001)
    with pytest.raises(FaultError, match="every way to knock is cut by another fault"):
        async with enter(make_fault(action), cluster, "n1"):
            links.cut(all_of(links))


async def test_knocking_is_done_again_when_links_change_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    links, cluster, _ = make()
    knock, turns = links.knock, iter([True, True])

    async def change(ways: Any, limit_s: float) -> Any:
        links.changes += next(turns, False)
        return await knock(ways, limit_s)

    monkeypatch.setattr(links, "knock", change)
    async with enter(make_fault("refuse"), cluster, "n1"):
        pass
    assert next(turns, None) is None

    async def always(ways: Any, limit_s: float) -> Any:
        links.changes += 1
        return await knock(ways, limit_s)

    monkeypatch.setattr(links, "knock", always)
    with pytest.raises(FaultError, match="links changed during each of 8 looks"):
        async with enter(make_fault("refuse"), cluster, "n1"):
            pytest.fail("entered")


@pytest.mark.parametrize(
    ("action", "proof"),
    [
        ("partition", "n1: still cut: none of 24 probes passed over the 8 cut links"),
        ("refuse", "n1: still refused connections from 4 places"),
    ],
)
async def test_a_network_fault_is_looked_at_again_before_it_is_undone(
    action: str, proof: str
) -> None:
    _, cluster, events = make()
    strike = strike_at(cluster, "n1")
    async with strike_with(make_fault(action), strike, cluster):
        await strike.looks[0].take()
        assert events.proofs("held")[0].startswith(proof)


async def test_a_cut_that_stopped_working_halfway_is_seen_before_the_heal() -> None:
    links, cluster, events = make()
    strike = strike_at(cluster, "n1")
    async with strike_with(make_fault("partition"), strike, cluster):
        links.leaks = frozenset(link for link in all_of(links) if str(link) == N1_N2)
        with pytest.raises(FaultError, match="held: the cut let something through: n1->n2"):
            await strike.looks[0].take()
        links.leaks, links.dead = frozenset(), all_of(links)
        with pytest.raises(FaultError, match="held: not every probe passed over"):
            await strike.looks[0].take()
        links.dead = frozenset()
    assert events.proofs("held") == []


async def test_a_refusal_that_stopped_working_halfway_is_seen_before_the_heal() -> None:
    links, cluster, events = make()
    strike = strike_at(cluster, "n1")
    async with strike_with(make_fault("refuse"), strike, cluster):
        links.refused.clear()
        with pytest.raises(FaultError, match="held: new connections were not refused"):
            await strike.looks[0].take()
    assert events.proofs("held") == []


async def test_a_slow_or_lossy_link_gets_the_time_that_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    links, cluster, _ = make()
    limits: list[float] = []
    probe = links.probe

    async def note(asked: Any, count: int, limit_s: float) -> Any:
        limits.append(limit_s)
        return await probe(asked, count, limit_s)

    monkeypatch.setattr(links, "probe", note)
    fault = make_fault("partition")
    async with enter(fault, cluster, "n1"):
        pass
    plain, limits[:] = list(limits), []
    cluster.shaper = FakeShaper()
    cluster.shaper.layers.append(dict.fromkeys(all_of(links), Shape(delay_s=2.0, loss=0.5)))
    async with enter(fault, cluster, "n1"):
        pass
    assert len(plain) == len(limits) == 4
    assert all(slow > 2 + short for slow, short in zip(limits, plain, strict=True))


async def test_knocking_does_not_wait_for_what_was_cut_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    links, cluster, _ = make()
    knock, waited = links.knock, list[float]()

    async def hang_once(ways: Any, limit_s: float) -> Any:
        if not waited:
            waited.append(limit_s)
            links.changes += 1
            await anyio.sleep_forever()
        return await knock(ways, limit_s)

    monkeypatch.setattr(links, "knock", hang_once)
    async with enter(make_fault("refuse"), cluster, "n1"):
        pass
    assert len(waited) == 1

    async def break_off(ways: Any, limit_s: float) -> Any:
        raise FaultError("no connection can be tried")

    monkeypatch.setattr(links, "knock", break_off)
    with pytest.raises(FaultError, match="no connection can be tried"):
        async with enter(make_fault("refuse"), cluster, "n1"):
            pytest.fail("entered")


@pytest.mark.parametrize(
    ("loss", "silent", "proven"), [(0.2, 1, True), (0.2, 9, False), (0, 1, False)]
)
async def test_silence_is_tried_again_only_where_packets_get_lost(
    loss: float, silent: int, proven: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    links, cluster, _ = make()
    knock, left = links.knock, dict.fromkeys(all_of(links), silent)

    async def lose(ways: Any, limit_s: float) -> Any:
        answers = dict(await knock(ways, limit_s))
        for way in answers:
            left[way] -= 1
            if left[way] >= 0:
                answers[way] = Answer.SILENCE
        return answers

    monkeypatch.setattr(links, "knock", lose)
    cluster.shaper = FakeShaper()
    cluster.shaper.layers.append(dict.fromkeys(all_of(links), Shape(loss=loss)))
    expected = "before: new connections were not accepted"
    with nullcontext() if proven else pytest.raises(FaultError, match=expected):
        async with enter(make_fault("refuse"), cluster, "n1"):
            assert proven


def anyio_now_ns() -> int:
    from harness.clock import now_ns

    return now_ns()


def all_of(links: FakeLinks) -> Any:
    from harness.cluster.grudge import all_links

    return all_links(links.nodes, links.groups)
