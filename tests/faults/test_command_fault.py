"""Commands of the user's own: what they must show before they are believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from fake_nodes import Events, FakeNode
from fake_strikes import strike_on, strike_with

from harness.cluster.command import Completed
from harness.cluster.user_commands import UserCommand
from harness.errors import FaultError
from harness.faults import FAULTS
from harness.faults.base import Fault
from harness.scenario.sites import NOWHERE

pytestmark = pytest.mark.anyio


@dataclass
class CommandedNode(FakeNode):
    """A node whose commands set and clear a flag, or do what a test plants."""

    struck: bool = False
    planted: dict[str, Callable[[CommandedNode], Completed]] = field(default_factory=dict)

    async def run_command(self, command: UserCommand) -> Completed:
        self.note(command.step)
        if command.step in self.planted:
            return self.planted[command.step](self)
        if command.step == "observe":
            return Completed(0 if self.struck else 1, "")
        self.struck = command.step == "inject"
        return Completed(0, "")


def ends(code: int, said: str = "") -> Callable[[CommandedNode], Completed]:
    return lambda _: Completed(code, said)


def make(**fields: Any) -> Fault:
    keys = {"inject": "do it", "observe": "look", "heal": "undo", "timeout": "100ms"}
    given = {"name": "f", "action": "command", **keys, **fields}
    return FAULTS["command"].model_validate(
        {key: one for key, one in given.items() if one is not None}
    )


def make_node(name: str = "n1", **planted: Callable[[CommandedNode], Completed]) -> CommandedNode:
    return CommandedNode(name, [], planted=planted)


async def use(fault: Fault, *nodes: CommandedNode, hold: bool = True) -> tuple[Events, str]:
    """Return the events of a whole use with its look before the heal, and its error."""
    events = Events()
    strike = strike_on(nodes, "command", events)
    try:
        async with strike_with(fault, strike):
            for look in strike.looks if hold else ():
                await look.take()
    except FaultError as error:
        return events, str(error)
    return events, ""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.faults.command.POLL_S", 0.005)


async def test_the_effect_is_observed_before_during_and_after() -> None:
    node = make_node()
    events, error = await use(make(), node)
    assert error == ""
    steps = ["observe", "expects exit", "inject", "observe", "observe", "heal", "observe"]
    assert node.diary == [*(f"n1 {step}" for step in steps), "n1 healthy"]
    assert events.kinds == ["fault.hit", *["fault.observed"] * 3]
    assert events.facts[0]["how"] == "inject: do it"
    for edge in ("effect", "held", "undo"):
        assert len(events.proofs(edge)) == 1


async def test_what_is_there_before_proves_nothing_and_is_not_healed() -> None:
    node = make_node(observe=ends(0))
    events, error = await use(make(), node)
    assert "observe ended with code 0" in error
    assert "before anything was done" in error
    assert events.kinds == []
    assert node.diary == ["n1 observe"]


async def test_an_inject_without_effect_is_told_and_healed() -> None:
    node = make_node(observe=ends(1, "all is well"))
    events, error = await use(make(), node)
    assert error.startswith("n1: no effect was seen after inject within 0.1 s: observe ended")
    assert "all is well" in error
    assert events.proofs("effect") == []
    assert "n1 heal" in node.diary


async def test_an_inject_that_fails_shows_what_it_said_and_is_healed() -> None:
    node = make_node(inject=ends(3, "no such host\nat all"))
    _, error = await use(make(), node)
    assert error == "n1: inject ended with code 3 and said: no such host at all"
    assert "n1 heal" in node.diary


async def test_a_heal_that_fails_shows_what_it_said() -> None:
    events, error = await use(make(), make_node(heal=ends(5, "not today")))
    assert error == "n1: heal ended with code 5 and said: not today"
    assert events.proofs("undo") == []


async def test_a_heal_without_effect_is_told() -> None:
    events, error = await use(make(), make_node(heal=ends(0)))
    assert "the effect did not go after heal within 0.1 s" in error
    assert events.proofs("undo") == []


async def test_an_effect_that_ends_before_its_time_is_told() -> None:
    def fade(node: CommandedNode) -> Completed:
        shown, node.struck = node.struck, False
        return Completed(0 if shown else 1, "")

    events, error = await use(make(), make_node(observe=fade))
    assert "the effect ended before its time" in error
    assert events.proofs("held") == []


@pytest.mark.parametrize("code", [127, 126, -9])
async def test_a_look_that_never_ran_is_no_answer(code: int) -> None:
    def break_down(node: CommandedNode) -> Completed:
        if not node.struck:
            return Completed(1, "")
        node.struck = False  # what heals stays believed only if it is seen
        return Completed(code, "not found")

    _, error = await use(make(), make_node(observe=break_down))
    assert "which is no answer" in error
    gone = make_node(heal=ends(0))

    def lose(node: CommandedNode) -> Completed:
        return Completed(code if "n1 heal" in node.diary else int(not node.struck), "")

    gone.planted["observe"] = lose
    events, error = await use(make(), gone)
    assert "which is no answer" in error
    assert events.proofs("undo") == []


async def test_without_heal_it_must_go_away_by_itself() -> None:
    def pass_by(node: CommandedNode) -> Completed:
        looks = node.diary.count("n1 observe")
        return Completed(0 if node.struck and looks < 5 else 1, "")

    events, error = await use(make(heal=None), make_node(observe=pass_by))
    assert error == ""
    assert "went away by itself" in events.proofs("undo")[0]
    node = make_node()
    events, error = await use(make(heal=None), node)
    assert "the effect did not go by itself within 0.1 s" in error
    assert "n1 heal" not in node.diary


async def test_a_server_that_is_not_healthy_afterwards_is_told() -> None:
    node = make_node()
    node.never_healthy = True
    events, error = await use(make(), node)
    assert "is not healthy" in error
    assert events.proofs("undo") == []


async def test_a_hold_that_is_cancelled_is_healed() -> None:
    node = make_node()
    events = Events()
    with anyio.CancelScope() as scope:
        async with strike_with(make(), strike_on([node], "command", events)):
            scope.cancel()
            await anyio.sleep(1)
    assert not node.struck
    assert len(events.proofs("undo")) == 1


async def test_a_target_that_was_not_struck_is_not_healed() -> None:
    struck, spared = make_node("n1"), make_node("n2", observe=ends(0))
    _, error = await use(make(), struck, spared)
    assert error.startswith("n2: observe")
    assert "n1 heal" in struck.diary
    assert "n2 heal" not in spared.diary


@pytest.mark.parametrize(
    ("connections", "silent", "groups", "burdens"),
    [("closed", False, None, False), ("silent", True, None, False), ("kept", False, [], True)],
)
async def test_what_happens_to_connections_is_for_the_user_to_say(
    connections: str, silent: bool, groups: list[str] | None, burdens: bool
) -> None:
    fault = make(connections=connections)
    events, _ = await use(fault, make_node())
    hit = events.facts[0]
    assert (hit["silent"], hit["groups"], hit["burdens"]) == (silent, groups, burdens)
    assert fault.reaches_clients(NOWHERE) is (connections != "kept")
