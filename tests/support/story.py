"""Tell the history of a run that never was, message by message, to put before the judges.

Times are seconds from the start of the iteration. A story begins as one in which all is
well; tests then spoil it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.history.model import History
from harness.history.tables import DELIVERED, SENT, Integrity, Outcome, Table

ZERO_NS = 1_000_000_000_000
PHASES = {"setup": 0.0, "warmup": 1.0, "steady": 2.0, "fault": 4.0, "recovery": 6.0, "drain": 9.0}
END = 10.0
HOP = 0.001


def ns(at: float) -> int:
    return ZERO_NS + round(at * 1e9)


@dataclass
class Sent:
    client: int
    sequence: int
    intended: float
    attempted: float
    finished: float | None
    outcome: Outcome = Outcome.ACCEPTED
    connected: int = 1

    def row(self) -> tuple[int, ...]:
        finished = 0 if self.finished is None else ns(self.finished)
        times = (ns(self.intended), ns(self.attempted), finished)
        return (self.client, self.sequence, *times, self.outcome, self.connected)


@dataclass
class Delivered:
    client: int
    sender: int
    sequence: int
    received: float
    integrity: Integrity = Integrity.INTACT

    def row(self) -> tuple[int, ...]:
        return (self.client, self.sender, self.sequence, ns(self.received), self.integrity)


@dataclass(frozen=True)
class ToldColumns:
    sent: dict[str, Any]
    delivered: dict[str, Any]
    complete: bool = True
    problem: str | None = None
    others: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def tables(self) -> dict[str, dict[str, Any]]:
        return {"sent": self.sent, "delivered": self.delivered, **self.others}


@dataclass
class Story:
    index: int = 0
    phases: dict[str, float] = field(default_factory=lambda: dict(PHASES))
    end: float = END
    clients: list[dict[str, Any]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    delivered: list[Delivered] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    thresholds: dict[str, list[str]] = field(default_factory=dict)
    workloads: list[dict[str, Any]] = field(default_factory=list)
    repeat: int = 1
    drained: bool = True
    collected: bool = True
    said_rows: dict[str, dict[str, int]] = field(default_factory=dict)
    broken_columns: dict[str, str] = field(default_factory=dict)
    missing_columns: set[str] = field(default_factory=set)
    silent_workers: set[str] = field(default_factory=set)
    unconfirmed: set[tuple[str, str]] = field(default_factory=set)

    def event(self, at: float, kind: str, **facts: Any) -> None:
        self.events.append({"at_ns": ns(at), "kind": kind, "iteration": self.index, **facts})

    def client(self, name: str, role: str, workload: str, **facts: Any) -> int:
        number = len(self.clients)
        plan = {
            "id": number,
            "name": name,
            "role": role,
            "workload": workload,
            "worker": f"{workload}-{role}s",
            "queue": None,
            "senders": [],
            "rate": None,
            "offset_s": 0.0,
        }
        self.clients.append(plan | facts)
        self.event(0.5, "client.connected", client=name, server="n1")
        return number

    def core(
        self,
        publishers: int = 1,
        subscribers: int = 1,
        rate: float = 100.0,
        *,
        workload: str = "hello",
        queue: str | None = None,
        traffic: bool = True,
    ) -> Story:
        each = rate / publishers
        self.workloads.append({"name": workload, "kind": "core"})
        senders = [
            self.client(
                f"{workload}-publisher-{n + 1}", "publisher", workload, rate=each, offset_s=n / rate
            )
            for n in range(publishers)
        ]
        receivers = [
            self.client(
                f"{workload}-subscriber-{n + 1}",
                "subscriber",
                workload,
                queue=queue,
                senders=senders,
            )
            for n in range(subscribers)
        ]
        if traffic:
            for sender in senders:
                self.publish(sender, receivers, queue)
        return self

    def named(
        self,
        messages: Iterable[tuple[str, float]],
        subscribers: int = 1,
        *,
        workload: str = "guide",
    ) -> Story:
        """Let a publisher send texts, each so many seconds after the start of the load."""
        listed = sorted(messages, key=lambda one: one[1])
        self.workloads.append({"name": workload, "kind": "named"})
        sender = self.client(
            f"{workload}-publisher-1",
            "publisher",
            workload,
            due_s=[due_s for _, due_s in listed],
            texts=[text for text, _ in listed],
        )
        receivers = [
            self.client(f"{workload}-subscriber-{n + 1}", "subscriber", workload, senders=[sender])
            for n in range(subscribers)
        ]
        for k, (_, due_s) in enumerate(listed):
            due = self.phases["warmup"] + due_s
            if due < self.phases["drain"]:
                self.sent.append(Sent(sender, k, due, due, due))
                self.delivered += [Delivered(one, sender, k, due + HOP) for one in receivers]
        return self

    def request(
        self,
        requesters: int = 1,
        responders: int = 1,
        rate: float = 100.0,
        *,
        workload: str = "ask",
    ) -> Story:
        each = rate / requesters
        self.workloads.append({"name": workload, "kind": "request"})
        senders = [
            self.client(
                f"{workload}-requester-{n + 1}", "requester", workload, rate=each, offset_s=n / rate
            )
            for n in range(requesters)
        ]
        receivers = [
            self.client(
                f"{workload}-responder-{n + 1}",
                "responder",
                workload,
                queue="responders",
                senders=senders,
            )
            for n in range(responders)
        ]
        for sender in senders:
            self.publish(sender, receivers, "responders")
        for one in self.sent:
            if one.client in senders:
                one.outcome, one.finished = Outcome.ACKED, one.intended + 2 * HOP
        return self

    def jetstream(
        self, publishers: int = 1, consumers: int = 1, rate: float = 100.0, *, workload: str = "w"
    ) -> Story:
        """Publish to a stream, each message acknowledged two hops after it was due."""
        self.workloads.append({"name": workload, "kind": "jetstream", "stream": "S"})
        senders = [
            self.client(
                f"{workload}-publisher-{n + 1}",
                "publisher",
                workload,
                rate=rate / publishers,
                offset_s=n / rate,
                stream="S",
            )
            for n in range(publishers)
        ]
        for n in range(consumers):
            name = f"{workload}-consumer-{n + 1}"
            self.client(name, "consumer", workload, senders=senders, stream="S", consumer="C1")
        for sender in senders:
            self.publish(sender, [], None)
        for one in self.sent:
            if one.client in senders:
                one.outcome, one.finished = Outcome.ACKED, one.intended + 2 * HOP
        return self

    def publish(self, sender: int, receivers: list[int], queue: str | None) -> None:
        """Let a sender keep its schedule, and everything arrive one hop later."""
        plan = self.clients[sender]
        start, stop = self.phases["warmup"], self.phases["drain"]
        count = round((stop - start - plan["offset_s"]) * plan["rate"])
        for k in range(count):
            due = start + plan["offset_s"] + k / plan["rate"]
            self.sent.append(Sent(sender, k, due, due, due))
            takers = receivers if queue is None else [receivers[k % len(receivers)]]
            for taker in takers:
                self.delivered.append(Delivered(taker, sender, k, due + HOP))

    def fault(
        self,
        name: str = "stop-seed",
        action: str = "stop",
        nodes: Iterable[str] = ("n1",),
        *,
        at: float = 4.0,
        heal: float = 6.0,
        proof: bool = True,
        watched: bool = False,
    ) -> Story:
        nodes = list(nodes)
        self.faults.append({"name": name, "action": action})
        facts = {"fault": name, "action": action, "targets": nodes}
        self.event(at, "fault.inject_started", **facts)
        for node in nodes:
            self.event(at, "fault.hit", fault=name, action=action, node=node, how="SIGTERM")
            if proof:
                self.event(
                    at + 0.01, "fault.observed", fault=name, node=node, what="gone", edge="effect"
                )
        self.event(at + 0.01, "fault.injected", watched=watched, **facts)
        self.event(heal - 0.1, "fault.heal_started", **facts)
        for node in nodes if proof and watched else ():
            self.event(
                heal - 0.15, "fault.observed", fault=name, node=node, what="still", edge="held"
            )
        for node in nodes if proof else ():
            self.event(heal, "fault.observed", fault=name, node=node, what="back", edge="undo")
        self.event(heal, "fault.healed", **facts)
        return self

    def partition(
        self,
        name: str = "cut",
        *,
        at: float = 4.0,
        heal: float = 6.0,
        node: str = "n1",
        groups: list[str] | None = None,
        links: Iterable[tuple[str, str]] = (("n1", "n2"), ("n2", "n1")),
        others: Iterable[tuple[str, str]] = (("n2", "n3"),),
    ) -> Story:
        """Let a fault cut links, with probes as they ought to come out."""
        self.fault(name, "partition", (), at=at, heal=heal, watched=True)
        hit = {"node": node, "how": "cut", "silent": True, "groups": groups or []}
        self.event(at, "fault.hit", fault=name, action="partition", **hit)
        for when, edge in ((at + 0.2, "effect"), (heal - 0.15, "held"), (heal - 0.01, "undo")):
            self.event(when, "fault.observed", fault=name, node=node, what="probes", edge=edge)
        self.probes(name, "before", at - 0.1, links)
        self.probes(name, "during", at + 0.2, others, silent=links)
        self.probes(name, "held", heal - 0.15, others, silent=links)
        self.probes(name, "after", heal - 0.01, links)
        return self

    def probes(
        self,
        fault: str,
        edge: str,
        at: float,
        whole: Iterable[tuple[str, str]] = (),
        silent: Iterable[tuple[str, str]] = (),
    ) -> Story:
        rows = [(*link, False) for link in whole] + [(*link, True) for link in silent]
        links = [
            {"from": one, "to": other, "cut": cut, "sent": 3, "received": 0 if cut else 3}
            for one, other, cut in rows
        ]
        self.event(at, "fault.probed", fault=fault, edge=edge, links=links)
        return self

    def failover(
        self,
        client: str,
        sign_at: float | None,
        back_at: float | None,
        *,
        sign: str = "UnexpectedEOF",
        attempts: int = 1,
        server: str = "n2",
    ) -> Story:
        if sign_at is not None:
            self.event(sign_at, "client.sign", client=client, sign=sign)
            self.event(sign_at, "client.disconnected", client=client)
        for tried in range(attempts):
            self.event(
                (sign_at or 4.0) + 0.001 * tried, "client.attempt", client=client, server=server
            )
        if back_at is not None:
            self.event(
                back_at, "client.reconnected", client=client, server=server, attempts=attempts
            )
        return self

    def sample(
        self,
        node: str,
        at: float,
        routes: dict[str, list[int]] | Iterable[str] = (),
        closed: Iterable[tuple[str, str, float]] = (),
        **facts: Any,
    ) -> Story:
        """Let a look at a server end at `at`, 2 ms after it began; closed: client, reason, when."""
        if not isinstance(routes, dict):
            routes = {peer: [1, 2, 3, 4] for peer in routes}
        shown = [
            {"cid": 9, "client": one, "reason": why, "from_ns": ns(when), "to_ns": ns(when + HOP)}
            for one, why, when in closed
        ]
        told = {"from_ns": ns(at - 0.002), "routes": routes, "closed": shown, "slow_consumers": 0}
        self.event(at, "server.sampled", node=node, **(told | facts))
        return self

    def watched(self, until: dict[tuple[str, str], tuple[float, float]] | None = None) -> Story:
        """Let three servers be sampled every 250 ms; `until` says when one lacks a peer."""
        gone = until or {}
        names = ("n1", "n2", "n3")
        for turn in range(36):
            at = 1.0 + turn * 0.25
            for node in names:
                spans = {peer: gone.get((node, peer), (99.0, 99.0)) for peer in names}
                self.sample(
                    node,
                    at,
                    [
                        peer
                        for peer, (since, back) in spans.items()
                        if peer != node and not since <= at < back
                    ],
                )
        return self

    def unwatched(self, node: str, begin: float, end: float) -> Story:
        """Take away the looks at a server that ended in a span of time."""
        self.events = [
            one
            for one in self.events
            if not (
                one["kind"] == "server.sampled"
                and one["node"] == node
                and ns(begin) <= one["at_ns"] < ns(end)
            )
        ]
        return self

    def id_of(self, name: str) -> int:
        return int(next(one["id"] for one in self.clients if one["name"] == name))

    def silence(self, begin: float, end: float, *, delivered: bool = True) -> Story:
        """Let nothing arrive that was due in a span of time."""
        gone = {(one.client, one.sequence) for one in self.sent if begin <= one.intended < end}
        if delivered:
            self.delivered = [
                one for one in self.delivered if (one.sender, one.sequence) not in gone
            ]
        return self

    def drop(self, sequences: Iterable[int], *, sender: int = 0, at: int | None = None) -> Story:
        wanted = set(sequences)
        self.delivered = [
            one
            for one in self.delivered
            if not (
                one.sender == sender and one.sequence in wanted and (at is None or one.client == at)
            )
        ]
        return self

    def outcome(self, sequences: Iterable[int], outcome: Outcome, *, sender: int = 0) -> Story:
        wanted = set(sequences)
        for one in self.sent:
            if one.client == sender and one.sequence in wanted:
                one.outcome = outcome
        return self

    def scenario(self) -> dict[str, Any]:
        return {
            "name": "story",
            "seed": 1,
            "repeat": self.repeat,
            "workloads": self.workloads,
            "faults": self.faults,
            "thresholds": self.thresholds,
        }

    def all_events(self) -> list[dict[str, Any]]:
        scaffold = Story(index=self.index)
        names = list(self.phases)
        for place, (name, at) in enumerate(self.phases.items()):
            scaffold.event(at, "phase.started", phase=name)
            end = self.phases[names[place + 1]] if place + 1 < len(names) else self.end
            scaffold.event(end, "phase.ended", phase=name)
        ids = {one["id"]: one["name"] for one in self.clients}
        scaffold.event(0.1, "load.planned", run=1, clients=self.clients)
        for one in self.clients:
            heard = [ids[sender] for sender in one["senders"]]
            heard = [name for name in heard if (one["name"], name) not in self.unconfirmed]
            if heard:
                scaffold.event(0.9, "subscription.confirmed", client=one["name"], senders=heard)
        scaffold.event(self.phases["warmup"], "load.started", start_ns=ns(self.phases["warmup"]))
        if "drain" in self.phases:
            stop = self.phases["drain"]
            scaffold.event(stop, "load.stopped", stop_ns=ns(stop))
            scaffold.event(self.end, "load.drained", complete=self.drained, waited_s=0.1)
        for worker, columns in self.columns().items():
            if worker not in self.silent_workers:
                rows = {name: len(part["client"]) for name, part in columns.tables.items()}
                scaffold.event(
                    self.end, "worker.done", worker=worker, rows=self.said_rows.get(worker, rows)
                )
        if self.collected:
            scaffold.event(self.end, "phase.started", phase="collect")
            scaffold.event(self.end + 0.1, "phase.ended", phase="collect")
        return sorted([*scaffold.events, *self.events], key=lambda event: event["at_ns"])

    def columns(self) -> dict[str, ToldColumns]:
        workers = dict.fromkeys(one["worker"] for one in self.clients)
        return {
            worker: ToldColumns(
                table(SENT, [one.row() for one in self.sent if self._worker(one) == worker]),
                table(
                    DELIVERED,
                    [one.row() for one in self.delivered if self._worker(one) == worker],
                ),
                worker not in self.broken_columns,
                self.broken_columns.get(worker),
            )
            for worker in workers
            if worker not in self.missing_columns
        }

    def _worker(self, one: Sent | Delivered) -> str | None:
        if one.client >= len(self.clients):
            return str(self.clients[0]["worker"])
        return str(self.clients[one.client]["worker"])

    def history(self) -> History:
        return tell([self])


def table(shape: Table, rows: list[tuple[int, ...]]) -> dict[str, Any]:
    turned = zip(*rows, strict=True) if rows else [[] for _ in shape.columns]
    return {
        name: np.array(values, dtype=kind)
        for (name, kind), values in zip(shape.columns, turned, strict=True)
    }


def tell(stories: list[Story], **started: Any) -> History:
    """Return the history of a run with one iteration for each story."""
    opening = {"at_ns": ZERO_NS - 1, "kind": "run.started", "iteration": -1, **started}
    events = [opening]
    for story in stories:
        events += story.all_events()
    scenario = stories[0].scenario() | {"repeat": max(len(stories), stories[0].repeat)}
    return History.of(scenario, events, {story.index: story.columns() for story in stories})
