"""The network of an iteration, on an Engine that takes its time."""

from __future__ import annotations

import threading
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from docker.errors import APIError

from harness.backends.docker.network import engine_network
from harness.cluster.protocols import EventSink
from harness.engine.connection import Engine
from harness.errors import ServerError

pytestmark = pytest.mark.anyio


class SlowEngine:
    """An Engine that makes a network only when it is let."""

    here = False

    def __init__(self) -> None:
        self.asked, self.go_on, self.done = (threading.Event() for _ in range(3))
        self.made: list[str] = []
        self.api: Any = SimpleNamespace(
            networks=list, create_network=self.create, remove_network=self.made.remove
        )

    def create(self, name: str, **_: object) -> dict[str, str]:
        self.asked.set()
        assert self.go_on.wait(10)
        self.made.append(name)
        self.done.set()
        return {"Id": name}


def nobody(kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
    pytest.fail(f"{kind} at {at_ns}: {facts}")


def network_of(slow: SlowEngine, record: EventSink = nobody) -> AbstractAsyncContextManager[Any]:
    return engine_network(cast("Engine", slow), "r", "abc123", None, record)


async def test_a_network_whose_making_is_cancelled_is_removed() -> None:
    slow = SlowEngine()

    async def hold() -> None:
        async with network_of(slow):
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(hold)
        await anyio.to_thread.run_sync(slow.asked.wait)
        group.cancel_scope.cancel()
        slow.go_on.set()
    assert slow.done.wait(10)
    assert slow.made == []


async def test_a_network_is_there_for_the_body() -> None:
    slow = SlowEngine()
    slow.go_on.set()
    async with network_of(slow) as net:
        assert slow.made == [net.name] == ["nats-harness-abc123"]
    assert slow.made == []


async def test_a_network_that_cannot_be_removed_is_told_and_hides_nothing() -> None:
    slow, told = SlowEngine(), list[tuple[str, dict[str, Any]]]()
    slow.go_on.set()

    def refuse(_: str) -> None:
        raise APIError("it has active endpoints")

    slow.api.remove_network = refuse

    def record(kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        del at_ns
        told.append((kind, facts))

    with pytest.raises(ServerError, match="n1 exited"):
        async with network_of(slow, record):
            raise ServerError("n1 exited")
    ((kind, facts),) = told
    assert kind == "run.left_behind"
    assert "network nats-harness-abc123 cannot be removed: " in facts["message"]
    assert "it has active endpoints" in facts["message"]
