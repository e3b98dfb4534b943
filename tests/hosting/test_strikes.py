"""Every request about a fault is answered, whenever it comes."""

from __future__ import annotations

from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from fake_nodes import Events, FakeNode

from harness.cluster.protocols import Cluster
from harness.errors import HarnessError
from harness.faults import FAULTS
from harness.hosting.strikes import Strikes
from harness.scenario.sites import NOWHERE

pytestmark = pytest.mark.anyio
INJECT, HEAL = 1, 2


class Hosted:
    """A cluster of one node; a heal comes in the very turn in which an event is recorded."""

    sites = NOWHERE

    def __init__(self, moment: str) -> None:
        self.node = FakeNode("n1", [])
        self.nodes = {"n1": self.node}
        self.answers: dict[int, HarnessError | None] = {}
        self.strikes = Strikes(cast("Cluster", self), 1, self.answer)
        self._events = Events()
        self._moment = moment

    def record(self, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        self._events(kind, at_ns=at_ns, **facts)
        if kind == self._moment:
            with pytest.raises(StopIteration):  # it does not wait
                self.strikes.heal(INJECT, HEAL).send(None)

    async def answer(
        self, number: int, result: Any = None, error: HarnessError | None = None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()
        assert number not in self.answers, "answered twice"
        self.answers[number] = error

    async def stop_n1(self) -> None:
        fault = FAULTS["stop"].model_validate(
            {"name": "stop-1", "action": "stop", "target": "n1", "duration": "1s"}
        )
        with anyio.fail_after(10):
            await self.strikes.strike(INJECT, fault)


async def test_a_heal_in_the_turn_in_which_the_effect_was_seen_is_answered() -> None:
    hosted = Hosted("fault.injected")
    await hosted.stop_n1()
    assert hosted.answers == {INJECT: None, HEAL: None}
    assert hosted.node.diary == ["n1 stop", "n1 start", "n1 healthy"]


async def test_a_heal_before_that_cuts_the_injection_off_and_both_are_told() -> None:
    hosted = Hosted("fault.inject_started")
    await hosted.stop_n1()
    assert list(hosted.answers) == [INJECT, HEAL]
    for error in hosted.answers.values():
        assert "healed before it had taken effect" in str(error)
