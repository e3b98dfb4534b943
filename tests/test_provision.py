from __future__ import annotations

from typing import Any

import pytest
from fake_jetstream import NODES, FakeJetStream, views
from fake_nodes import Events, FakeNode

from harness.errors import ServerError, UsageError
from harness.provision import provided
from harness.scenario.model import Scenario

pytestmark = pytest.mark.anyio


class FakeCluster:
    def __init__(self) -> None:
        self.nodes = {name: FakeNode(name, []) for name in NODES}
        self.record = Events()


class Server(FakeJetStream):
    """Make streams as it is told; `twist` changes the configuration that it took over."""

    def __init__(self, twist: dict[str, Any] | None = None, **fields: Any) -> None:
        super().__init__(**fields)
        self.twist = twist or {}
        self.made: dict[str, Any] | None = None
        self.there = False

    async def request(self, subject: str, body: Any = None, **more: Any) -> dict[str, Any]:
        self.asked.append((subject, body, False))
        if ".STREAM.CREATE." in subject:
            kept = {key: value for key, value in body.items() if self.twist.get(key, 0) is not None}
            self.made = kept | {key: one for key, one in self.twist.items() if one is not None}
            return {"config": self.made}
        if ".STREAM.INFO." in subject and (self.made is not None or self.there):
            return {"config": self.made}
        return {"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}


def scenario(**options: Any) -> Scenario:
    stream = {"name": "S", "replicas": 3, "options": options}
    fields = {"name": "x", "streams": [stream], "workloads": [{"name": "w", "kind": "none"}]}
    return Scenario.model_validate(fields)


async def provide(server: Any, **options: Any) -> Events:
    cluster: Any = FakeCluster()
    record: Events = cluster.record
    async with provided(scenario(**options), cluster, server):
        return record


async def test_a_stream_is_there_and_all_replicas_current_before_anything_else() -> None:
    record = await provide(Server(), deny_delete=True)
    facts = record.facts[record.kinds.index("stream.created")]
    assert (facts["leader"], facts["replicas"]) == ("n1", ["n1", "n2", "n3"])
    assert facts["config"]["deny_delete"] is True


async def test_a_key_that_the_server_ignored_is_named() -> None:
    with pytest.raises(UsageError, match="stream S: deny_delete: the server ignored it"):
        await provide(Server({"deny_delete": None}), deny_delete=True)


async def test_a_key_that_the_server_changed_is_named() -> None:
    what = "stream S: num_replicas: asked for 3, the server made it 1"
    with pytest.raises(UsageError, match=what):
        await provide(Server({"num_replicas": 1}))


class Choosy(Server):
    """Refuse to place a stream, the first `times` times, for want of peers."""

    def __init__(self, why: str, times: int) -> None:
        super().__init__()
        self.why, self.times = why, times

    async def request(self, subject: str, body: Any = None, **more: Any) -> dict[str, Any]:
        if ".STREAM.CREATE." in subject and self.times > 0:
            self.times -= 1
            said = f"no suitable peers for placement, {self.why}"
            return {"error": {"code": 400, "err_code": 10005, "description": said}}
        return await super().request(subject, body, **more)


async def test_peers_that_the_meta_leader_has_not_heard_from_yet_are_waited_for() -> None:
    assert "stream.created" in (await provide(Choosy("peer offline", 2))).kinds


async def test_peers_that_do_not_suit_are_not_waited_for() -> None:
    with pytest.raises(UsageError, match="no suitable peers for placement, tags not matched"):
        await provide(Choosy("tags not matched", 1))


async def test_a_stream_that_exists_is_left_alone() -> None:
    server = Server()
    server.there = True
    with pytest.raises(UsageError, match="stream S exists already"):
        await provide(server)
    assert not [subject for subject, _, _ in server.asked if "CREATE" in subject]


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (views(meta=None), "knows no meta leader"),
        (views(late=("n2",)), "n2 is not current"),
        (views(leader=None), "stream S has no leader"),
    ],
)
async def test_what_is_not_ready_in_time_is_told(
    monkeypatch: pytest.MonkeyPatch, now: Any, why: str
) -> None:
    monkeypatch.setattr("harness.provision.READY_LIMIT_S", 0.2)
    monkeypatch.setattr("harness.provision.MAKE_LIMIT_S", 0.2)
    with pytest.raises(ServerError, match=why):
        await provide(Server(now=now))


class Forgetful(Server):
    """Take its peers for offline the first few times that a stream is asked for."""

    offline = 3
    said = "no suitable peers for placement, peer offline"

    async def request(self, subject: str, body: Any = None, **more: Any) -> dict[str, Any]:
        if ".STREAM.CREATE." in subject and self.offline:
            self.offline -= 1
            return {"error": {"code": 400, "err_code": 10005, "description": self.said}}
        return await super().request(subject, body, **more)


async def test_a_meta_leader_that_has_not_heard_of_its_peers_yet_is_asked_again() -> None:
    server = Forgetful()
    record = await provide(server)
    assert server.offline == 0
    assert "stream.created" in record.kinds


async def test_peers_that_do_not_suit_are_its_last_word() -> None:
    server = Forgetful()
    server.said = "no suitable peers for placement, tags not matched"
    with pytest.raises(UsageError, match="tags not matched"):
        await provide(server)
