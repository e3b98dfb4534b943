"""A shaper without a network: it makes the samples that its shapes would make, or lies."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

from fake_links import FakeLinks

from harness.cluster.links import Link
from harness.cluster.shapes import Arrival, Sample, Shape, Trial, combine
from harness.errors import FaultError
from harness.scenario.sites import NOWHERE

NOISE_NS = 100_000
BURST_BYTES = 3000


@dataclass
class FakeShaper:
    """What really happens on a link is `truth` where given, else what was asked."""

    nodes: tuple[str, ...] = ("n1", "n2", "n3")
    groups: tuple[str, ...] = ("load",)
    truth: dict[Link, Shape] = field(default_factory=dict)
    lingers: bool = False
    refuses: bool = False
    changes: bool = False
    forgets: bool = False
    network: FakeLinks | None = None
    layers: list[Mapping[Link, Shape]] = field(default_factory=list)
    asked: list[tuple[frozenset[Link], Trial]] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(7)
        self._left: dict[Link, Shape] = {}

    @property
    def cluster(self) -> SimpleNamespace:
        return SimpleNamespace(shaper=self, links=self.network, sites=NOWHERE)

    def effective(self, link: Link) -> Shape:
        if self.changes:
            return Shape(delay_s=self.dice.random())
        if self.forgets:
            return Shape()
        return combine(layer[link] for layer in self.layers if link in layer)

    @asynccontextmanager
    async def shaped(
        self, shapes: Mapping[Link, Shape], seed: int
    ) -> AsyncIterator[Mapping[Link, str]]:
        if self.refuses:
            raise FaultError("the kernel refuses to shape a link")
        self.layers.append(shapes)
        self.seeds.append(seed)
        try:
            yield dict.fromkeys(shapes, "wire")
        finally:
            self.layers.remove(shapes)
            if self.lingers:
                self._left.update(shapes)

    async def probe(self, links: Collection[Link], trial: Trial) -> Mapping[Link, Sample]:
        self.asked.append((frozenset(links), trial))
        return {link: self._sample(self._really(link), trial) for link in links}

    def _really(self, link: Link) -> Shape:
        if self.effective(link).plain:
            return self._left.get(link, Shape())
        return self.truth.get(link, self.effective(link))

    def _sample(self, shape: Shape, trial: Trial) -> Sample:
        frame_bytes = trial.payload_bytes + 42
        gap_ns = int(trial.gap_s * 1e9)
        arrivals, free_ns = [], 0
        for number in range(trial.count):
            sent_ns = number * gap_ns
            if self.dice.random() < shape.loss:
                continue
            due_ns = sent_ns
            if shape.rate_bytes_s is not None:
                free_ns = max(free_ns, sent_ns) + int(frame_bytes / shape.rate_bytes_s * 1e9)
                due_ns = max(sent_ns, free_ns - int(BURST_BYTES / shape.rate_bytes_s * 1e9))
            if self.dice.random() >= shape.reorder:
                due_ns += int(1e9 * (shape.delay_s + self.dice.uniform(-1, 1) * shape.jitter_s))
            copies = 1 + (self.dice.random() < shape.duplicate)
            came_ns = due_ns + int(self.dice.random() * NOISE_NS)
            arrivals += [Arrival(number, sent_ns, came_ns)] * copies
        arrivals.sort(key=lambda one: one.received_ns)
        return Sample(trial.count, frame_bytes, tuple(arrivals))
