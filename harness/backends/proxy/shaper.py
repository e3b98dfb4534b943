"""What proxies make of clients' links; implements `harness.cluster.shapes.Shaper`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio

from harness.backends.proxy.control import ProxyProcess, lane_of
from harness.backends.proxy.lines import RECORD, Lines
from harness.backends.proxy.links import VIA, ProxyLinks
from harness.backends.proxy.relay import FRAME_BYTES, SEGMENT_BYTES, Manner
from harness.clock import now_ns, sleep_until, to_ns
from harness.cluster.links import Link
from harness.cluster.shapes import Sample, Shape, Trial, combine
from harness.errors import FaultError

LOOK_S = 0.005


class ProxyShaper:
    """Delays and rates of the links between client groups and nodes."""

    def __init__(self, proxies: ProxyProcess, lines: Lines, links: ProxyLinks) -> None:
        self._proxies = proxies
        self._lines = lines
        self._links = links
        self._layers: dict[int, Mapping[Link, Shape]] = {}
        self._count = 0

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the places that are nodes, the seed first."""
        return self._links.nodes

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the places that are client groups."""
        return self._links.groups

    def effective(self, link: Link) -> Shape:
        """Return what all shapes that were asked for on the link do together right now."""
        return combine(layer[link] for layer in self._layers.values() if link in layer)

    @asynccontextmanager
    async def shaped(
        self, shapes: Mapping[Link, Shape], seed: int
    ) -> AsyncIterator[Mapping[Link, str]]:
        """Add a shape to each of the links for as long as the body runs; see the protocol."""
        for link, shape in shapes.items():
            lane_of(link, self.groups)
            if replace(shape, delay_s=0.0, jitter_s=0.0, rate_bytes_s=None) != Shape():
                raise FaultError(f"{link}: proxies see no packets, only what TCP made of them")
        self._count += 1
        number = self._count
        try:
            self._layers[number] = dict(shapes)
            self._apply(shapes, seed)
            yield dict.fromkeys(shapes, VIA)
        finally:
            del self._layers[number]
            self._apply(shapes, seed)

    def _apply(self, links: Collection[Link], seed: int) -> None:
        self._proxies.shape(
            {
                lane_of(link, self.groups): _manner(self.effective(link), f"{seed}/{link}")
                for link in links
            }
        )

    async def probe(self, links: Collection[Link], trial: Trial) -> Mapping[Link, Sample]:
        """Make the trial on all links at once and return what came; see the protocol.

        Probes are records in a stream: where one has to wait, so do all behind it.
        """
        await self._links.require_no_bypass({lane_of(link, self.groups)[0][1] for link in links})
        size = max(trial.payload_bytes, RECORD.size)
        with self._lines.round(links) as (mark, paths):
            begun_ns = now_ns()
            gap_ns = max(1, to_ns(trial.gap_s))
            sent = 0
            while sent < trial.count:
                due = min(trial.count, (now_ns() - begun_ns) // gap_ns + 1)
                for number in range(sent, due):
                    for sender, _ in paths.values():
                        sender.send(mark, number, size)
                sent = max(sent, due)
                await sleep_until(begun_ns + sent * gap_ns)
            with anyio.move_on_after(trial.wait_s):
                while any(len(came) < sent for _, came in paths.values()):
                    await anyio.sleep(LOOK_S)
            frame_bytes = round(size * FRAME_BYTES / SEGMENT_BYTES)
            return {
                link: Sample(sent, frame_bytes, tuple(came)) for link, (_, came) in paths.items()
            }


def _manner(shape: Shape, seed: str) -> Manner:
    if shape.plain:
        return Manner()
    manner = Manner(shape.delay_s, shape.jitter_s, shape.rate_bytes_s, seed=seed)
    if shape.rate_bytes_s is None:
        return manner
    return replace(manner, held_bytes=shape.queue_bytes)
