"""Notice: when the servers themselves noticed a fault, by their own views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.checks.base import NS_PER_S, Case, Check, Result
from harness.history.connections import attached, trace
from harness.history.destinations import FOREVER_NS
from harness.history.facts import FaultWindow, Hit, Iteration
from harness.history.views import Closing, Sample, read_samples
from harness.stats.labelled import Samples

NAME = "notice"
SERVER, CLUSTER = METRICS = ("server_detection_time", "cluster_detection_time")
ROUTE_GONE, CLOSED = "route-gone", "connection-closed"
AFTERMATH_NS = 1_000_000_000
# Faults that take a whole server from the others.
AWAY = frozenset(
    {
        "stop",
        "kill",
        "pause",
        "restart",
        "rolling-restart",
        "lame-duck",
        "upgrade",
        "disconnect",
        "corrupt",
        "power-loss",
        "rollback",
    }
)


@dataclass(frozen=True)
class _Blow:
    """A hit of a fault.

    Attributes:
        heal_ns: when its healing began, or the watch ended.
        limit_ns: what shows later is not laid to it.
    """

    fault: FaultWindow
    hit: Hit
    heal_ns: int
    limit_ns: int

    @property
    def away(self) -> bool:
        """Tell whether it took the whole server."""
        return self.hit.peers is None and self.fault.action in AWAY

    @property
    def undo_ns(self) -> int:
        """Return when it was seen to be undone; far away when it never was."""
        undo_ns = self.fault.undo_ns(self.hit)
        return FOREVER_NS if undo_ns is None else undo_ns

    def holds(self, at_ns: int) -> bool:
        """Tell whether it was in force at a time."""
        return self.hit.at_ns <= at_ns < self.undo_ns

    def touches(self, server: str, peer: str) -> bool:
        """Tell whether it could change what `server` says of `peer`."""
        node, peers = self.hit.node, self.hit.peers or ()
        if self.away:
            return node in (server, peer)
        return (server == node and peer in peers) or (peer == node and server in peers)


@dataclass(frozen=True)
class _Notice:
    """What a server noticed of a blow, or how long it surely did not.

    Attributes:
        after_ns: from the blow to the end of the look that showed it; with `censored`, to
            the start of the last look that did not, and no further than to the heal.
        resolution_ns: how much earlier it may have been.
    """

    server: str
    peer: str | None
    what: str
    after_ns: int
    resolution_ns: int = 0
    censored: bool = False
    reason: str | None = None
    clients: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Scene:
    """All that is looked at: the iteration, its samples by node, and every hit in it."""

    iteration: Iteration
    samples: Mapping[str, Sequence[Sample]]
    blows: Sequence[_Blow]
    servers: tuple[str, ...]

    @classmethod
    def of(cls, iteration: Iteration) -> _Scene:
        samples = read_samples(iteration)
        hits = [(fault, hit) for fault in iteration.faults for hit in fault.hits]
        started = (event["node"] for event in iteration.of_kind("server.started"))
        return cls(
            iteration,
            samples,
            [_aim(iteration, fault, hit, [one.at_ns for _, one in hits]) for fault, hit in hits],
            tuple(dict.fromkeys([*started, *samples])),
        )

    def at_one_instant(self) -> Iterator[list[_Blow]]:
        """Yield the blows, those of one fault at one instant together."""
        groups: dict[tuple[str, int], list[_Blow]] = {}
        for blow in self.blows:
            groups.setdefault((blow.fault.name, blow.hit.at_ns), []).append(blow)
        yield from groups.values()

    def pairs(self, blow: _Blow) -> list[tuple[str, str]]:
        """Return (server, peer) where the server had something to notice of the peer."""
        node = blow.hit.node
        if blow.away:
            found = [(other, node) for other in self.servers if other != node]
        else:
            peers = blow.hit.peers or ()
            found = [*((node, peer) for peer in peers), *((peer, node) for peer in peers)]
        return [pair for pair in found if not self._apart(*pair)]

    def _apart(self, server: str, peer: str) -> bool:
        """Tell whether a server was never seen to have a route to a peer: of another cluster."""
        samples = self.samples.get(server, ())
        return bool(samples) and not any(one.routes.get(peer) for one in samples)


def _aim(iteration: Iteration, fault: FaultWindow, hit: Hit, hits_ns: Iterable[int]) -> _Blow:
    end_ns = iteration.end_ns
    undo_ns = fault.undo_ns(hit)
    started_ns = fault.heal_started_ns
    edges = [at for at in (undo_ns, started_ns) if at is not None and at >= hit.at_ns]
    heal_ns = min([*edges, end_ns])
    if hit.silent or undo_ns is None:
        return _Blow(fault, hit, heal_ns, heal_ns)
    later = [at for at in hits_ns if at > undo_ns]
    return _Blow(fault, hit, heal_ns, min([undo_ns + AFTERMATH_NS, end_ns, *later]))


def judge_notice(case: Case) -> Result:
    """Measure how long after a fault the servers noticed it, by samples of their views.

    t0 is the instant of the hit. Two things are looked for:

    - ``route-gone``: a server's /routez no longer lists the peer at the other end of a
      route that the fault struck, or lists only routes that are newer. When the fault
      takes a whole server (stop, kill, pause, restart, lame duck), every other one is to
      notice that; when it strikes links (partition, reset), both ends of each are.
    - ``connection-closed``: a server closed a client's connection, for a reason that it
      gives in /connz. It is to notice in this way when its links with clients that were
      connected to it were struck.

    `server_detection_time` has one value for each server and peer, and one for each server
    whose client links were struck: to the first of these that it closed.
    `cluster_detection_time` has one for each blow (hits of a fault at one instant are
    one): until every surviving server knew of every route that was gone, that is the
    maximum. A server that another hit took away is no survivor.

    A change that lies between two looks is told at the end of the later one, with the time
    since the start of the earlier one as its resolution: the true value is at most so much
    less. Thresholds are judged with that. What had not shown by the heal (of a silent
    fault; of any other, 1 s after the undo) is a lower bound, never nothing.

    Facts: `noticed`, by fault name, what each server noticed, with the reasons of all
    connections that struck servers closed, also after the heal; `resolutions`, by metric
    name, the greatest resolution of a value in seconds.
    """
    scene = _Scene.of(case.iteration)
    rows: dict[str, list[tuple[float, bool, Mapping[str, str]]]] = {name: [] for name in METRICS}
    resolutions = dict.fromkeys(METRICS, 0.0)
    noticed: dict[str, list[dict[str, Any]]] = {}

    def add(metric: str, notice: _Notice, labels: Mapping[str, str]) -> None:
        rows[metric].append((notice.after_ns / NS_PER_S, notice.censored, labels))
        resolutions[metric] = max(resolutions[metric], notice.resolution_ns / NS_PER_S)

    for blows in scene.at_one_instant() if scene.samples else ():
        name, t0 = blows[0].fault.name, blows[0].hit.at_ns
        pairs = {pair: blow for blow in blows for pair in scene.pairs(blow)}
        routes = [
            found
            for (server, peer), blow in pairs.items()
            if (found := _find_route(scene, blow, server, peer)) is not None
        ]
        if routes:
            add(CLUSTER, _combine(routes), {"fault": name})
        firsts = [one for blow in blows if (one := _find_first_closing(scene, blow)) is not None]
        for found in (*routes, *firsts):
            add(SERVER, found, {"fault": name, "server": found.server, "what": found.what})
        shown = [
            *routes,
            *(one for blow in blows for one in _find_closings(scene, blow)),
            *(one for one in firsts if one.censored),
        ]
        noticed.setdefault(name, []).extend(_show(case.iteration, t0, one) for one in shown)
    return Result(
        samples={name: Samples.of(found) for name, found in rows.items()},
        facts={"noticed": noticed},
        resolutions=resolutions,
    )


def _find_route(scene: _Scene, blow: _Blow, server: str, peer: str) -> _Notice | None:
    """Return when `server` noticed that its routes to `peer` were gone.

    None when it had nothing to notice: it was no survivor, or had no route before.
    """
    t0 = blow.hit.at_ns
    away = [one for one in scene.blows if one.away and one.hit.node == server]
    if any(one.holds(t0) for one in away):
        return None
    lost_ns = min([one.hit.at_ns for one in away if one.hit.at_ns > t0], default=FOREVER_NS)
    if any(one.fault is blow.fault and t0 < one.hit.at_ns < blow.undo_ns for one in away):
        return None
    samples = scene.samples.get(server, ())
    limit_ns = min(blow.limit_ns, lost_ns)
    known = _find_routes_before(scene, blow, server, peer)
    if known is not None and not known[0]:
        return None
    ids, last_ns = known or (None, t0)
    for sample in samples:
        if sample.to_ns <= t0:
            continue
        if sample.to_ns > limit_ns:
            break
        found = sample.routes.get(peer, frozenset())
        if ids is None and found and sample.to_ns < blow.undo_ns:
            ids = found
        if ids is None and (found or _others_hold(scene, blow)):
            break
        if ids is not None and ids & found:
            last_ns = sample.from_ns
            continue
        after_ns = sample.to_ns - t0
        return _Notice(server, peer, ROUTE_GONE, after_ns, sample.to_ns - max(t0, last_ns))
    bound_ns = max(0, min(last_ns, blow.heal_ns, limit_ns) - t0)
    return _Notice(server, peer, ROUTE_GONE, bound_ns, censored=True)


def _find_routes_before(
    scene: _Scene, blow: _Blow, server: str, peer: str
) -> tuple[frozenset[int], int] | None:
    """Return the routes to `peer` in the last look before a blow, and when that began.

    None when there was none since another blow had changed them.
    """
    t0 = blow.hit.at_ns
    before = [one for one in scene.samples.get(server, ()) if one.to_ns <= t0]
    if not before:
        return None
    last = before[-1]
    others = [one for one in scene.blows if one is not blow and one.touches(server, peer)]
    edges = [at for one in others for at in (one.hit.at_ns, one.undo_ns)]
    if any(last.from_ns < at < t0 for at in edges):
        return None
    return last.routes.get(peer, frozenset()), last.from_ns


def _others_hold(scene: _Scene, blow: _Blow) -> bool:
    return any(one.fault is not blow.fault and one.holds(blow.hit.at_ns) for one in scene.blows)


def _combine(notices: Sequence[_Notice]) -> _Notice:
    """Return when the last of them had noticed."""
    earliest_ns = max(one.after_ns - one.resolution_ns for one in notices)
    if any(one.censored for one in notices):
        return _Notice("", None, ROUTE_GONE, earliest_ns, censored=True)
    latest_ns = max(one.after_ns for one in notices)
    return _Notice("", None, ROUTE_GONE, latest_ns, latest_ns - earliest_ns)


def _find_first_closing(scene: _Scene, blow: _Blow) -> _Notice | None:
    """Return when the struck server first closed one of the client connections in question.

    None when the blow struck no link with a client that was connected to it.
    """
    hit = blow.hit
    if hit.peers is None or not hit.groups:
        return None
    struck = {
        client.name
        for client in scene.iteration.clients
        if hit.strikes(client) and attached(trace(scene.iteration, client), hit) is not None
    }
    if not struck:
        return None
    closings = [
        one
        for one in _closings_of(scene, hit)
        if one.client in struck and one.to_ns <= blow.limit_ns
    ]
    if closings:
        return _tell(blow, closings)
    looks = [one.from_ns for one in scene.samples.get(hit.node, ()) if one.from_ns > hit.at_ns]
    seen_ns = max((at for at in looks if at <= blow.heal_ns), default=hit.at_ns)
    return _Notice(hit.node, None, CLOSED, seen_ns - hit.at_ns, censored=True)


def _find_closings(scene: _Scene, blow: _Blow) -> Iterator[_Notice]:
    """Yield the reasons for which the struck server closed connections, each with its first."""
    hit = blow.hit
    workers = {client.name: client.worker for client in scene.iteration.clients}
    end_ns = min(blow.undo_ns + AFTERMATH_NS, scene.iteration.end_ns)
    closings = [
        one
        for one in _closings_of(scene, hit)
        if one.from_ns <= end_ns
        and one.client in workers
        and (hit.groups is None or workers[one.client] in hit.groups)
    ]
    for reason in dict.fromkeys(one.reason for one in closings):
        yield _tell(blow, [one for one in closings if one.reason == reason])


def _closings_of(scene: _Scene, hit: Hit) -> list[Closing]:
    """Return the connections that the struck server closed after a hit, in time."""
    found = [one for sample in scene.samples.get(hit.node, ()) for one in sample.closed]
    return sorted((one for one in found if one.to_ns > hit.at_ns), key=lambda one: one.to_ns)


def _tell(blow: _Blow, closings: Sequence[Closing]) -> _Notice:
    first, t0 = closings[0], blow.hit.at_ns
    return _Notice(
        blow.hit.node,
        None,
        CLOSED,
        first.to_ns - t0,
        first.to_ns - max(t0, first.from_ns),
        reason=first.reason,
        clients=tuple(sorted({one.client for one in closings})),
    )


def _show(iteration: Iteration, t0: int, notice: _Notice) -> dict[str, Any]:
    return {
        "server": notice.server,
        "peer": notice.peer,
        "what": notice.what,
        "reason": notice.reason,
        "clients": list(notice.clients),
        "at": None if notice.censored else iteration.relative_s(t0 + notice.after_ns),
        "after_s": notice.after_ns / NS_PER_S,
        "resolution_s": notice.resolution_ns / NS_PER_S,
        "censored": notice.censored,
    }


CHECK = Check(NAME, judge_notice, METRICS)
