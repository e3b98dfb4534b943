"""Partition: links drop every packet, silently, as a broken network does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import anyio
from pydantic import Field, ValidationInfo, field_validator, model_validator

from harness.clock import now_ns, sleep_until
from harness.cluster.grudge import (
    FEWEST,
    Between,
    Direction,
    Topology,
    grudge,
    stands_for,
)
from harness.cluster.links import Link, Links, Passage
from harness.cluster.protocols import Capability, Cluster
from harness.errors import FaultError, leading_error
from harness.faults.base import TRIES, Fault, Strike, patience_s, require_links, told_via, undone
from harness.scenario.model import NODES
from harness.scenario.problems import suggestion
from harness.scenario.sites import CLUSTER_PREFIX, NOWHERE, Sites

PROBES = 3
OPEN_LIMIT_S = 1.0
SILENCE_S = 0.2
CONTROLS = 12  # links beside the cut ones that are looked at during the cut
NAMED = 6  # links that a message names
UNDER_CUT = ("during", "held")


class Partition(Fault):
    """Cut links between servers, or between servers and clients; heal them after `duration`.

    IP packets vanish and connections stay open, so servers and clients notice only by
    their own pings and time-outs. All links are cut at one instant, and so they are
    healed; probes over each of them before, during and after are the proof.
    """

    action: Literal["partition"]
    topology: Topology = "isolate"
    between: Between = "all"
    direction: Direction = "both"
    drop: tuple[tuple[str, str], ...] | None = Field(default=None, validate_default=True)

    claims_nodes: ClassVar[bool] = False  # links are cut and healed one by one
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.PARTITION})
    silent: ClassVar[bool] = True
    parts: ClassVar[bool] = True
    lead_s: ClassVar[float] = 0.25

    @model_validator(mode="before")
    @classmethod
    def _aim_where_nobody_chooses(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, Mapping) and data.get("topology", "isolate") != "isolate":
            nodes = (info.context or {}).get(NODES, ())
            return {"target": _implied_target(data.get("drop"), nodes), **data}
        return data

    @field_validator("between", "direction")
    @classmethod
    def _refuse_with_others(cls, value: str, info: ValidationInfo) -> str:
        topology = info.data.get("topology", "isolate")
        if topology == "custom" and value not in ("all", "both"):
            raise ValueError(f"a custom partition has its `drop` list and takes no {value!r}")
        if value in ("to", "from") and topology != "isolate":
            raise ValueError(f"{value!r} is relative to a target, and {topology} has none")
        return value

    @field_validator("drop")
    @classmethod
    def _require_where_custom(
        cls, drop: tuple[tuple[str, str], ...] | None, info: ValidationInfo
    ) -> tuple[tuple[str, str], ...] | None:
        topology = info.data.get("topology")
        if topology == "custom" and not drop:
            raise ValueError("a custom partition needs at least one pair [from, to] to drop")
        if topology is not None and topology != "custom" and drop is not None:
            raise ValueError(f"only a custom partition takes `drop`; this one is {topology!r}")
        return drop

    @property
    def needed(self) -> frozenset[Capability]:
        """Return less where only links of clients are cut, both ways."""
        return self._needed(self.target if not isinstance(self.target, str) else ())

    def needed_among(self, sites: Sites) -> frozenset[Capability]:
        """Return the same where names of clusters are known; see the base class."""
        return self._needed({*sites.nodes, *sites.names})

    def _needed(self, servers: Collection[str]) -> frozenset[Capability]:
        if self.drop is None:
            narrow = self.between == "clients" and self.direction == "both"
        else:
            pairs = set(self.drop)
            narrow = all(
                (one in servers) != (other in servers) and (other, one) in pairs
                for one, other in pairs
            )
        return frozenset({Capability.CLIENT_PARTITION}) if narrow else self.needs

    @property
    def strikes_clients(self) -> bool:
        """Tell whether a link of a client can be cut."""
        if self.drop is None:
            return self.between in ("clients", "all")
        return any(not self._names_node(name) for pair in self.drop for name in pair)

    def reaches_clients(self, sites: Sites) -> bool:
        """Tell whether a link of a client can be cut; see the base class."""
        if self.drop is None:
            return self.strikes_clients
        servers = {*sites.nodes, *sites.names}
        return any(name not in servers for pair in self.drop for name in pair)

    @property
    def takes_target(self) -> bool:
        """Tell whether it isolates a target; other topologies decide by themselves."""
        return self.topology == "isolate"

    def impossibilities(
        self, nodes: Sequence[str], groups: Mapping[str, Sequence[str]], sites: Sites = NOWHERE
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what cannot be parted in such a cluster; see the base class."""
        if self.topology != "isolate":
            implied = {"target": _implied_target(self.drop, nodes), "count": "all"}
            for key, value in implied.items():
                if getattr(self, key) not in (value, list(value)):
                    yield (key,), f"{self.topology} decides by itself and takes no {key}"
        fewest = FEWEST.get(self.topology, 1)
        if len(nodes) < fewest:
            message = f"{self.topology} needs at least {fewest} servers, found {len(nodes)}"
            yield ("topology",), message
        elif len(nodes) == 1 and self.drop is None and self.between == "servers":
            yield ("between",), "one server has no links to others"
        yield from _impossible_pairs(self.drop or (), nodes, groups, sites)

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the links cut, from the proof that nothing passes to the proof that all does."""
        links = require_links(cluster)
        cut = grudge(
            self.topology,
            links.nodes,
            links.groups,
            random=strike.random,
            targets=[node.name for node in strike.nodes],
            drop=self.drop or (),
            direction=self.direction,
            between=self.between,
            sites=cluster.sites,
            together=self._takes_a_cluster(),
        )
        if not cut:
            raise FaultError("there is no link to cut")
        proof = _Proof(cluster, links, strike, cut, _draw_controls(links, cut, strike))
        await proof.look("before", cut)
        made = False

        async def heal() -> None:
            if made:
                links.heal(cut)
                await proof.look("after", cut)
                for name in proof.struck:
                    strike.undo(cluster.nodes[name], "every probe passed over its links again")

        async with undone(heal, f"{self.name}: healing the links"):
            await sleep_until(strike.due_ns)
            at_ns = now_ns()
            links.cut(cut)
            made = True
            for name in proof.struck:
                touching = [link for link in cut if name in (link.source, link.target)]
                places = {place for link in touching for place in (link.source, link.target)}
                strike.hit(
                    cluster.nodes[name],
                    f"cut {_list(touching)}",
                    at_ns=at_ns,
                    groups=places & frozenset(links.groups),
                    peers=places & frozenset(links.nodes) - {name},
                )
            said = await proof.look("during", cut | proof.controls)
            for name in proof.struck:
                strike.effect(cluster.nodes[name], said)

            async def look() -> None:
                said = await proof.look("held", cut | proof.controls)
                for name in proof.struck:
                    strike.held(cluster.nodes[name], f"still cut: {said}")

            strike.still(look, proof.silence_s(cut))
            yield

    def _names_node(self, name: str) -> bool:
        """Tell whether a name in `drop` is a node's: the nodes it names are the target."""
        return not isinstance(self.target, str) and name in self.target

    def _takes_a_cluster(self) -> bool:
        """Tell whether a cluster as a whole is the target, rather than each of its nodes."""
        named = isinstance(self.target, str) and self.target.startswith(CLUSTER_PREFIX)
        return named and self.count == "all"


