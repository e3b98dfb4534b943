"""Wait until a cluster is quiet: nothing comes any more, and every replica is where it will stay.

What will not come to rest is told as such, so that nothing that is read passes for settled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import anyio

from harness.cluster.jetstream import NodeView, Views
from harness.cluster.monitor import Monitor
from harness.cluster.protocols import Cluster
from harness.errors import ServerError
from harness.load.observing import Observer
from harness.scenario.streams import StreamSpec

QUIET_LIMIT_S = 60.0
STILL_S = 25.0  # a replica that stays behind for so long, while nothing moves, will not catch up
GONE_S = 10.0  # a healthy server knows its streams at once; so long without one is no delay
LOOK_S = 2.0
POLL_S = 0.25
HEALTHY = 200
STREAM_NOT_FOUND = 10059

Health = Mapping[str, Mapping[str, object]]
Place = tuple[str, str | None]


@dataclass(frozen=True)
class Calm:
    """What servers said in the end.

    Attributes:
        views: what they said of JetStream.
        health: {node: {`code`: HTTP status, 0 without an answer, `status`}}.
        restless: why it is not quiet; empty where it is.
        gone: (stream, node) of replicas that a healthy server does not know of; (stream, None)
            of streams of which no server knows.
        refused: why servers stay as they are, by node, where a fault lets them.
    """

    views: Views
    health: Health
    restless: str = ""
    gone: frozenset[Place] = frozenset()
    refused: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass
class Quiet:
    """The wait for the streams `specs` of one cluster."""

    cluster: Cluster
    observer: Observer
    specs: Collection[StreamSpec]
    _missed_since: dict[Place, float] = field(default_factory=dict)

    async def wait(self) -> Calm:
        """Return what servers say once nothing changes any more, or why it still does."""
        calm = Calm(Views({}), {}, "no server answered")
        counts: object = None
        moved = began = anyio.current_time()
        with anyio.move_on_after(QUIET_LIMIT_S):
            while True:
                before, last = calm, counts
                calm = await self._look()
                counts = _counts(calm.views)
                if not calm.restless and counts == last:
                    return calm
                now = anyio.current_time()
                if (counts, calm.restless) != (last, before.restless):
                    moved = now
                if calm.restless and now - moved > STILL_S:
                    break
                await anyio.sleep(POLL_S)
        why = calm.restless or "messages still come"
        waited_s = anyio.current_time() - began
        return replace(calm, restless=f"not quiet after {waited_s:.0f} s: {why}")

    async def _look(self) -> Calm:
        views = await self.observer.look(LOOK_S)
        refused = {
            node.name: node.refused
            for node in self.cluster.nodes.values()
            if node.refused is not None
        }
        health = await self._ask_health()
        gone = await self._find_gone(views, health, refused)
        restless = next(self._unquiet(views, health, refused, gone), "")
        return Calm(views, health, restless, gone, refused)

    def _unquiet(
        self, views: Views, health: Health, refused: Collection[str], gone: Collection[Place]
    ) -> Iterator[str]:
        """Yield what keeps the cluster from being quiet."""
        awaited = [node for node in self.cluster.nodes.values() if node.name not in refused]
        for node in awaited:
            if not node.running:
                yield f"{node.name} is not running"
            elif node.name not in views.nodes:
                yield f"{node.name} does not answer"
        for spec in self.specs:
            if (spec.name, None) not in gone:
                without = [node for name, node in gone if name == spec.name and node is not None]
                yield from filter(
                    None, [views.behind(spec.name, spec.replicas, {*without, *refused})]
                )
        for node in awaited:
            if (said := health.get(node.name)) is not None and said["code"] != HEALTHY:
                yield f"{node.name} is not healthy: {said['status']}"

    async def _find_gone(
        self, views: Views, health: Health, refused: Collection[str]
    ) -> frozenset[Place]:
        """Return which replicas and streams have been missing for `GONE_S`."""
        now = anyio.current_time()
        missed = set(self._missing(views, health, refused))
        self._missed_since = {
            place: self._missed_since.get(place, now) for place in sorted(missed, key=str)
        }
        found = {place for place, since in self._missed_since.items() if now - since >= GONE_S}
        for stream, node in tuple(found):
            if node is None and not await self._is_unknown(stream):
                found.discard((stream, node))
        return frozenset(found)

    def _missing(self, views: Views, health: Health, refused: Collection[str]) -> Iterator[Place]:
        """Yield the replicas, and streams as a whole, that should be there and are not listed.

        Only a server that answers, is healthy and knows a meta leader can be believed to know
        what streams it has; and only all of them together, or a majority with the leader that it
        follows, that there is no such stream: who does not keep up with them can bring none back.
        """
        alone = len(self.cluster.nodes) == 1
        known = {
            node: view
            for node, view in views.nodes.items()
            if view.enabled
            and (alone or view.meta_leader is not None)
            and health.get(node, {}).get("code") == HEALTHY
        }
        everybody = {name for name in self.cluster.nodes if name not in refused} <= known.keys()
        sure = everybody or self._agree(known)
        for spec in self.specs:
            if sure and not any(spec.name in one.streams for one in views.nodes.values()):
                yield spec.name, None
            for node in views.replicas(spec.name):
                if node in known and spec.name not in known[node].streams:
                    yield spec.name, node

    def _agree(self, known: Mapping[str, NodeView]) -> bool:
        """Tell whether these are most servers, with the meta leader that all of them follow."""
        leaders = {view.meta_leader for view in known.values()}
        most = 2 * len(known) > len(self.cluster.nodes)
        return most and len(leaders) == 1 and leaders <= known.keys()

    async def _is_unknown(self, stream: str) -> bool:
        """Tell whether JetStream itself says that there is no such stream."""
        try:
            said = await self.observer.request(f"$JS.API.STREAM.INFO.{stream}", limit_s=LOOK_S)
        except ServerError:
            return False
        return (said.get("error") or {}).get("err_code") == STREAM_NOT_FOUND

    async def _ask_health(self) -> Health:
        found: dict[str, dict[str, object]] = {}
        for node in self.cluster.nodes.values():
            if not node.running:
                continue
            try:
                said = await Monitor(node.endpoints.monitor).get("/healthz", LOOK_S)
            except ServerError as error:
                found[node.name] = {"code": 0, "status": str(error)}
            else:
                status = said.body.get("error") or said.body.get("status") or said.text
                found[node.name] = {"code": said.status, "status": str(status)}
        return found


def _counts(views: Views) -> object:
    return {
        (node, stream.name): (stream.leader, stream.messages, stream.last_seq)
        for node, view in views.nodes.items()
        for stream in view.streams.values()
    }
