"""Real servers in superclusters and with leaf nodes: formed, broken, and healthy again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness.backends.joints import Joints
from harness.backends.local import LocalBackend
from harness.backends.server_cluster import ServerCluster
from harness.cluster.links import Link
from harness.errors import ServerError
from harness.scenario.model import ClusterSpec

pytestmark = pytest.mark.anyio

LIMIT_S = 20.0
SUPER = {"clusters": {"east": {"servers": 2}, "west": {"servers": 1}}}
LEAF = {"servers": 2, "leafnodes": [{"name": "edge"}]}


@asynccontextmanager
async def cluster_of(folder: Path, **facts: Any) -> AsyncIterator[ServerCluster]:
    def forget(kind: str, **facts: Any) -> None:
        del kind, facts

    spec = ClusterSpec.model_validate(facts)
    backend = LocalBackend()
    async with backend.cluster(spec, groups=(), folder=folder, record=forget) as cluster:
        yield cluster


async def test_a_supercluster_forms_and_a_node_is_healthy_once_its_gateways_are_back(
    tmp_path: Path,
) -> None:
    login = {"user": "r:/@", "password": "s3cret@/:%2"}
    async with cluster_of(tmp_path, **SUPER, route_authorization=login) as cluster:
        await cluster.form(LIMIT_S)
        for name, others in {"n1": {"west"}, "n2": {"west"}, "n3": {"east"}}.items():
            assert await cluster.nodes[name].monitor.gateways(LIMIT_S) == others
        await cluster.nodes["n3"].kill(LIMIT_S)
        await cluster.nodes["n1"].wait_healthy(LIMIT_S)  # a cluster that is away is not expected
        await cluster.nodes["n3"].start()
        await cluster.nodes["n3"].wait_healthy(LIMIT_S)
        for name, others in {"n1": {"west"}, "n2": {"west"}, "n3": {"east"}}.items():
            assert await cluster.nodes[name].monitor.gateways(LIMIT_S) == others
        assert "s3cret" not in (tmp_path / "n3.conf").read_text()


async def test_a_leaf_finds_another_server_of_its_hub_and_is_expected_back(tmp_path: Path) -> None:
    login = {"user": "u", "password": "s3cret"}
    async with cluster_of(tmp_path, **LEAF, authorization=login) as cluster:
        await cluster.form(LIMIT_S)
        leaf, (seed, other) = cluster.nodes["n3"], (cluster.nodes["n1"], cluster.nodes["n2"])
        assert [await one.monitor.leafs(LIMIT_S) for one in (seed, other, leaf)] == [1, 0, 1]
        await seed.kill(LIMIT_S)
        with anyio.fail_after(LIMIT_S):
            while not await other.monitor.leafs(LIMIT_S):
                await anyio.sleep(0.02)
        await seed.start()
        await seed.wait_healthy(LIMIT_S)
        await leaf.kill(LIMIT_S)
        await leaf.start()
        await leaf.wait_healthy(LIMIT_S)
        assert await leaf.monitor.leafs(LIMIT_S) == 1


@pytest.mark.parametrize(
    ("facts", "section", "said"),
    [
        (SUPER, "gateway", "n1 has no gateway to west"),
        (LEAF, "leafnodes", "n3 has no leaf node connection to hub"),
    ],
)
async def test_what_did_not_form_is_named(
    facts: dict[str, Any], section: str, said: str, tmp_path: Path
) -> None:
    async with cluster_of(tmp_path, **facts) as cluster:
        conf = tmp_path / "n3.conf"
        text = conf.read_text()
        broken = re.sub(rf"^{section}: {{.*?^}}\n", "", text, flags=re.MULTILINE | re.DOTALL)
        assert broken != text
        conf.write_text(broken)
        with pytest.raises(ServerError, match=f"not formed within 1.5 s: {said}"):
            await cluster.form(1.5)


class Told:
    """A server that says what it was told to say."""

    def __init__(self, *, serving: bool = True, gateways: tuple[str, ...] = ()) -> None:
        self.serving = serving
        self.monitor = self
        self._gateways = frozenset(gateways)

    async def gateways(self, limit_s: float) -> frozenset[str]:
        del limit_s
        return self._gateways

    async def leafs(self, limit_s: float) -> int:
        del limit_s
        return 0


@pytest.mark.parametrize(
    ("n1", "n2", "n3", "severed", "missing"),
    [
        (("west",), ("west",), ("east",), (), ""),
        (("west",), ("west",), (), (), "n3 has no gateway to east"),
        (("west",), (), ("east",), (), "n2 has no gateway to west"),
        (("west",), (), ("east",), (Link("n3", "n2"),), ""),
        (("west",), (), ("east",), (Link("n1", "n3"),), "n2 has no gateway to west"),
        (None, (), (), (), "n2 has no gateway to west"),
        (("west",), (), None, (), ""),
    ],
    ids=["whole", "own", "theirs", "theirs-cut", "others-cut", "seed-away", "it-is-away"],
)
async def test_what_is_missing_at_a_node_is_what_it_and_the_others_could_have(
    n1: tuple[str, ...] | None,
    n2: tuple[str, ...],
    n3: tuple[str, ...] | None,
    severed: tuple[Link, ...],
    missing: str,
) -> None:
    told = {"n1": n1, "n2": n2, "n3": n3}
    servers: dict[str, Any] = {
        name: Told(serving=one is not None, gateways=one or ()) for name, one in told.items()
    }
    sites = ClusterSpec.model_validate(SUPER).sites
    joints = Joints(sites, servers, lambda: severed)
    assert await joints.missing_at("n3", 1.0) == missing
