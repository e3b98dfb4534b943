"""Upgrade: one after the other, each proven by what it says it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from fake_nodes import Events, FakeNode
from fake_strikes import strike_on, strike_with

from harness.cluster.binaries import bundled
from harness.errors import FaultError
from harness.faults.upgrade import Upgrade

pytestmark = pytest.mark.anyio
OLD, NEW = "2.10.25", bundled().version


class FakeCluster:
    def __init__(self, nodes: Mapping[str, FakeNode]) -> None:
        self._nodes = nodes

    def describe(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "version": node.version, "config": {}}
            for name, node in self._nodes.items()
        ]


class Stage:
    """Two servers of an old release, and what they say they are once they were started."""

    def __init__(self, **fields: Any) -> None:
        self.diary: list[str] = []
        self.nodes = {
            name: FakeNode(name, self.diary, version=OLD, **fields) for name in ("n1", "n2")
        }
        self.events = Events()
        self.strike = strike_on(self.nodes.values(), "upgrade", self.events)

    async def run(self, **keys: Any) -> None:
        fault = Upgrade.model_validate({"name": "f", "action": "upgrade", "to": "bundled", **keys})
        async with strike_with(fault, self.strike, FakeCluster(self.nodes)):
            self.diary.append("held")


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what servers say they are: what is in it, else what they were started as."""
    lies: list[str] = []

    async def version_of(node: FakeNode) -> str:
        return lies[0] if lies else node.version.replace("bundled", NEW)

    async def change_release(self: FakeNode, version: str) -> str:
        assert not self.running
        self.note(f"become {version}")
        self.version = NEW if version == "bundled" else version
        return self.version

    monkeypatch.setattr("harness.faults.upgrade._version_of", version_of)
    monkeypatch.setattr(FakeNode, "change_release", change_release)
    return lies


@pytest.mark.parametrize(
    ("by", "how", "ends"),
    [
        ("stop", "SIGTERM", ["stop"]),
        ("kill", "SIGKILL", ["kill"]),
        ("lame-duck", "SIGUSR2", ["expects exit", "lame duck", "exit"]),
    ],
)
async def test_one_goes_after_the_other_each_healthy_before_the_next(
    by: str, how: str, ends: list[str]
) -> None:
    stage = Stage()
    await stage.run(by=by, interval="1ms")
    turns = [*ends, "become bundled", "start", "healthy"]
    assert stage.diary == [*(f"{name} {what}" for name in stage.nodes for what in turns), "held"]
    assert [fact["how"] for fact in stage.events.facts if "how" in fact] == [how, how]
    assert f"n1: says that it is nats-server {NEW}, was {OLD}" in stage.events.proofs("effect")
    assert [one.partition(":")[0] for one in stage.events.proofs("undo")] == ["n1", "n2"]


async def test_a_server_is_described_again_as_what_it_has_become() -> None:
    stage = Stage()
    await stage.run()
    described = [
        fact
        for kind, fact in zip(stage.events.kinds, stage.events.facts, strict=True)
        if kind == "server.described"
    ]
    assert [(one["name"], one["version"]) for one in described] == [("n1", NEW), ("n2", NEW)]


async def test_without_a_wait_all_are_looked_at_in_the_end() -> None:
    stage = Stage()
    await stage.run(wait="none")
    assert stage.diary == [
        *(f"{name} {what}" for name in stage.nodes for what in ("stop", "become bundled", "start")),
        "n1 healthy",
        "n2 healthy",
        "held",
    ]
    assert len(stage.events.proofs("undo")) == 2


async def test_a_server_that_is_that_release_already_is_not_touched() -> None:
    stage = Stage()
    stage.nodes["n2"].version = NEW
    with pytest.raises(FaultError, match=f"n2: {NEW} already, so that nothing would change"):
        await stage.run()
    assert stage.diary == []


@pytest.mark.parametrize("says", [OLD, "2.12.1", "None"])
async def test_a_server_that_says_it_is_something_else_is_not_proven(
    told: list[str], says: str
) -> None:
    told.append(says)
    stage = Stage()
    with pytest.raises(FaultError, match=f"n1 says that it is {says}; it was {OLD}"):
        await stage.run()
    assert stage.events.proofs("undo") == []
    assert stage.nodes["n2"].version == OLD  # it stops rolling


async def test_a_server_that_does_not_come_back_stops_the_rolling() -> None:
    stage = Stage(never_healthy=True)
    with pytest.raises(FaultError, match="n1 is not healthy"):
        await stage.run()
    assert not [line for line in stage.diary if line.startswith("n2")]
    assert stage.nodes["n1"].running


async def test_a_server_that_will_not_stop_stops_the_rolling_and_runs_on() -> None:
    stage = Stage(will_not_stop=True)
    with pytest.raises(FaultError, match="n1 has not ended"):
        await stage.run()
    assert stage.nodes["n1"].running
    assert stage.diary == []


async def test_one_that_is_down_when_all_is_broken_off_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(self: FakeNode, version: str) -> str:
        self.note(f"become {version}")
        await anyio.sleep_forever()
        return version

    monkeypatch.setattr(FakeNode, "change_release", never)
    stage = Stage()
    with anyio.move_on_after(0.05):
        await stage.run()
    assert stage.diary == ["n1 stop", "n1 become bundled", "n1 start"]


async def test_a_server_that_is_down_cannot_be_struck() -> None:
    stage = Stage(running=False)
    with pytest.raises(FaultError, match="n1 is not running"):
        await stage.run()
