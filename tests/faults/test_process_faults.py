from __future__ import annotations

from typing import Any

import anyio
import pytest
from fake_nodes import Events, FakeNode
from fake_strikes import strike_on, strike_with

from harness.errors import FaultError
from harness.faults import FAULTS
from harness.faults.base import Fault, Strike

pytestmark = pytest.mark.anyio


def make_fault(action: str, **fields: Any) -> Fault:
    return FAULTS[action].model_validate({"name": "f", "action": action, **fields})


def make_strike(*nodes: FakeNode) -> tuple[Strike, Events]:
    events = Events()
    return strike_on(nodes, "some-action", events), events


def two_nodes(**fields: Any) -> tuple[FakeNode, FakeNode, list[str]]:
    diary: list[str] = []
    return FakeNode("n1", diary, **fields), FakeNode("n2", diary), diary


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.faults.lame_duck.EFFECT_LIMIT_S", 0.05)


@pytest.mark.parametrize(
    ("action", "how", "proof"),
    [
        ("stop", "SIGTERM", "exited with code 0"),
        ("kill", "SIGKILL", "exited by signal 9"),
        ("restart", "SIGTERM", "exited with code 0"),
    ],
)
async def test_a_fault_that_downs_a_node_proves_the_exit_and_the_return(
    action: str, how: str, proof: str
) -> None:
    node, other, _ = two_nodes()
    strike, events = make_strike(node)
    async with strike_with(make_fault(action), strike):
        assert (node.running, other.running) == (False, True)
        assert events.proofs("effect") == [f"n1: {proof}"]
        assert events.proofs("undo") == []
    assert node.running
    assert events.proofs("undo")[0].startswith("n1: started again")
    assert events.kinds[0] == "fault.hit"
    assert events.facts[0]["how"] == how


async def test_the_hit_is_recorded_before_the_node_is_struck() -> None:
    node, _, diary = two_nodes()
    strike, events = make_strike(node)
    async with strike_with(make_fault("kill"), strike):
        assert (events.kinds[0], diary[0]) == ("fault.hit", "n1 kill")


@pytest.mark.parametrize(
    "action", ["stop", "kill", "pause", "restart", "lame-duck", "rolling-restart"]
)
async def test_a_node_that_is_not_running_cannot_be_struck(action: str) -> None:
    node, _, diary = two_nodes(running=False)
    strike, events = make_strike(node)
    with pytest.raises(FaultError, match="n1 is not running"):
        async with strike_with(make_fault(action), strike):
            pytest.fail("entered")
    assert diary == []
    assert events.proofs("effect") == []


async def test_a_node_that_will_not_stop_is_no_effect_and_what_was_done_is_undone() -> None:
    stubborn, other, diary = two_nodes(will_not_stop=True)
    strike, events = make_strike(stubborn, other)
    with pytest.raises(FaultError, match="n1 has not ended"):
        async with strike_with(make_fault("stop"), strike):
            pytest.fail("entered")
    assert events.proofs("effect") == ["n2: exited with code 0"]
    assert "n2 start" in diary
    assert other.running


async def test_a_node_that_does_not_come_back_is_a_failed_undo() -> None:
    node, _, _ = two_nodes(never_healthy=True)
    strike, events = make_strike(node)
    with pytest.raises(FaultError, match="not healthy"):
        async with strike_with(make_fault("kill"), strike):
            pass
    assert events.proofs("undo") == []


async def test_an_aborted_hold_is_undone_all_the_same() -> None:
    node, _, diary = two_nodes()
    strike, _ = make_strike(node)
    with anyio.move_on_after(0.01):
        async with strike_with(make_fault("pause"), strike):
            await anyio.sleep_forever()
    assert diary == ["n1 pause", "n1 resume", "n1 healthy"]


async def test_pause_is_proven_by_silence() -> None:
    node, _, _ = two_nodes()
    strike, events = make_strike(node)
    async with strike_with(make_fault("pause"), strike):
        assert events.proofs("effect") == ["n1: stopped in the kernel's eyes, silent for 0.25 s"]
    assert not node.frozen


