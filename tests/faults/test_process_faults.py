from __future__ import annotations

from typing import Any

import anyio
import pytest
from fake_nodes import Events, FakeNode

from harness.errors import FaultError
from harness.faults import FAULTS
from harness.faults.base import Fault, Strike

pytestmark = pytest.mark.anyio


def make_fault(action: str, **fields: Any) -> Fault:
    return FAULTS[action].model_validate({"name": "f", "action": action, **fields})


def make_strike(*nodes: FakeNode) -> tuple[Strike, Events]:
    events = Events()
    return Strike("f", "some-action", nodes, events), events  # type: ignore[arg-type]


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
    async with make_fault(action).active(None, strike):  # type: ignore[arg-type]
        assert not node.running
        assert other.running
        assert events.proofs("effect") == [f"n1: {proof}"]
        assert events.proofs("undo") == []
    assert node.running
    assert events.proofs("undo")[0].startswith("n1: started again")
    assert events.kinds[0] == "fault.hit"
    assert events.facts[0]["how"] == how


async def test_the_hit_is_recorded_before_the_node_is_struck() -> None:
    node, _, diary = two_nodes()
    strike, events = make_strike(node)
    async with make_fault("kill").active(None, strike):  # type: ignore[arg-type]
        assert (events.kinds[0], diary[0]) == ("fault.hit", "n1 kill")


@pytest.mark.parametrize(
    "action", ["stop", "kill", "pause", "restart", "lame-duck", "rolling-restart"]
)
async def test_a_node_that_is_not_running_cannot_be_struck(action: str) -> None:
    node, _, diary = two_nodes(running=False)
    strike, events = make_strike(node)
    with pytest.raises(FaultError, match="n1 is not running"):
        async with make_fault(action).active(None, strike):  # type: ignore[arg-type]
            pytest.fail("entered")
    assert diary == []
    assert events.proofs("effect") == []


async def test_a_node_that_will_not_stop_is_no_effect_and_what_was_done_is_undone() -> None:
    stubborn, other, diary = two_nodes(will_not_stop=True)
    strike, events = make_strike(stubborn, other)
    with pytest.raises(FaultError, match="n1 has not ended"):
        async with make_fault("stop").active(None, strike):  # type: ignore[arg-type]
            pytest.fail("entered")
    assert events.proofs("effect") == ["n2: exited with code 0"]
    assert "n2 start" in diary
    assert other.running


async def test_a_node_that_does_not_come_back_is_a_failed_undo() -> None:
    node, _, _ = two_nodes(never_healthy=True)
    strike, events = make_strike(node)
    with pytest.raises(FaultError, match="not healthy"):
        async with make_fault("kill").active(None, strike):  # type: ignore[arg-type]
            pass
    assert events.proofs("undo") == []


async def test_an_aborted_hold_is_undone_all_the_same() -> None:
    node, _, diary = two_nodes()
    strike, _ = make_strike(node)
    with anyio.move_on_after(0.01):
        async with make_fault("pause").active(None, strike):  # type: ignore[arg-type]
            await anyio.sleep_forever()
    assert diary == ["n1 pause", "n1 resume", "n1 healthy"]


async def test_pause_is_proven_by_silence() -> None:
    node, _, _ = two_nodes()
    strike, events = make_strike(node)
    async with make_fault("pause").active(None, strike):  # type: ignore[arg-type]
        assert events.proofs("effect") == ["n1: stopped in the kernel's eyes, silent for 0.25 s"]
    assert not node.frozen


async def test_a_paused_node_that_still_answers_is_no_pause_and_is_thawed() -> None:
    node, _, _ = two_nodes(answers_when_paused=True)
    strike, events = make_strike(node)
    with pytest.raises(FaultError, match="still answers"):
        async with make_fault("pause").active(None, strike):  # type: ignore[arg-type]
            pytest.fail("entered")
    assert events.proofs("effect") == []
    assert not node.frozen


async def test_a_node_that_ends_while_frozen_is_a_failed_undo() -> None:
    node, _, _ = two_nodes()
    strike, _ = make_strike(node)
    with pytest.raises(FaultError, match="ended while it was frozen"):
        async with make_fault("pause").active(None, strike):  # type: ignore[arg-type]
            node.running = False


async def test_lame_duck_is_proven_by_a_closed_client_port_and_holds_until_the_exit() -> None:
    node, _, diary = two_nodes()
    strike, events = make_strike(node)
    fault = make_fault("lame-duck")
    async with fault.active(None, strike):  # type: ignore[arg-type]
        assert events.proofs("effect") == ["n1: takes no new client connections"]
        await fault.hold(strike, 0)
    assert diary == ["n1 expects exit", "n1 lame duck", "n1 exit", "n1 start", "n1 healthy"]
    assert "n1: exited with code 0" in events.proofs("effect")


async def test_a_lame_duck_that_outlives_its_duration_is_stopped_and_started() -> None:
    node, _, diary = two_nodes()
    strike, _ = make_strike(node)
    fault = make_fault("lame-duck", duration="1ms")
    async with fault.active(None, strike):  # type: ignore[arg-type]
        await fault.hold(strike, 0.001)
    assert diary[2:] == ["n1 stop", "n1 start", "n1 healthy"]


async def test_a_lame_duck_that_still_takes_clients_is_none() -> None:
    node, _, _ = two_nodes(accepts_when_lame=True)
    strike, events = make_strike(node)
    with pytest.raises(FaultError, match="still takes clients"):
        async with make_fault("lame-duck").active(None, strike):  # type: ignore[arg-type]
            pytest.fail("entered")
    assert events.proofs("effect") == []


async def test_rolling_restart_goes_one_by_one_each_healthy_before_the_next() -> None:
    first, second, diary = two_nodes()
    strike, events = make_strike(first, second)
    async with make_fault("rolling-restart", interval="1ms").active(None, strike):  # type: ignore[arg-type]
        pass
    assert diary == [
        f"{name} {what}" for name in ("n1", "n2") for what in ("stop", "start", "healthy")
    ]
    assert [fact["node"] for fact in events.facts if "how" in fact] == ["n1", "n2"]


async def test_rolling_restart_stops_rolling_when_a_node_does_not_come_back() -> None:
    first, second, diary = two_nodes(never_healthy=True)
    strike, _ = make_strike(first, second)
    with pytest.raises(FaultError, match="n1 is not healthy"):
        async with make_fault("rolling-restart").active(None, strike):  # type: ignore[arg-type]
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
