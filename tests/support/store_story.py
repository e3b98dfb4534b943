"""Tell of buckets and object stores that behave; tests then spoil what is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from story import HOP, Sent, Story, ToldColumns, ns, table

from harness.checks.linearizability.recorded import FINAL
from harness.history.model import History
from harness.history.tables import OPERATIONS, STORED, Answer, Integrity, Operation, Outcome
from harness.load.ledger import OperationRow

CYCLE = (Operation.PUT, Operation.GET, Operation.UPDATE, Operation.GET, Operation.DELETE)
LAST_LOOK = 9.5
Stored = tuple[int, ...]  # client, sequence, place and integrity, as in STORED


@dataclass
class StoreStory(Story):
    rows: list[OperationRow] = field(default_factory=list)

    def kv(
        self,
        users: int = 2,
        watchers: int = 0,
        rate: float = 100.0,
        *,
        keys: int = 2,
        workload: str = "cfg",
        **facts: Any,
    ) -> StoreStory:
        """Let users take turns, one key after the other, each operation seeing the last."""
        self.workloads.append({"name": workload, "kind": "kv", "direct": False, **facts})
        ids = self._users(workload, users, rate)
        last: dict[int, tuple[int, int, int]] = {}
        changes: list[tuple[float, int, tuple[int, int, int]]] = []
        for turn, (due, client, sequence) in enumerate(self._schedule(ids)):
            key = turn // len(CYCLE) % keys
            row = self._row(client, sequence, key, CYCLE[turn % len(CYCLE)], due)
            writer, written, revision = last.get(key, (0, 0, 0))
            if row.operation is Operation.GET:
                row = row._replace(writer=writer, written=written, revision=revision)
                self.rows.append(row if revision else row._replace(answer=Answer.ABSENT))
                continue
            expected = revision if row.operation is Operation.UPDATE else 0
            last[key] = (client, sequence, turn + 1)
            self.rows.append(row._replace(revision=turn + 1, expected=expected))
            changes.append((due, key, last[key]))
        for key, (writer, written, revision) in last.items():
            look = self._row(ids[key % users], FINAL, key, Operation.GET, LAST_LOOK)
            self.rows.append(look._replace(writer=writer, written=written, revision=revision))
        for number in range(watchers):
            watcher = self.client(f"{workload}-watcher-{number + 1}", "watcher", workload)
            for due, key, (writer, written, revision) in changes:
                told = self._row(watcher, 0, key, Operation.WATCH, due + 2 * HOP)
                told = told._replace(invoked_ns=told.returned_ns, revision=revision)
                self.rows.append(told._replace(writer=writer, written=written))
        return self

    def objects(self, users: int = 2, rate: float = 10.0, *, workload: str = "blobs") -> StoreStory:
        """Let users put objects and get the first one in turn."""
        self.workloads.append({"name": workload, "kind": "object"})
        ids = self._users(workload, users, rate)
        puts: list[tuple[int, int]] = []
        for turn, (due, client, sequence) in enumerate(self._schedule(ids)):
            if turn % 2 == 0:
                self.rows.append(self._row(client, sequence, 0, Operation.PUT, due))
                puts.append((client, sequence))
            else:
                row = self._row(client, sequence, 0, Operation.GET, due)
                self.rows.append(row._replace(writer=puts[0][0], written=puts[0][1]))
        for writer, written in puts:
            look = self._row(writer, FINAL, 0, Operation.GET, LAST_LOOK)
            self.rows.append(look._replace(writer=writer, written=written))
        return self

    def spoil(self, wanted: Callable[[OperationRow], bool], **facts: Any) -> OperationRow:
        """Change the first row that is wanted, and return it as it was."""
        at = next(place for place, row in enumerate(self.rows) if wanted(row))
        row = self.rows[at]
        self.rows[at] = row._replace(**facts)
        return row

    def writes_of(self, key: int) -> list[OperationRow]:
        """Return the successful writes of a key, in order."""
        kinds = (Operation.PUT, Operation.UPDATE, Operation.DELETE)
        return [row for row in self.rows if row.key == key and row.operation in kinds]

    def columns(self) -> dict[str, ToldColumns]:
        return {
            name: replace(
                told,
                others={"operations": table(OPERATIONS, [tuple(one) for one in self._of(name)])},
            )
            for name, told in super().columns().items()
        }

    def all_events(self) -> list[dict[str, Any]]:
        events = super().all_events()
        for event in events:
            if event["kind"] == "worker.done" and (rows := self._of(event["worker"])):
                event["rows"] = {**event["rows"], "operations": len(rows)}
        return events

    def _of(self, worker: str) -> list[OperationRow]:
        return [row for row in self.rows if self.clients[row.client]["worker"] == worker]

    def _users(self, workload: str, users: int, rate: float) -> list[int]:
        return [
            self.client(
                f"{workload}-user-{n + 1}", "user", workload, rate=rate / users, offset_s=n / rate
            )
            for n in range(users)
        ]

    def _schedule(self, ids: list[int]) -> Iterator[tuple[float, int, int]]:
        """Yield when each operation is due, whose it is and which, in time; write `sent`."""
        start, stop = self.phases["warmup"], self.phases["drain"]
        due = []
        for client in ids:
            plan = self.clients[client]
            count = round((stop - start - plan["offset_s"]) * plan["rate"])
            due += [(start + plan["offset_s"] + k / plan["rate"], client, k) for k in range(count)]
        for at, client, k in sorted(due):
            self.sent.append(Sent(client, k, at, at, at + 2 * HOP, Outcome.ACKED))
            yield at, client, k

    def _row(
        self, client: int, sequence: int, key: int, operation: Operation, at: float
    ) -> OperationRow:
        return OperationRow(
            client=client,
            sequence=sequence,
            key=key,
            operation=operation,
            answer=Answer.DONE,
            writer=client,
            written=sequence,
            expected=0,
            revision=0,
            invoked_ns=ns(at),
            returned_ns=ns(at + 2 * HOP),
            integrity=Integrity.INTACT,
        )


@dataclass
class AuditedStory(StoreStory):
    """A story whose buckets were audited.

    Attributes:
        audited: the rows of each replica by (stream, node).
        gone: (stream, node) of replicas that are gone; without a node: of a whole stream.
    """

    audited: dict[tuple[str, str], list[Stored]] = field(default_factory=dict)
    gone: list[tuple[str, str | None]] = field(default_factory=list)

    def hold(self, stream: str, *nodes: str, history: int = 1) -> None:
        """Let each node hold the last messages of each key, and the fence of each user."""
        kept: list[Stored] = [
            (row.client, row.sequence, row.revision, int(Integrity.INTACT))
            for key in sorted({row.key for row in self.rows})
            for row in self.writes_of(key)[-history:]
        ]
        last = max(row.revision for row in self.rows)
        users = [client for client, plan in enumerate(self.clients) if plan["role"] == "user"]
        kept += [(client, FINAL, last + n, 0) for n, client in enumerate(users, 1)]
        kept.sort(key=lambda row: row[2])
        self.audited |= {(stream, node): kept[:] for node in nodes}

    def history(self) -> History:
        events: list[dict[str, Any]] = [
            {"at_ns": ns(0) - 1, "kind": "run.started", "iteration": -1},
            *self.all_events(),
        ]
        at = {"at_ns": ns(10.05), "iteration": self.index}
        for (stream, node), rows in self.audited.items():
            last = max(row[2] for row in rows)
            facts = {"rows": len(rows), "led": True, "sought": [1, last], "refused": None}
            facts |= {"first_seq": 1, "last_seq": last, "absent_count": last - len(rows)}
            facts |= {"stream": stream, "node": node, "file": "f"}
            events.append({**at, "kind": "audit.read", **facts})
        for stream, gone in self.gone:
            facts = {"stream": stream, "node": gone, "healthz": {}}
            events.append({**at, "kind": "audit.gone", **facts})
        events.sort(key=lambda one: one["at_ns"])
        stored = {key: table(STORED, rows) for key, rows in self.audited.items()}
        told = {self.index: self.columns()}
        return History.of(self.scenario(), events, told, {self.index: stored})


def without(story: StoreStory, wanted: Callable[[OperationRow], bool]) -> StoreStory:
    """Return the story without the rows that are wanted."""
    return replace(story, rows=[row for row in story.rows if not wanted(row)])