@dataclass(frozen=True)
class _Proof:
    """What is looked at to know that a cut is one, and no more than was asked."""

    cluster: Cluster
    links: Links
    strike: Strike
    cut: frozenset[Link]
    controls: frozenset[Link]

    @property
    def struck(self) -> tuple[str, ...]:
        """Return the nodes on whose links something is cut."""
        ends = {end for link in self.cut for end in (link.source, link.target)}
        return tuple(name for name in self.links.nodes if name in ends)

    def silence_s(self, links: Collection[Link]) -> float:
        """Return how long nothing has to pass: a slow or lossy link is not a cut one."""
        return SILENCE_S + patience_s(self.cluster, links, PROBES)

    async def look(self, edge: str, asked: frozenset[Link]) -> str:
        """Send probes, record what came of them and say it; FaultError when it is not right.

        A link that is cut, now or still, by whatever fault, must pass nothing; any other
        must pass all. When links were cut or healed meanwhile, the look is taken again.
        """
        for _ in range(TRIES):
            changes = self.links.changes
            silent = asked & (self.links.severed | (self.cut if edge in UNDER_CUT else frozenset()))
            passages = await self._probe(silent, asked - silent)
            if self.links.changes == changes:
                break
        else:
            raise FaultError(f"{edge}: the links changed during each of {TRIES} looks at them")
        self.strike.record(
            "fault.probed",
            fault=self.strike.fault,
            edge=edge,
            links=[
                {
                    "from": link.source,
                    "to": link.target,
                    "cut": link in silent,
                    "sent": passage.sent,
                    "received": passage.received,
                    **({} if self.links.via is None else {"via": self.links.via}),
                }
                for link, passage in sorted(passages.items())
            ],
        )
        leaking = [link for link in silent if passages[link].received]
        if leaking:
            raise FaultError(f"{edge}: the cut let something through: {_list(leaking)}")
        closed = [link for link in asked - silent if passages[link].received < PROBES]
        if closed:
            raise FaultError(f"{edge}: not every probe passed over {_list(closed)}")
        others = len(asked) - len(silent)
        return (
            f"none of {len(silent) * PROBES} probes passed over the {len(silent)} cut links, "
            f"all of {others * PROBES} over {others} others{told_via(self.links)}"
        )

    async def _probe(
        self, silent: Collection[Link], whole: Collection[Link]
    ) -> Mapping[Link, Passage]:
        passages: dict[Link, Passage] = {}

        async def send(links: Collection[Link], limit_s: float) -> None:
            if links:
                passages.update(await self.links.probe(links, PROBES, limit_s))

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(send, silent, self.silence_s(silent))
                group.start_soon(send, whole, OPEN_LIMIT_S + patience_s(self.cluster, whole))
        except BaseExceptionGroup as errors:
            raise leading_error(errors) from None
        return passages


