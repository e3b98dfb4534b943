"""What servers said of themselves and of one another: samples, and what changed between them.

A sample is an interval: the server looked at itself between its `from_ns` and its `to_ns`.
So what changed between two samples happened after the start of the earlier one and before
the end of the later one, and that is all that is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.history.facts import Event, Iteration

SAMPLED, UNANSWERED = "server.sampled", "server.unanswered"


@dataclass(frozen=True)
class Closing:
    """A client connection that a server closed, between two times, and why (its own words)."""

    client: str
    reason: str
    from_ns: int
    to_ns: int


@dataclass(frozen=True)
class Sample:
    """One look at a server.

    Attributes:
        routes: the ids of its routes by peer; a route that was made anew has a new one.
        closed: the client connections that it closed since the look before.
        slow_consumers: how many it has met since its start.
    """

    from_ns: int
    to_ns: int
    routes: Mapping[str, frozenset[int]]
    closed: tuple[Closing, ...]
    slow_consumers: int


def read_samples(iteration: Iteration) -> dict[str, tuple[Sample, ...]]:
    """Return the samples of each node that answered at least once, in time."""
    found: dict[str, list[Sample]] = {}
    for event in iteration.of_kind(SAMPLED):
        found.setdefault(event["node"], []).append(_read_sample(event))
    return {
        node: tuple(sorted(samples, key=lambda one: one.to_ns)) for node, samples in found.items()
    }


def _read_sample(event: Event) -> Sample:
    return Sample(
        from_ns=int(event["from_ns"]),
        to_ns=int(event["at_ns"]),
        routes={peer: frozenset(ids) for peer, ids in event["routes"].items()},
        closed=tuple(
            Closing(one["client"], one["reason"], int(one["from_ns"]), int(one["to_ns"]))
            for one in event["closed"]
        ),
        slow_consumers=int(event["slow_consumers"]),
    )


def find_changes(iteration: Iteration) -> Iterator[dict[str, Any]]:
    """Yield what changed in the servers' views, as events, to the end of what is observed.

    - `server.route_lost`, `server.route_back`: `peer` is no longer, or again, in /routez;
      `server.route_renewed`: all routes to it were replaced between two samples.
    - `server.connections_closed`: `reason`, and which `clients`.
    - `server.slow_consumers`: `count` more of them.
    - `server.silent`, `server.answering`: its monitoring port did not answer, or does again.

    Each is told at the end of the look that showed it, with `resolution_s`, the time since
    the start of the look before; connections by the server's own account of when.
    """
    previous: dict[str, Sample] = {}
    silent: set[str] = set()
    for event in iteration.of_kind(SAMPLED, UNANSWERED):
        node, at_ns = event["node"], event["at_ns"]
        if at_ns > iteration.end_ns:
            continue
        if event["kind"] == UNANSWERED:
            if event.get("silent") and node not in silent:
                silent.add(node)
                yield {"kind": "server.silent", "at_ns": at_ns, "server": node}
            continue
        if node in silent:
            silent.remove(node)
            yield {"kind": "server.answering", "at_ns": at_ns, "server": node}
        sample = _read_sample(event)
        if node in previous:
            yield from _compare(node, previous[node], sample)
        yield from _tell_closed(node, sample.closed)
        previous[node] = sample


def _compare(node: str, before: Sample, now: Sample) -> Iterator[dict[str, Any]]:
    told = {
        "at_ns": now.to_ns,
        "server": node,
        "resolution_s": (now.to_ns - before.from_ns) / 1e9,
    }
    for peer in sorted({*before.routes, *now.routes}):
        old, new = before.routes.get(peer), now.routes.get(peer)
        if new is None:
            yield {**told, "kind": "server.route_lost", "peer": peer}
        elif old is None:
            yield {**told, "kind": "server.route_back", "peer": peer}
        elif not old & new:
            yield {**told, "kind": "server.route_renewed", "peer": peer}
    more = now.slow_consumers - before.slow_consumers
    if more > 0:
        yield {**told, "kind": "server.slow_consumers", "count": more}


def _tell_closed(node: str, closed: Sequence[Closing]) -> Iterator[dict[str, Any]]:
    named = [one for one in closed if one.client]  # the others are the harness's own knocks
    for reason in dict.fromkeys(one.reason for one in named):
        these = [one for one in named if one.reason == reason]
        yield {
            "kind": "server.connections_closed",
            "at_ns": max(one.to_ns for one in these),
            "server": node,
            "reason": reason,
            "clients": sorted(one.client for one in these),
            "resolution_s": max(one.to_ns - one.from_ns for one in these) / 1e9,
        }
