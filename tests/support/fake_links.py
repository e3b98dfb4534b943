"""Links without a network: they pass, drop, reset and refuse as told, or fail as planned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from fake_nodes import Events, FakeNode

from harness.clock import now_ns
from harness.cluster.grudge import all_links
from harness.cluster.links import Answer, Link, Passage, Stream
from harness.scenario.sites import NOWHERE, Sites


@dataclass
class FakeLinks:
    nodes: tuple[str, ...] = ("n1", "n2", "n3")
    groups: tuple[str, ...] = ("hello-publishers", "hello-subscribers")
    diary: list[str] = field(default_factory=list)
    counts: Counter[Link] = field(default_factory=Counter)
    refused: Counter[Link] = field(default_factory=Counter)
    changes: int = 0
    leaks: frozenset[Link] = frozenset()
    dead: frozenset[Link] = frozenset()
    never_heals: bool = False
    never_resets: bool = False
    never_refuses: bool = False
    never_accepts: bool = False
    refusing_kills: bool = False
    open: set[Stream] = field(default_factory=set)
    via: str | None = None
    during_probe: Callable[[], None] = lambda: None

    @property
    def usable(self) -> frozenset[Link]:
        if self.via is None:
            return all_links(self.nodes, self.groups)
        return all_links(self.nodes, self.groups, "clients")

    @property
    def severed(self) -> frozenset[Link]:
        return frozenset(+self.counts)

    def cut(self, links: Collection[Link]) -> int:
        self.diary.append(f"cut {len(links)}")
        self.changes += 1
        self.counts.update(links)
        return now_ns()

    def heal(self, links: Collection[Link]) -> int:
        self.diary.append(f"heal {len(links)}")
        self.changes += 1
        if not self.never_heals:
            self.counts.subtract(links)
        return now_ns()

    async def probe(
        self, links: Collection[Link], count: int, limit_s: float
    ) -> Mapping[Link, Passage]:
        await anyio.lowlevel.checkpoint()
        self.during_probe()
        return {link: Passage(count, count if self._passes(link) else 0) for link in links}

    def _passes(self, link: Link) -> bool:
        return link not in self.dead and (not self.counts[link] > 0 or link in self.leaks)

    def connect(self, node: str, peer: str, port: int) -> None:
        self.open.add(Stream(node, peer, 4222, port, f"{node}{port}".encode()))
        self.open.add(Stream(peer, node, port, 4222, f"{peer}{port}".encode()))

    def streams(self, place: str, peers: Collection[str]) -> frozenset[Stream]:
        return frozenset(one for one in self.open if one.place == place and one.peer in peers)

    def reset(self, streams: Collection[Stream]) -> int:
        self.diary.append(f"reset {len(streams)}")
        if not self.never_resets:
            far = {(one.peer, one.peer_port) for one in streams}
            self.open -= {one for one in self.open if (one.place, one.port) in far} | set(streams)
        return now_ns()

    def refuse(self, links: Collection[Link]) -> int:
        self.diary.append(f"refuse {len(links)}")
        if not self.never_refuses:
            self.refused.update(links)
        if self.refusing_kills:
            self.open.clear()
        return now_ns()

    def accept(self, links: Collection[Link]) -> int:
        self.diary.append(f"accept {len(links)}")
        if not self.never_accepts:
            self.refused.subtract(links)
        return now_ns()

    async def knock(self, links: Collection[Link], limit_s: float) -> Mapping[Link, Answer]:
        await anyio.lowlevel.checkpoint()
        return {link: self._answer(link) for link in links}

    def _answer(self, link: Link) -> Answer:
        if not self._passes(link):
            return Answer.SILENCE
        return Answer.REFUSED if self.refused[link] > 0 else Answer.ACCEPTED


@dataclass
class FakeCluster:
    links: FakeLinks | None
    record: Events = field(default_factory=Events)
    shaper: Any = None
    nodes: dict[str, Any] = field(default_factory=dict)
    sites: Sites = NOWHERE

    def __post_init__(self) -> None:
        names = ("n1",) if self.links is None else self.links.nodes
        self.nodes = {name: FakeNode(name, []) for name in names}