def _draw_controls(links: Links, cut: frozenset[Link], strike: Strike) -> frozenset[Link]:
    others = sorted(links.usable - cut)
    return frozenset(strike.random.sample(others, min(CONTROLS, len(others))))


def _list(links: Collection[Link]) -> str:
    named = ", ".join(str(link) for link in sorted(links)[:NAMED])
    more = len(links) - NAMED
    return f"{named} and {more} more" if more > 0 else named


def _implied_target(drop: object, nodes: Collection[str]) -> str | tuple[str, ...]:
    """Return the target of what has none of its own: the nodes that it names, else all."""
    if not isinstance(drop, Sequence):
        return "all"
    named = [
        name
        for pair in drop
        if isinstance(pair, Sequence)
        for name in pair
        if isinstance(name, str) and (name in nodes or _is_node(name))
    ]
    return tuple(dict.fromkeys(named)) or "all"


def _is_node(name: str) -> bool:
    """Tell whether a name has the form of a node's that the harness names."""
    return name[:1] == "n" and name[1:].isdigit()


def _impossible_pairs(
    drop: Sequence[tuple[str, str]],
    nodes: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    sites: Sites,
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    flat = [group for members in groups.values() for group in members]
    for index, pair in enumerate(drop):
        found = [stands_for(name, nodes, flat, sites) for name in pair]
        for side, (name, places) in enumerate(zip(pair, found, strict=True)):
            if not places:
                hint = suggestion(name, (*nodes, *sites.names, *flat, *groups))
                clusters = ", cluster" if sites.names else ""
                yield (
                    ("drop", index, side),
                    f"unknown node{clusters}, client group or workload {name!r}{hint}",
                )
        if not all(found):
            continue
        alone = len({*found[0], *found[1]}) == 1
        if alone or (pair[0] == pair[1] and pair[0] not in sites.names):
            yield ("drop", index), f"{pair[0]!r} has no link to itself"
        elif not any(name in nodes for places in found for name in places):
            yield ("drop", index), "clients have no links between them; one of the two is a node"
