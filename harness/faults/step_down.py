"""Step-down: a leader is asked to give up, and another replica leads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from harness.cluster.jetstream import META, Views
from harness.cluster.protocols import Capability, Cluster
from harness.cluster.releases import NONE, PREFERRED_SINCE, release_of
from harness.cluster.targets import led_by
from harness.errors import FaultError
from harness.faults.base import EFFECT_LIMIT_S, UNDO_LIMIT_S, Fault, Strike, undone
from harness.faults.jetstream import order, require_jetstream, until
from harness.scenario.model import SEED
from harness.scenario.problems import suggestion
from harness.scenario.sites import NOWHERE, Sites
from harness.scenario.targets import FOLLOWER, LED_FORMS, parse_led


class StepDown(Fault):
    """Ask the leader that `target` names to step down, as an operator does before maintenance.

    `target` is ``meta-leader``, ``stream-leader:S`` or ``consumer-leader:S/C``. `preferred`
    is the node that is to lead next, or several: the first of them that does not lead already
    (nats-server 2.11 and later). There is nothing to hold and nothing to undo: the fault is
    over once somebody else leads.
    """

    action: Literal["step-down"]
    target: str | tuple[str, ...] = Field(default=SEED, validate_default=True)
    preferred: str | tuple[str, ...] | None = None
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.JETSTREAM})
    self_timed: ClassVar[bool] = True
    timeless: ClassVar[bool] = True
    claims_nodes: ClassVar[bool] = False

    @field_validator("target")
    @classmethod
    def _expect_a_leader(cls, target: str | tuple[str, ...]) -> str | tuple[str, ...]:
        led = parse_led(target) if isinstance(target, str) else None
        if led is None or led.kind == FOLLOWER:
            forms = ", ".join(form for form in LED_FORMS if not form.startswith(FOLLOWER))
            raise ValueError(f"a leader steps down: expected one of {forms}")
        return target

    @field_validator("preferred")
    @classmethod
    def _expect_somebody(cls, preferred: str | tuple[str, ...] | None) -> Any:
        if preferred == ():
            raise ValueError("expected a node, or a list of nodes")
        return preferred

    @field_validator("duration")
    @classmethod
    def _refuse_duration(cls, duration: float | None) -> float | None:
        if duration is not None:
            raise ValueError("takes no duration; it is over once somebody else leads")
        return duration

    @property
    def strikes_clients(self) -> bool:
        """Return False: clients' connections live on."""
        return False

    def impossibilities(
        self, nodes: Sequence[str], groups: Mapping[str, Sequence[str]], sites: Sites = NOWHERE
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what cannot be in such a cluster; see the base class."""
        del groups, sites
        if len(nodes) == 1:
            yield ("target",), "a server alone has nobody who could lead in its place"
        for name in self._preferred:
            if name not in nodes:
                yield ("preferred",), f"unknown node {name!r}{suggestion(name, nodes)}"

    @property
    def _preferred(self) -> tuple[str, ...]:
        """Return the nodes that are preferred, the first first."""
        if self.preferred is None:
            return ()
        return (self.preferred,) if isinstance(self.preferred, str) else self.preferred

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Return once every server that answers names another leader."""
        jetstream = require_jetstream(cluster)
        led = led_by(self)
        assert led is not None
        (node,) = strike.nodes
        if led.group == META and not jetstream.system:
            raise FaultError(
                "the meta leader steps down only for the system account, and the harness has no "
                "login of it: it makes one where nothing else says who may log in"
            )
        successor = next((one for one in self._preferred if one != node.name), None)
        if self._preferred and successor is None:
            raise FaultError(f"{node.name} leads {led.group} already")
        body = None
        if successor is not None and _may_say_who(cluster):
            body = {"placement": {"preferred": jetstream.servers[successor]}}

        def unmoved(views: Views) -> str:
            leader = views.leader(led.group)
            wanted = successor or leader
            if leader is None or leader in (node.name, None) or leader != wanted:
                return f"{led.group} is led by {leader or 'nobody'}"
            return ""

        async def see_a_leader() -> None:
            views = await until(jetstream, lambda v: _leaderless(v, led.group), UNDO_LIMIT_S)
            strike.undo(node, f"{led.group} is led by {views.leader(led.group)}")

        async with undone(see_a_leader, f"{self.name}: seeing a leader", UNDO_LIMIT_S + 5.0):
            strike.hit(node, f"step-down of {led.group}", groups=())
            await order(jetstream, _subject(led.group), body, system=led.group == META)
            views = await until(jetstream, unmoved, EFFECT_LIMIT_S)
            strike.effect(node, f"{led.group} went to {views.leader(led.group)}")
            yield


def _may_say_who(cluster: Cluster) -> bool:
    """Tell whether every server knows the key: an older one may refuse the whole order for it."""
    releases = {release_of(one.version) for one in cluster.nodes.values()} - {NONE}
    return all(one >= PREFERRED_SINCE for one in releases)


def _leaderless(views: Views, group: str) -> str:
    return "" if views.leader(group) is not None else f"{group} has no leader"


def _subject(group: str) -> str:
    kind, _, name = group.partition(":")
    if group == META:
        return "$JS.API.META.LEADER.STEPDOWN"
    return f"$JS.API.{kind.upper()}.LEADER.STEPDOWN.{name.replace('/', '.')}"