async def test_a_paused_node_that_still_answers_is_no_pause_and_is_thawed() -> None:
    node, _, _ = two_nodes(answers_when_paused=True)
    strike, events = make_strike(node)
    with pytest.raises(FaultError, match="still answers"):
        async with strike_with(make_fault("pause"), strike):
            pytest.fail("entered")
    assert events.proofs("effect") == []
    assert not node.frozen


async def test_a_node_that_ends_while_frozen_is_a_failed_undo() -> None:
    node, _, _ = two_nodes()
    strike, _ = make_strike(node)
    with pytest.raises(FaultError, match="ended while it was frozen"):
        async with strike_with(make_fault("pause"), strike):
            node.running = False


async def test_lame_duck_is_proven_by_a_closed_client_port_and_holds_until_the_exit() -> None:
    node, _, diary = two_nodes()
    strike, events = make_strike(node)
    fault = make_fault("lame-duck")
    async with strike_with(fault, strike):
        assert events.proofs("effect") == ["n1: takes no new client connections"]
        await fault.hold(strike, 0)
    assert diary == ["n1 expects exit", "n1 lame duck", "n1 exit", "n1 start", "n1 healthy"]
    assert "n1: exited with code 0" in events.proofs("effect")


async def test_a_lame_duck_that_outlives_its_duration_is_stopped_and_started() -> None:
    node, _, diary = two_nodes()
    strike, _ = make_strike(node)
    fault = make_fault("lame-duck", duration="1ms")
    async with strike_with(fault, strike):
        await fault.hold(strike, 0.001)
    assert diary[2:] == ["n1 stop", "n1 start", "n1 healthy"]


async def test_a_lame_duck_that_ended_within_its_duration_is_held_to_how_it_ended() -> None:
    node, other, _ = two_nodes()
    strike, events = make_strike(node, other)
    async with strike_with(make_fault("lame-duck", duration="1s"), strike):
        node.running = False
        (look,) = strike.looks
        await look.take()
        assert sorted(events.proofs("held")) == [
            "n1: exited with code 0",
            "n2: still takes no new client connections",
        ]
        node.crashes = True
        with pytest.raises(FaultError, match="n1 was ended by SIGSEGV"):
            await look.take()
        node.crashes = False


async def test_a_lame_duck_that_crashes_is_waited_for_in_vain() -> None:
    node, _, _ = two_nodes(crashes=True)
    strike, events = make_strike(node)
    fault = make_fault("lame-duck")
    async with strike_with(fault, strike):
        with pytest.raises(FaultError, match="n1 was ended by SIGSEGV"):
            await fault.hold(strike, 0)
    assert events.proofs("effect") == ["n1: takes no new client connections"]


async def test_a_lame_duck_that_still_takes_clients_is_none() -> None:
    node, _, _ = two_nodes(accepts_when_lame=True)
    strike, events = make_strike(node)
    with pytest.raises(FaultError, match="still takes clients"):
        async with strike_with(make_fault("lame-duck"), strike):
            pytest.fail("entered")
    assert events.proofs("effect") == []


async def test_rolling_restart_goes_one_by_one_each_healthy_before_the_next() -> None:
    first, second, diary = two_nodes()
    strike, events = make_strike(first, second)
    async with strike_with(make_fault("rolling-restart", interval="1ms"), strike):
        pass
    assert diary == [
        f"{name} {what}" for name in ("n1", "n2") for what in ("stop", "start", "healthy")
    ]
    assert [fact["node"] for fact in events.facts if "how" in fact] == ["n1", "n2"]


async def test_rolling_restart_stops_rolling_when_a_node_does_not_come_back() -> None:
    first, second, diary = two_nodes(never_healthy=True)
    strike, _ = make_strike(first, second)
    with pytest.raises(FaultError, match="n1 is not healthy"):
        async with strike_with(make_fault("rolling-restart"), strike):
            pytest.fail("entered")
    assert second.running
    assert "n2 stop" not in diary


