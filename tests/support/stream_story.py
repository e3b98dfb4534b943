"""Tell the history of a run with streams: what was acknowledged, stored and consumed.

Like `Story`, it begins as one in which all is well; tests then spoil it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from story import HOP, Sent, Story, ns, table

from harness.history.model import History
from harness.history.tables import ACKS, CONSUMED, STORED, Integrity, Outcome

NODES = ("n1", "n2", "n3")
AUDIT_AT = 10.05


@dataclass
class Ack:
    client: int
    sequence: int
    place: int
    duplicate: int = 0
    attempts: int = 1

    def row(self) -> tuple[int, ...]:
        return (self.client, self.sequence, self.place, self.duplicate, self.attempts)


@dataclass
class Stored:
    sender: int
    sequence: int
    place: int
    integrity: Integrity = Integrity.INTACT

    def row(self) -> tuple[int, ...]:
        return (self.sender, self.sequence, self.place, self.integrity)


@dataclass
class Consumed:
    client: int
    sender: int
    sequence: int
    place: int
    received: float
    number: int = 1
    delivery: int = 1
    acked: int = 1
    integrity: Integrity = Integrity.INTACT

    def row(self) -> tuple[int, ...]:
        found = (self.client, self.sender, self.sequence, self.place, self.number, self.delivery)
        return (*found, ns(self.received), self.acked, self.integrity)


@dataclass(repr=False)
class StreamStory(Story):
    acks: list[Ack] = field(default_factory=list)
    stored: dict[tuple[str, str], list[Stored]] = field(default_factory=dict)
    consumed: list[Consumed] = field(default_factory=list)
    streams: list[dict[str, Any]] = field(default_factory=list)
    healthy: dict[tuple[str, str], int] = field(default_factory=dict)
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    unread: dict[tuple[str, str], str | None] = field(default_factory=dict)
    gone: set[tuple[str, str | None]] = field(default_factory=set)
    down: dict[tuple[str, str], str] = field(default_factory=dict)
    readings: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    created: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __repr__(self) -> str:
        stored = {node: len(rows) for node, rows in self.stored.items()}
        return f"StreamStory({len(self.sent)} sent, {len(self.acks)} acked, {stored})"

    def _repr_pretty_(self, printer: Any, cycle: object) -> None:
        """Keep Hypothesis from printing every message of an example."""
        del cycle
        printer.text(repr(self))

    def stream(
        self,
        name: str = "ORDERS",
        *,
        nodes: Sequence[str] = NODES,
        publishers: int = 1,
        rate: float = 50.0,
        consumers: Sequence[str] = ("C1",),
        clients: int = 1,
        retry: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        consumer: dict[str, Any] | None = None,
        subject: str | None = "orders",
    ) -> StreamStory:
        """Let publishers fill a stream in turn, and consumers deliver everything."""
        workload = name.lower()
        plan = {"name": workload, "kind": "jetstream", "stream": name, "retry": retry}
        self.workloads.append(plan if subject is None else plan | {"subject": subject})
        self.streams.append({"name": name, "replicas": len(nodes)})
        settings = {"name": name, "retention": "limits", "max_msgs": -1, "max_age": 0}
        self.created[name] = settings | (config or {})
        facts = {"leader": nodes[0], "replicas": list(nodes)}
        self.event(0.2, "stream.created", stream=name, config=self.created[name], **facts)
        senders = [
            self.client(
                f"{workload}-publisher-{n + 1}", "publisher", workload,
                rate=rate / publishers, offset_s=n / rate, stream=name,
            )
            for n in range(publishers)
        ]  # fmt: skip
        takers = []
        for one in consumers:
            made = {"ack_policy": "explicit", "deliver_policy": "all", **(consumer or {})}
            self.event(0.3, "consumer.created", stream=name, consumer=one, config=made)
            takers.append(
                [
                    self.client(
                        f"{workload}-{one}-{n + 1}", "consumer", workload,
                        senders=senders, stream=name, consumer=one,
                    )
                    for n in range(clients)
                ]
            )  # fmt: skip
        self._fill(name, nodes, senders, takers)
        return self

    def _fill(
        self, name: str, nodes: Sequence[str], senders: list[int], takers: list[list[int]]
    ) -> None:
        start, stop = self.phases["warmup"], self.phases["drain"]
        rate, count = self.clients[senders[0]]["rate"] * len(senders), 0
        kept: list[Stored] = []
        while start + count / rate < stop - 1e-9:
            sender, sequence = senders[count % len(senders)], count // len(senders)
            due = start + count / rate
            count += 1
            self.sent.append(Sent(sender, sequence, due, due, due + HOP, Outcome.ACKED))
            self.acks.append(Ack(sender, sequence, count))
            kept.append(Stored(sender, sequence, count))
            for group in takers:
                taker = group[count % len(group)]
                self.consumed.append(
                    Consumed(taker, sender, sequence, count, due + 2 * HOP, number=count)
                )
        for node in nodes:
            self.stored[name, node] = [replace(one) for one in kept]
            self.healthy[name, node] = 200

    def lose(self, places: Iterable[int], *nodes: str, stream: str = "ORDERS") -> StreamStory:
        """Take messages at some sequences out of the replicas on some nodes, or on all."""
        gone = set(places)
        for (name, node), rows in self.stored.items():
            if name == stream and (not nodes or node in nodes):
                rows[:] = [one for one in rows if one.place not in gone]
        return self

    def at(self, node: str, place: int, stream: str = "ORDERS") -> Stored:
        return next(one for one in self.stored[stream, node] if one.place == place)

    def become(self, sequences: Iterable[int], outcome: Outcome, *, sender: int = 0) -> None:
        """Let attempts end otherwise than acknowledged, without their acknowledgements."""
        wanted = set(sequences)
        self.outcome(wanted, outcome, sender=sender)
        self.acks = [
            one for one in self.acks if not (one.client == sender and one.sequence in wanted)
        ]

    def undelivered(self, places: Iterable[int], client: int | None = None) -> StreamStory:
        gone = set(places)
        self.consumed = [
            one
            for one in self.consumed
            if one.place not in gone or (client is not None and one.client != client)
        ]
        return self

    def scenario(self) -> dict[str, Any]:
        return super().scenario() | {"streams": self.streams}

    def all_events(self) -> list[dict[str, Any]]:
        told = super().all_events()
        scaffold = Story(index=self.index)
        for (stream, node), rows in self.stored.items():
            facts = {"stream": stream, "node": node}
            if (stream, node) in self.healthy and (stream, node) not in self.gone:
                code = self.healthy[stream, node]
                health = {"code": code, "status": "ok" if code == 200 else "error"}
                held = self.held.get((stream, node))
                scaffold.event(10.0, "audit.state", bytes=held, healthz=health, **facts)
            if (stream, node) in self.down:
                scaffold.event(AUDIT_AT, "audit.down", why=self.down[stream, node], **facts)
                continue
            if self.gone & {(stream, node), (stream, None)}:
                continue
            if (stream, node) in self.unread:
                why = self.unread[stream, node]
                if why is not None:
                    scaffold.event(AUDIT_AT, "audit.failed", why=why, **facts)
                continue
            scaffold.event(AUDIT_AT, "audit.read", **facts, **self._reading(stream, node, rows))
        for stream, missing in sorted(self.gone, key=str):
            nodes = [node for name, node in self.stored if name == stream]
            unwell = {
                node: {"code": self.healthy[stream, node], "status": ""}
                for node in (nodes if missing is None else [missing])
            }
            scaffold.event(AUDIT_AT, "audit.gone", stream=stream, node=missing, healthz=unwell)
        return sorted([*told, *scaffold.events], key=lambda event: event["at_ns"])

    def _reading(self, stream: str, node: str, rows: list[Stored]) -> dict[str, Any]:
        places = {one.place for one in rows}
        everywhere = {one.place for (name, _), all_of in self.stored.items() if name == stream
                      for one in all_of}  # fmt: skip
        sought = [min(everywhere, default=1), max(everywhere, default=0)]
        absent = sorted(set(range(sought[0], sought[1] + 1)) - places)
        found = {
            "file": f"audit/{stream}@{node}.columns",
            "rows": len(rows),
            "led": True,
            "first_seq": min(places, default=0),
            "last_seq": max(places, default=0),
            "sought": sought,
            "absent": absent[:1000],
            "absent_count": len(absent),
        }
        return found | self.readings.get((stream, node), {})

    def columns(self) -> dict[str, Any]:
        told = super().columns()
        return {
            worker: replace(
                columns,
                others={
                    "acks": self._table(ACKS, self.acks, worker),
                    "consumed": self._table(CONSUMED, self.consumed, worker),
                },
            )
            for worker, columns in told.items()
        }

    def _table(self, shape: Any, rows: Sequence[Ack | Consumed], worker: str) -> dict[str, Any]:
        mine = [one.row() for one in rows if self.clients[one.client]["worker"] == worker]
        return table(shape, mine)

    def history(self) -> History:
        return tell_streams([self])


def tell_streams(stories: list[StreamStory]) -> History:
    """Return the history of a run with one iteration for each story."""
    events: list[dict[str, Any]] = [
        {"at_ns": ns(0) - 1, "kind": "run.started", "iteration": -1},
        *(event for story in stories for event in story.all_events()),
    ]
    scenario = stories[0].scenario() | {"repeat": len(stories)}
    return History.of(
        scenario,
        events,
        {story.index: story.columns() for story in stories},
        {
            story.index: {
                key: table(STORED, [one.row() for one in rows])
                for key, rows in story.stored.items()
                if (story.unread.get(key, "") == "" or key not in story.unread)
                and not story.gone & {key, (key[0], None)}
                and key not in story.down
            }
            for story in stories
        },
    )
