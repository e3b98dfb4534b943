"""When a cluster is quiet, what is gone for sure, and what is not waited for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fake_jetstream import NODES, FakeJetStream, views
from fake_nodes import FakeNode

from harness import quiet
from harness.cluster.jetstream import NodeView, Views
from harness.quiet import Calm, Quiet
from harness.scenario.streams import StreamSpec

pytestmark = pytest.mark.anyio
SPEC = StreamSpec(name="S", replicas=3)
UNKNOWN = {"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}


class Nodes:
    def __init__(self) -> None:
        self.nodes = {name: FakeNode(name, []) for name in NODES}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Shorten all times, and return what /healthz says by node, to be changed."""
    monkeypatch.setattr(quiet, "POLL_S", 0.01)
    monkeypatch.setattr(quiet, "GONE_S", 0.1)
    monkeypatch.setattr(quiet, "STILL_S", 0.3)
    monkeypatch.setattr(quiet, "QUIET_LIMIT_S", 5.0)
    codes = dict.fromkeys(NODES, 200)

    async def ask(self: Quiet) -> dict[str, dict[str, object]]:
        running = [one.name for one in self.cluster.nodes.values() if one.running]
        return {name: {"code": codes[name], "status": "said"} for name in running}

    monkeypatch.setattr(Quiet, "_ask_health", ask)
    return codes


async def wait(jetstream: FakeJetStream, nodes: Nodes | None = None) -> Calm:
    cluster: Any = nodes or Nodes()
    observer: Any = jetstream
    return await Quiet(cluster, observer, (SPEC,)).wait()


def without(found: Views, *nodes: str) -> Views:
    """Return the views with the stream unknown to some nodes."""
    told: dict[str, NodeView] = {
        node: replace(view, streams={}) if node in nodes else view
        for node, view in found.nodes.items()
    }
    return Views(told)


async def test_what_is_whole_is_quiet() -> None:
    calm = await wait(FakeJetStream())
    assert (calm.restless, calm.gone, calm.refused) == ("", frozenset(), {})


async def test_a_replica_that_a_healthy_server_does_not_know_of_is_gone() -> None:
    calm = await wait(FakeJetStream(without(views(late=("n3",)), "n3")))
    assert (calm.restless, calm.gone) == ("", frozenset({("S", "n3")}))


async def test_one_whose_server_is_not_healthy_is_only_late(quick: dict[str, int]) -> None:
    quick["n3"] = 503
    calm = await wait(FakeJetStream(without(views(late=("n3",)), "n3")))
    assert "n3 is not current" in calm.restless
    assert not calm.gone


async def test_a_stream_that_nobody_knows_is_gone_once_jetstream_says_so() -> None:
    nobody = without(views(), *NODES)
    assert (await wait(FakeJetStream(nobody, answer=UNKNOWN))).gone == {("S", None)}
    denied = await wait(FakeJetStream(nobody, answer={"success": True}))
    assert not denied.gone
    assert "has no leader" in denied.restless


@pytest.mark.parametrize("why", ["silent", "unhealthy", "down"])
async def test_one_that_cannot_be_believed_changes_nothing(why: str, quick: dict[str, int]) -> None:
    nodes = Nodes()
    nobody = without(views(meta="n1"), *NODES)
    if why == "silent":
        nobody = Views({node: view for node, view in nobody.nodes.items() if node != "n2"})
    if why == "unhealthy":
        quick["n2"] = 503
    if why == "down":
        nodes.nodes["n2"].running = False
    calm = await wait(FakeJetStream(nobody, answer=UNKNOWN), nodes)
    assert calm.gone == {("S", None)}
    assert "n2" in calm.restless
    denied = await wait(FakeJetStream(nobody, answer={"success": True}), nodes)
    assert not denied.gone


@pytest.mark.parametrize("why", ["no-leader", "few", "leader-unwell", "two-leaders", "one-has-it"])
async def test_not_unless_most_can_be_believed(why: str, quick: dict[str, int]) -> None:
    quick["n2"] = 503
    meta = {"no-leader": None, "leader-unwell": "n2"}.get(why, "n1")
    nobody = without(views(meta=meta), *(NODES if why != "one-has-it" else ("n1", "n3")))
    if why == "few":
        quick["n3"] = 503
    if why == "two-leaders":
        another = replace(nobody.nodes["n3"], meta_leader="n3")
        nobody = Views({**nobody.nodes, "n3": another})
    calm = await wait(FakeJetStream(nobody, answer=UNKNOWN))
    assert ("S", None) not in calm.gone
    assert calm.restless


@pytest.mark.parametrize("running", [True, False])
async def test_a_server_that_may_refuse_is_not_waited_for(
    running: bool, quick: dict[str, int]
) -> None:
    nodes = Nodes()
    quick["n3"] = 503
    nodes.nodes["n3"].running = running
    known = views(late=("n3",))
    said = known if running else Views({node: known.nodes[node] for node in ("n1", "n2")})
    held = await wait(FakeJetStream(said), nodes)
    assert "n3" in held.restless
    nodes.nodes["n3"].refused = "snapshot corrupt"
    calm = await wait(FakeJetStream(said), nodes)
    assert (calm.restless, calm.gone) == ("", frozenset())
    assert calm.refused == {"n3": "snapshot corrupt"}
