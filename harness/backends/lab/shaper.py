"""Shapes on the links of the lab; implements `harness.cluster.shapes.Shaper`.

Where the kernel has netem, netem does it. Where it does not, the packets of a shaped link
are diverted to a process of ours, the wire. A rate alone is tbf's, where the kernel has
that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from pyroute2 import AsyncIPRoute, NetlinkError

from harness.backends.lab.network import LabNetwork
from harness.backends.lab.probing import probe
from harness.backends.lab.traffic_control import TrafficControl, supports
from harness.backends.lab.wire_process import (
    CABLE,
    Cable,
    LaneOrder,
    WireProcess,
    lay_cable,
    lift_cable,
    wire_process,
)
from harness.cluster.lags import record_lag
from harness.cluster.links import Link
from harness.cluster.protocols import EventSink
from harness.cluster.shapes import Sample, Shape, Trial, combine
from harness.errors import FaultError
from harness.scenario.sites import OBSERVER
from harness.scopes import bounded_cleanup

UNDO_LIMIT_S = 10.0
OVERFLOW = 0.01  # share of packets that the wire may lose for want of room
WIRE = "wire"


@dataclass(frozen=True)
class Means:
    """The queueing disciplines that the kernel has."""

    netem: bool
    tbf: bool

    def choose(self, shape: Shape) -> str | None:
        """Return what makes `shape` happen; None when there is nothing to do."""
        if shape.plain:
            return None
        if shape.rate_only and self.tbf:
            return "tbf"
        return "netem" if self.netem else WIRE


async def find_means(netlink: AsyncIPRoute, cable: Cable = CABLE) -> Means:
    """Try on the wire's cable what the kernel has; FaultError when it cannot be told."""
    try:
        netem, tbf = [await supports(netlink, cable.into, kind) for kind in ("netem", "tbf")]
        return Means(netem=netem, tbf=tbf)
    except (NetlinkError, OSError) as error:
        raise FaultError(f"traffic control does not work: {error}") from error


@dataclass(frozen=True)
class _Layer:
    """What one use of `LabShaper.shaped` asks for."""

    shapes: Mapping[Link, Shape]
    seed: int


@dataclass(frozen=True)
class _Applied:
    """What is in force on a link, and by what."""

    shape: Shape
    via: str


