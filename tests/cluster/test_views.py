"""Servers' views are sampled on a period, and one that is frozen holds nobody up."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness.backends.local import LocalBackend
from harness.backends.server_cluster import ServerCluster
from harness.cluster import views
from harness.cluster.line import Answer
from harness.cluster.protocols import Address
from harness.cluster.views import PERIOD_S, sample_views
from harness.scenario.model import ClusterSpec

pytestmark = pytest.mark.anyio

NOW = "2026-01-01T00:00:10.500000000Z"


class Log:
    """Events by kind; `wait` returns once a condition on them holds."""

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._news = anyio.Event()

    def __call__(self, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        self.events[kind].append({"at_ns": at_ns, **facts})
        self._news.set()

    def of(self, node: str, kind: str = "server.sampled") -> list[dict[str, Any]]:
        return [one for one in self.events[kind] if one["node"] == node]

    async def wait(self, condition: Any) -> None:
        with anyio.fail_after(20):
            while not condition():
                self._news = anyio.Event()
                await self._news.wait()


async def talk(cluster: ServerCluster, node: str) -> None:
    """Be a client with a name that comes and leaves."""
    address = cluster.nodes[node].endpoints.client
    async with await anyio.connect_tcp(address.host, address.port) as stream:
        await stream.receive()
        await stream.send(b'CONNECT {"verbose":false,"name":"somebody"}\r\nPING\r\n')
        assert b"PONG" in await stream.receive()


async def test_real_servers_are_sampled_and_a_frozen_one_delays_nobody(tmp_path: Path) -> None:
    log = Log()
    async with LocalBackend().cluster(
        ClusterSpec(servers=2), groups=(), folder=tmp_path, record=log
    ) as cluster:
        await cluster.form(20)
        await talk(cluster, "n1")  # before the first look: known, and not told
        async with anyio.create_task_group() as group:
            group.start_soon(sample_views, cluster)
            await log.wait(lambda: log.of("n1") and log.of("n2"))
            first = log.of("n1")[0]
            assert list(first["routes"]) == ["n2"]
            assert first["remotes"] == 1
            assert first["from_ns"] < first["at_ns"]
            assert first["closed"] == []
            await talk(cluster, "n1")
            await log.wait(lambda: any(one["closed"] for one in log.of("n1")))
            (closed,) = [one for sample in log.of("n1") for one in sample["closed"]]
            assert (closed["client"], closed["reason"]) == ("somebody", "Client Closed")
            assert closed["from_ns"] < closed["to_ns"]
            await cluster.nodes["n1"].pause(5)
            before = len(log.of("n2"))
            await log.wait(lambda: log.of("n1", "server.unanswered"))
            (unanswered,) = log.of("n1", "server.unanswered")
            assert unanswered["silent"]
            assert len(log.of("n2")) - before >= 2
            await cluster.nodes["n1"].kill(5)
            await log.wait(lambda: log.of("n2")[-1]["routes"] == {})
            told = len(log.events["server.unanswered"])
            await cluster.nodes["n1"].start()
            seen = len(log.of("n1"))
            await log.wait(lambda: len(log.of("n1")) > seen)
            assert all(not one["silent"] for one in log.events["server.unanswered"][told:])
            group.cancel_scope.cancel()


async def test_what_makes_no_sense_is_recorded_and_the_watch_goes_on() -> None:
    log = Log()

    class Nonsense:
        name, running = "n1", True

        class endpoints:  # noqa: N801 - as the real node calls it
            monitor = Address("127.0.0.1", 1)

    node: Any = Nonsense()
    viewer = views._Viewer(node, log, {})
    with anyio.move_on_after(3 * PERIOD_S):
        await viewer.run(0)
    assert len(log.of("n1", "server.unanswered")) >= 2
    assert "takes no connection" in log.of("n1", "server.unanswered")[0]["why"]


def closed_at(stop: str, since_ns: int = 0) -> tuple[int, int]:
    answer = Answer({"now": NOW}, from_ns=20_000_000_000, to_ns=20_002_000_000)
    told = views._describe_closed({"cid": 1, "stop": stop}, answer, since_ns)
    return told["from_ns"], told["to_ns"]


async def test_the_servers_clock_says_when_as_long_as_it_makes_sense() -> None:
    assert closed_at("2026-01-01T00:00:10.499999999Z") == (19_999_999_999, 20_001_999_999)
    assert closed_at("2026-01-01T00:00:09.5Z") == (19_000_000_000, 19_002_000_000)


@pytest.mark.parametrize("stop", ["2026-01-01T00:00:12Z", "2025-12-31T23:00:00Z", "", "nonsense"])
async def test_a_clock_that_was_set_leaves_only_the_time_between_two_looks(stop: str) -> None:
    assert closed_at(stop, since_ns=19_750_000_000) == (19_750_000_000, 20_002_000_000)
