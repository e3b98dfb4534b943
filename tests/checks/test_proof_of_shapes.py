"""Shaped links before the judges: what such a fault records is proof, or is none."""

from __future__ import annotations

from typing import Any

import pytest
from fake_nodes import FakeNode
from fake_shaper import FakeShaper
from fake_strikes import injection_on
from story import Story

from harness.checks.base import Case, Verdict
from harness.checks.failover import judge_failover
from harness.checks.proof import judge_proof
from harness.clock import now_ns
from harness.cluster.links import Link
from harness.cluster.shapes import Shape
from harness.faults import FAULTS
from harness.history.assemble import assemble
from harness.injection import Claim
from harness.scenario.sites import NOWHERE

pytestmark = pytest.mark.anyio

STEPS: tuple[dict[str, Any], ...] = (
    {"action": "delay", "delay": "20ms"},
    {"action": "loss", "loss": "20%"},
    {"action": "bandwidth", "rate": "10Mbit"},
)
PUBLISHER = "hello-publisher-1"


class ShapedCluster:
    """Nodes and links without servers; what is recorded is what a run would record."""

    def __init__(self, shaper: FakeShaper) -> None:
        self.shaper, self.links = shaper, None
        self.nodes = {name: FakeNode(name, []) for name in shaper.nodes}
        self.sites = NOWHERE
        self.events: list[dict[str, Any]] = []

    def record(self, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        at_ns = now_ns() if at_ns is None else at_ns
        self.events.append({"kind": kind, "iteration": 0, "at_ns": at_ns, **facts})


async def recorded(shaper: FakeShaper, step: dict[str, Any]) -> list[dict[str, Any]]:
    fault = FAULTS[step["action"]].model_validate(
        {"name": "far", "target": ["n1", "n2"], "duration": "1ms", **step}
    )
    cluster = ShapedCluster(shaper)
    claims = {"n1": (another := Claim("another"))}  # which no shape minds
    await injection_on(cluster, fault, claims=claims).run()
    assert claims == {"n1": another}
    return cluster.events


def verdict(events: list[dict[str, Any]]) -> tuple[Verdict, str]:
    scenario = {"faults": [{"name": "far"}]}
    (finding,) = judge_proof(Case(assemble(0, events, {}), scenario)).findings
    return finding.verdict, finding.detail


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["action"])
async def test_what_a_shape_records_is_its_proof(step: dict[str, Any]) -> None:
    events = await recorded(FakeShaper(), step)
    assert verdict(events) == (
        Verdict.PASS,
        "fault far struck n1, n2; effect and undo were observed",
    )


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["action"])
@pytest.mark.parametrize("node", ["n1", "n2"])
@pytest.mark.parametrize(
    ("kind", "edge", "words"),
    [
        ("fault.hit", None, "it did not strike"),
        ("fault.observed", "effect", "no effect was observed at"),
        ("fault.observed", "held", "was not observed again right before the heal at"),
        ("fault.observed", "undo", "no undo was observed at"),
    ],
)
async def test_a_shape_without_proof_at_one_node_is_not_proven(
    step: dict[str, Any], node: str, kind: str, edge: str | None, words: str
) -> None:
    events = [
        one
        for one in await recorded(FakeShaper(), step)
        if (one["kind"], one.get("node"), one.get("edge")) != (kind, node, edge)
    ]
    assert verdict(events)[0] is Verdict.INCONCLUSIVE
    assert f"{words} {node}" in verdict(events)[1]


@pytest.mark.parametrize("kind", ["inject_started", "injected", "heal_started", "healed"])
async def test_a_shape_without_one_of_its_ends_is_not_proven(kind: str) -> None:
    events = [
        one for one in await recorded(FakeShaper(), STEPS[0]) if one["kind"] != f"fault.{kind}"
    ]
    assert verdict(events)[0] is Verdict.INCONCLUSIVE


async def test_a_shape_that_strikes_beside_its_targets_is_not_proven() -> None:
    events = await recorded(FakeShaper(), STEPS[0])
    for event in events:
        if "targets" in event:
            event["targets"] = ["n1"]
    assert verdict(events)[0] is Verdict.INCONCLUSIVE
    assert "it struck n2, at which it was not aimed" in verdict(events)[1]


@pytest.mark.parametrize(
    "misfortune",
    [
        {"truth": {Link("n3", "n1"): Shape(delay_s=0.001)}},
        {"lingers": True},
        {"refuses": True},
        {"forgets": True},
    ],
    ids=["no-effect", "lingers", "refused", "forgotten"],
)
async def test_a_shape_that_fails_is_not_proven(misfortune: dict[str, Any]) -> None:
    events = await recorded(FakeShaper(**misfortune), STEPS[0])
    assert verdict(events)[0] is Verdict.INCONCLUSIVE


def shaped(node: str = "n1") -> Story:
    story = Story().core().fault("far", "delay", [node])
    for event in story.events:
        if event["kind"] == "fault.hit":
            event["groups"] = []
    return story


def failovers(story: Story, name: str) -> int:
    history = story.history()
    result = judge_failover(Case(history.iterations[0], history.scenario))
    return len(result.samples[name].values)


def test_no_client_counts_as_struck_by_a_shape() -> None:
    assert failovers(shaped(), "failover_time") == 0
    assert failovers(shaped(), "detection_time") == 0
    story = shaped().fault("stop-seed", at=5.0).failover(PUBLISHER, 5.1, 5.2)
    assert failovers(story, "failover_time") == 2  # of the stop: each of its two clients


@pytest.mark.parametrize(
    ("link", "explained"),
    [
        (("hello-publishers", "n1"), True),
        (("n1", "hello-publishers"), True),
        (("n1", "hello-subscribers"), False),
        (("n1", "n2"), False),
    ],
)
def test_a_connection_lost_over_a_shaped_link_is_explained_but_not_measured(
    link: tuple[str, str], explained: bool
) -> None:
    story = shaped().failover(PUBLISHER, 4.5, 4.6)
    links = [{"from": link[0], "to": link[1]}]
    story.event(4.005, "fault.measured", fault="far", edge="effect", links=links)
    history = story.history()
    result = judge_failover(Case(history.iterations[0], history.scenario))
    unexplained = [note for note in result.notes if "though no fault had struck" in note]
    assert bool(unexplained) is not explained
    assert failovers(story, "failover_time") == 0