class LabShaper:
    """Shapes on the links of one iteration; see `lab_shaper`."""

    def __init__(
        self,
        network: LabNetwork,
        nodes: Sequence[str],
        log: Path,
        cable: Cable = CABLE,
        record: EventSink | None = None,
    ) -> None:
        self._network = network
        self._cable = cable
        self._record = record
        self._nodes = tuple(nodes)
        self._log = log
        self._layers: list[_Layer] = []
        self._applied: dict[Link, _Applied] = {}
        self._turn = anyio.Lock()
        self._held = AsyncExitStack()
        self._netlink: AsyncIPRoute | None = None
        self._control: TrafficControl | None = None
        self._means: Means | None = None
        self._wire: WireProcess | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the places that are nodes, the seed first."""
        return self._nodes

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the places that are client groups."""
        others = (*self._nodes, OBSERVER)
        return tuple(place for place in self._network.places if place not in others)

    def effective(self, link: Link) -> Shape:
        """Return what all shapes that were asked for on the link do together right now."""
        return combine(one.shapes[link] for one in self._layers if link in one.shapes)

    @asynccontextmanager
    async def shaped(
        self, shapes: Mapping[Link, Shape], seed: int
    ) -> AsyncIterator[Mapping[Link, str]]:
        """Add shapes for as long as the body runs; see the protocol."""
        layer = _Layer(shapes, seed)
        try:
            self._layers.append(layer)
            async with self._turn:
                await self._apply(shapes)
            yield {
                link: self._applied[link].via if link in self._applied else "nothing"
                for link in shapes
            }
        finally:
            with bounded_cleanup(UNDO_LIMIT_S, "taking shapes off the links", FaultError):
                self._layers = [one for one in self._layers if one is not layer]
                async with self._turn:
                    await self._apply(shapes)
        self._require_sound()

    async def probe(self, links: Collection[Link], trial: Trial) -> Mapping[Link, Sample]:
        """Make the trial on all links at once; see the protocol."""
        return await probe(self._network, links, trial)

    async def replug(self, place: str) -> None:
        """Shape again what leads to a place that was given a new port; its old one is gone."""
        async with self._turn:
            gone = [link for link in self._applied if link.target == place]
            for link in gone:
                del self._applied[link]
            if gone:
                await self._apply(gone)

    async def close(self) -> None:
        """End the wire and let go of the kernel."""
        await self._held.aclose()

    async def _apply(self, links: Collection[Link]) -> None:
        """Make what is in force on the links what the layers ask for."""
        control, means = await self._open()
        orders, wanted = [], {}
        for link in links:
            layers = [one for one in self._layers if link in one.shapes]
            shape = combine(one.shapes[link] for one in layers)
            via = means.choose(shape)
            wanted[link] = None if via is None else _Applied(shape, via)
            if via == WIRE or self._carried(link):
                seed = f"{layers[-1].seed if layers else 0}/{link}"
                orders.append(self._lane(link, shape, seed))
        if orders:
            # Before a link is restored, its lane lets out at once what comes: nothing that
            # is still under way is overtaken by much.
            told = await (await self._started_wire()).set_lanes(tuple(orders))
            if any(one.via == WIRE for one in self._applied.values()):
                self._tell_stalls(told["stalls"])
            await self._require_room(told)
        for link, after in wanted.items():
            before = self._applied.get(link)
            if before != after:
                await self._exchange(control, link, before, after)

    async def _exchange(
        self,
        control: TrafficControl,
        link: Link,
        before: _Applied | None,
        after: _Applied | None,
    ) -> None:
        port = self._network.places[link.target].port
        source = self._network.places[link.source].address
        if before is not None and not (after and before.via == after.via == WIRE):
            del self._applied[link]
            await (control.restore if before.via == WIRE else control.unqueue)(port, source)
        if after is None:
            return
        if after.via != WIRE:
            self._applied[link] = after
            await control.queue(port, source, after.via, after.shape)
        else:
            diverted = self._carried(link)
            self._applied[link] = after
            if not diverted:
                await control.divert(port, source, self._cable.into)

    def _carried(self, link: Link) -> bool:
        applied = self._applied.get(link)
        return applied is not None and applied.via == WIRE

    def _lane(self, link: Link, shape: Shape, seed: str) -> LaneOrder:
        source, target = self._network.places[link.source], self._network.places[link.target]
        return LaneOrder(source.address, target.address, target.port, shape, seed)

    async def _open(self) -> tuple[TrafficControl, Means]:
        if self._control is None or self._means is None:
            with _translated():
                self._netlink = await self._held.enter_async_context(AsyncIPRoute())
            await lay_cable(self._netlink, self._cable)
            if self._cable != CABLE:
                self._held.push_async_callback(lift_cable, self._netlink, self._cable)
            self._means = await find_means(self._netlink, self._cable)
            self._control = TrafficControl(self._netlink)
        return self._control, self._means

    async def _started_wire(self) -> WireProcess:
        if self._wire is None:
            self._wire = await self._held.enter_async_context(wire_process(self._log, self._cable))
        self._wire.require_alive()
        return self._wire

    def _require_sound(self) -> None:
        if self._wire is not None:
            self._wire.require_alive()

    async def _require_room(self, told: Mapping[str, Any]) -> None:
        """Refuse to go on when the wire itself lost more than a little."""
        if told["overflowed"] > OVERFLOW * max(told["carried"], 100):
            raise FaultError(
                f"the wire could not keep up: {told['overflowed']} packets were lost beside "
                f"{told['carried']} that it carried"
            )

    def _tell_stalls(self, stalls: Sequence[tuple[int, int]]) -> None:
        """Record when the wire stood still while something was led through it."""
        if self._record is None:
            return
        for from_ns, to_ns in stalls:
            record_lag(self._record, "wire.lagged", from_ns, to_ns)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (NetlinkError, OSError) as error:
        raise FaultError(f"the kernel cannot be asked for traffic control: {error}") from error


@asynccontextmanager
async def lab_shaper(
    network: LabNetwork,
    nodes: Sequence[str],
    log: Path,
    cable: Cable = CABLE,
    record: EventSink | None = None,
) -> AsyncIterator[LabShaper]:
    """Yield the shaper of an iteration's network; what it started ends on leaving.

    Args:
        network: the network, whose every place is a node or a client group.
        nodes: the names of the places that are nodes.
        log: where the wire's own complaints go, should it come to any.
        cable: what leads to the wire; one that is named is taken away at the end.
        record: where it goes when the wire stands still.
    """
    shaper = LabShaper(network, nodes, log, cable, record)
    try:
        yield shaper
    finally:
        with bounded_cleanup(UNDO_LIMIT_S, "ending the shaper", FaultError):
            await shaper.close()
