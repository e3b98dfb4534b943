"""Clusters that leave a server out of JetStream's own group, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.backends import meta_group
from harness.backends.local import LocalBackend
from harness.backends.meta_group import find_left_out
from harness.backends.server_node import ServerNode
from harness.errors import ServerError
from harness.scenario.model import ClusterSpec

pytestmark = pytest.mark.anyio

LEADER: dict[str, Any] = {"leader": "n1", "replicas": [{"name": "n2"}]}


def nodes(
    *metas: dict[str, Any] | None, version: str = "2.10.25", store: Path | None = Path("/s")
) -> list[ServerNode]:
    """Return servers that say this of the meta group; None: it does not answer."""

    def make(meta: dict[str, Any] | None) -> SimpleNamespace:
        async def get(path: str, limit_s: float) -> SimpleNamespace:
            assert (path, limit_s > 0) == ("/jsz", True)
            if meta is None:
                raise ServerError("silent")
            return SimpleNamespace(body={"meta_cluster": meta})

        return SimpleNamespace(version=version, store=store, monitor=SimpleNamespace(get=get))

    return cast("list[ServerNode]", [make(meta) for meta in metas])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_group, "SETTLE_S", 0.2)


async def test_a_group_of_two_of_three_servers_is_told() -> None:
    two = LEADER | {"cluster_size": 2}
    assert await find_left_out(nodes({"leader": "n1"}, None, two)) == (
        "JetStream counts 2 of 3 servers"
    )


async def test_a_whole_group_is_not() -> None:
    assert await find_left_out(nodes({}, LEADER | {"cluster_size": 3}, None)) == ""


async def test_where_nobody_leads_yet_nothing_is_told() -> None:
    assert await find_left_out(nodes({}, None, {"cluster_size": 2})) == ""


@pytest.mark.parametrize(
    ("count", "more"),
    [(3, {"version": "2.11.0"}), (3, {"version": "dev"}), (3, {"store": None}), (2, {})],
)
async def test_who_cannot_be_prone_to_it_is_not_asked(count: int, more: dict[str, Any]) -> None:
    assert await find_left_out(nodes(*[LEADER | {"cluster_size": 1}] * count, **more)) == ""


async def test_such_a_cluster_starts_again_from_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept: list[bool] = []

    async def find(found: Sequence[ServerNode]) -> str:
        stores = [node.store for node in found if node.store is not None]
        kept.append(any((store / "mark").exists() for store in stores))
        for store in stores:
            store.mkdir(parents=True, exist_ok=True)
            (store / "mark").touch()
        return "JetStream counts 2 of 3 servers" if len(kept) == 1 else ""

    monkeypatch.setattr("harness.backends.server_cluster.find_left_out", find)
    told: list[tuple[str, dict[str, Any]]] = []

    def record(kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        del at_ns
        told.append((kind, facts))

    spec = ClusterSpec.model_validate({"jetstream": True})
    async with LocalBackend().cluster(spec, groups=(), folder=tmp_path, record=record) as cluster:
        await cluster.form(30.0)
        kinds = [kind for kind, _ in told]
        assert kept == [False, False]
        assert kinds.count("server.started") == 6
        assert [facts["why"] for kind, facts in told if kind == "cluster.emptied"] == [
            "JetStream counts 2 of 3 servers"
        ]
        ended = [facts["expected"] for kind, facts in told if kind == "server.exited"]
        assert ended == [True] * 3
        assert kinds.index("cluster.emptied") < kinds.index("cluster.formed")
