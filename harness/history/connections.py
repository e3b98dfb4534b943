"""The connections of a client, as its own callbacks told of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.history.destinations import FOREVER_NS
from harness.history.facts import Client, Event, Hit, Iteration

KINDS = (
    "client.connected",
    "client.sign",
    "client.disconnected",
    "client.attempt",
    "client.reconnected",
    "client.closed",
)


@dataclass(frozen=True)
class Connection:
    """One connection of a client, and how the client came to the next one.

    Attributes:
        server: the node it led to.
        broke_ns, sign: when the client first noticed that it was broken, and by what.
        back_ns, back_to: when the client was connected again, and to which node.
        attempts: how often it tried until then, or so far.
    """

    server: str | None
    since_ns: int
    broke_ns: int | None = None
    sign: str | None = None
    back_ns: int | None = None
    back_to: str | None = None
    attempts: int = 0

    @property
    def until_ns(self) -> int:
        """Return when the client was no longer on it, as far as it knew."""
        ends = [at for at in (self.broke_ns, self.back_ns) if at is not None]
        return min(ends, default=FOREVER_NS)

    def covers(self, at_ns: int) -> bool:
        """Tell whether the client was on this connection at a time."""
        return self.since_ns <= at_ns <= self.until_ns


def horizon_ns(iteration: Iteration, client: Client) -> int:
    """Return until when a client was watched: to the end, or to the loss of its worker."""
    worker = iteration.workers.get(client.worker)
    lost_ns = worker.lost_ns if worker is not None else None
    return iteration.end_ns if lost_ns is None else min(lost_ns, iteration.end_ns)


def closed_under_load(iteration: Iteration) -> dict[str, int]:
    """Return when each client gave up for good that did so before the load stopped, by name."""
    closed: dict[str, int] = {}
    for event in iteration.of_kind("client.closed"):
        if event["at_ns"] < (iteration.load_stop_ns or 0):
            closed.setdefault(event["client"], event["at_ns"])
    return closed


def trace(iteration: Iteration, client: Client) -> tuple[Connection, ...]:
    """Return the connections of a client in time, as far as it was watched."""
    end_ns = horizon_ns(iteration, client)
    events = [
        event
        for event in iteration.of_kind(*KINDS)
        if event["client"] == client.name and event["at_ns"] <= end_ns
    ]
    return tuple(_follow(sorted(events, key=lambda event: int(event["at_ns"]))))


def _follow(events: Iterable[Event]) -> Iterator[Connection]:
    now: _Open | None = None
    for event in events:
        at_ns, kind = event["at_ns"], event["kind"].removeprefix("client.")
        if kind in ("connected", "reconnected"):
            if now is not None:
                yield now.ended(at_ns, event.get("server"), event.get("attempts"))
            now = _Open(event.get("server"), at_ns)
        elif now is None:
            continue
        elif kind == "attempt":
            now.attempts += 1
        elif now.broke_ns is None:
            now.broke_ns, now.sign = at_ns, event.get("sign", kind)
    if now is not None:
        yield now.ended(None, None, None)


@dataclass
class _Open:
    server: str | None
    since_ns: int
    broke_ns: int | None = None
    sign: str | None = None
    attempts: int = 0

    def ended(self, at_ns: int | None, to: str | None, attempts: int | None) -> Connection:
        tried = self.attempts if attempts is None else attempts
        return Connection(self.server, self.since_ns, self.broke_ns, self.sign, at_ns, to, tried)


def attached(connections: Iterable[Connection], hit: Hit) -> Connection | None:
    """Return the connection that a hit struck; None when the client was not on that node."""
    for connection in connections:
        if connection.server == hit.node and connection.covers(hit.at_ns):
            return connection
    return None