def test_rolling_restart_takes_no_duration() -> None:
    with pytest.raises(ValueError, match="takes no duration"):
        make_fault("rolling-restart", duration="1s")


def test_every_fault_says_what_it_needs_and_carries_its_name() -> None:
    for action, kind in FAULTS.items():
        assert kind.needs, action
        assert kind.__module__ == f"harness.faults.{action.replace('-', '_')}"
        assert kind.__name__ == action.title().replace("-", "")


@pytest.mark.parametrize("action", ["stop", "kill", "restart", "pause", "lame-duck"])
async def test_an_effect_that_lasts_is_looked_at_again_before_it_is_undone(action: str) -> None:
    node, other, _ = two_nodes()
    strike, events = make_strike(node, other)
    async with strike_with(make_fault(action), strike):
        (look,) = strike.looks
        assert events.proofs("held") == []
        await look.take()
        told = [line.split(":")[0] for line in events.proofs("held")]
        assert told == ["n1", "n2"]
    assert 0 < strike.look_s < 1


@pytest.mark.parametrize(
    ("action", "gone", "words"),
    [
        ("stop", {"running": True}, "n1 runs again"),
        ("kill", {"running": True}, "n1 runs again"),
        ("pause", {"frozen": False}, "n1 goes on, though nobody"),
        ("pause", {"answers_when_paused": True}, "n1 answers again"),
        ("pause", {"running": False}, "n1 ended while it was frozen"),
        ("lame-duck", {"accepts_when_lame": True}, "n1 takes clients again"),
    ],
)
async def test_an_effect_that_went_away_by_itself_is_seen_to_be_gone(
    action: str, gone: dict[str, bool], words: str
) -> None:
    node, _, _ = two_nodes()
    strike, events = make_strike(node)

    async def hold() -> None:
        async with strike_with(make_fault(action), strike):
            before = {name: getattr(node, name) for name in gone}
            for name, value in gone.items():
                setattr(node, name, value)
            with pytest.raises(FaultError, match=words):
                await strike.looks[0].take()
            for name, value in before.items():
                setattr(node, name, value)

    await hold()
    assert events.proofs("held") == []


async def test_what_is_not_held_is_not_looked_at_again() -> None:
    node, _, _ = two_nodes()
    strike, _ = make_strike(node)
    async with strike_with(make_fault("rolling-restart"), strike):
        assert strike.looks == []
        assert strike.look_s == 0


async def test_a_disconnected_node_is_off_the_network_silent_and_put_back() -> None:
    node, other, diary = two_nodes()
    strike, events = make_strike(node)
    async with strike_with(make_fault("disconnect"), strike):
        assert not await node.responds(1)
        assert await other.responds(1)
        assert events.proofs("effect") == ["n1: on no network, silent for 0.25 s"]
        for look in strike.looks:
            await look.take()
    assert events.proofs("held") == ["n1: still off the network, silent for 0.25 s"]
    assert events.proofs("undo") == ["n1: on its network, healthy and routed to every running peer"]
    assert diary == ["n1 disconnect", "n1 connect", "n1 healthy"]


async def test_a_disconnected_node_that_still_answers_is_no_effect_and_is_put_back() -> None:
    node, _, diary = two_nodes(answers_when_paused=True)
    strike, events = make_strike(node)
    with pytest.raises(FaultError, match="n1 still answers without a network"):
        async with strike_with(make_fault("disconnect"), strike):
            pytest.fail("entered")
    assert events.proofs("effect") == []
    assert "n1 connect" in diary


async def test_a_node_that_is_connected_meanwhile_is_found_before_the_heal() -> None:
    node, _, _ = two_nodes()
    strike, _ = make_strike(node)
    async with strike_with(make_fault("disconnect"), strike):
        await node.connect(1)
        with pytest.raises(FaultError, match="n1 is on its network again, though nobody"):
            await strike.looks[0].take()
