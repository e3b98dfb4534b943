"""Put an iteration together from its events and the columns of its workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from harness.history.facts import (
    Client,
    Columns,
    Event,
    Failure,
    FaultWindow,
    Hit,
    Iteration,
    Observation,
    Phase,
    ProbedLink,
    Probing,
    WorkerLedger,
)
from harness.history.tables import ACKS, CONSUMED, DELIVERED, OPERATIONS, SENT, TABLES, Table

NEVER = "its columns file is missing"
SILENT_ONCE = frozenset({"pause"})  # histories of before hits told whether they are silent
_TIMES = {
    "fault.inject_started": "inject_started_ns",
    "fault.injected": "injected_ns",
    "fault.heal_started": "heal_started_ns",
    "fault.healed": "healed_ns",
}


class WorkerColumns(Protocol):
    """The columns that one worker left, as `harness.history.columns` reads them."""

    @property
    def tables(self) -> Mapping[str, Columns]:
        """Return the columns of tables by name; tables without rows may be absent."""

    @property
    def complete(self) -> bool:
        """Tell whether the file was whole."""

    @property
    def problem(self) -> str | None:
        """Say why it was not."""


def assemble(
    index: int,
    events: Sequence[Event],
    columns: Mapping[str, WorkerColumns],
    subjects: Mapping[str, str] | None = None,
    stored: Mapping[tuple[str, str], Columns] | None = None,
) -> Iteration:
    """Return iteration `index` of a run.

    Args:
        index: the iteration's number.
        events: all its events, in the order they were recorded.
        columns: what each worker left, by worker name; one that left nothing is absent.
        subjects: the subject of each workload, where the scenario tells.
        stored: what an audit read, by (stream, node).
    """
    clients = read_clients(events)
    started = next((event["start_ns"] for event in _of(events, "load.started")), None)
    stopped = next((event["stop_ns"] for event in _of(events, "load.stopped")), None)
    ended = {event["phase"]: event["at_ns"] for event in _of(events, "phase.ended")}
    sent = _join(SENT, columns.values())
    if stopped is None and started is not None:
        stopped = int(sent["attempted_ns"].max(initial=started - 1)) + 1
    cut_ns = max((event["at_ns"] for event in events), default=0) if stopped is None else stopped
    return Iteration(
        index=index,
        events=tuple(events),
        phases=_read_phases(events),
        clients=clients,
        faults=_read_faults(events),
        workers=_read_workers(events, clients, columns),
        sent=sent,
        delivered=_join(DELIVERED, columns.values()),
        acks=_join(ACKS, columns.values()),
        consumed=_join(CONSUMED, columns.values()),
        operations=_join(OPERATIONS, columns.values()),
        stored=dict(stored or {}),
        start_ns=min((event["at_ns"] for event in events), default=0),
        load_start_ns=started,
        load_stop_ns=stopped,
        drained=any(event.get("complete") is True for event in _of(events, "load.drained")),
        end_ns=ended.get("drain", cut_ns),
        collected="collect" in ended,
        subjects=dict(subjects or {}),
        schedule=next((tuple(one["steps"]) for one in _of(events, "faults.scheduled")), None),
    )


def read_clients(events: Iterable[Event]) -> tuple[Client, ...]:
    """Return the clients that were planned."""
    planned = [facts for event in _of(events, "load.planned") for facts in event["clients"]]
    ids = {facts["name"]: facts["id"] for facts in planned}
    return tuple(
        Client(
            id=facts["id"],
            name=facts["name"],
            role=facts["role"],
            workload=facts["workload"],
            worker=facts["worker"],
            queue=facts.get("queue"),
            senders=tuple(ids.get(one, one) for one in facts.get("senders") or ()),
            rate=float(facts.get("rate") or 0.0),
            offset_s=float(facts.get("offset_s") or 0.0),
            due_s=tuple(float(one) for one in facts.get("due_s") or ()),
            texts=tuple(str(one) for one in facts.get("texts") or ()),
            stream=facts.get("stream"),
            consumer=facts.get("consumer"),
            config=facts.get("config") or {},
        )
        for facts in planned
    )


def _of(events: Iterable[Event], kind: str) -> list[Event]:
    return [event for event in events if event["kind"] == kind]


def _read_phases(events: Sequence[Event]) -> tuple[Phase, ...]:
    ended = {event["phase"]: event["at_ns"] for event in _of(events, "phase.ended")}
    started = _of(events, "phase.started")
    phases = [Phase(one["phase"], one["at_ns"], ended.get(one["phase"])) for one in started]
    return tuple(sorted(phases, key=lambda phase: phase.start_ns))


def _read_faults(events: Sequence[Event]) -> tuple[FaultWindow, ...]:
    found: dict[str, FaultWindow] = {}
    for event in events:
        kind, name = event["kind"], event.get("fault")
        if not kind.startswith("fault.") or name is None:
            continue
        window = found.get(name, FaultWindow(name, event.get("action", "")))
        found[name] = _extend(window, kind, event)
    return tuple(found.values())


def _extend(window: FaultWindow, kind: str, event: Event) -> FaultWindow:
    at_ns = event["at_ns"]
    window = replace(
        window,
        action=event.get("action", window.action),
        targets=tuple(event.get("targets", window.targets)),
        shaped=window.shaped | _read_shaped(kind, event),
        watched=window.watched or bool(event.get("watched")),
        late_s=event.get("late_s", window.late_s),
        waited_for=tuple(event.get("waited_for", window.waited_for)),
        behind_s=event.get("behind_s", window.behind_s),
        hold_s=event.get("hold_s", window.hold_s),
    )
    if kind in _TIMES:
        return replace(window, **{_TIMES[kind]: at_ns})
    if kind == "fault.hit":
        return replace(window, hits=(*window.hits, _read_hit(window, event)))
    if kind == "fault.observed":
        seen = Observation(at_ns, event["node"], event["what"], event["edge"])
        return replace(window, observations=(*window.observations, seen))
    if kind == "fault.probed":
        return replace(window, probings=(*window.probings, _read_probing(event)))
    if kind == "fault.failed":
        failure = Failure(at_ns, event["message"], event.get("edge", "effect"))
        return replace(window, failures=(*window.failures, failure))
    return window


def _read_hit(window: FaultWindow, event: Event) -> Hit:
    groups, peers = event.get("groups"), event.get("peers")
    return Hit(
        event["at_ns"],
        event["node"],
        event.get("how", ""),
        silent=bool(event.get("silent", window.action in SILENT_ONCE)),
        groups=None if groups is None else tuple(groups),
        burdens=bool(event.get("burdens", False)),
        peers=None if peers is None else tuple(peers),
    )


def _read_shaped(kind: str, event: Event) -> frozenset[tuple[str, str]]:
    if kind != "fault.measured" or event["edge"] != "effect":
        return frozenset()
    return frozenset((one["from"], one["to"]) for one in event["links"])


def _read_probing(event: Event) -> Probing:
    links = tuple(
        ProbedLink(
            one["from"],
            one["to"],
            bool(one["cut"]),
            one["sent"],
            one["received"],
            one.get("via"),
        )
        for one in event["links"]
    )
    return Probing(event["at_ns"], event["edge"], links)


def _read_workers(
    events: Sequence[Event], clients: Sequence[Client], columns: Mapping[str, WorkerColumns]
) -> dict[str, WorkerLedger]:
    said = {event["worker"]: event["rows"] for event in _of(events, "worker.done")}
    lost = {event["worker"]: event["at_ns"] for event in _of(events, "worker.lost")}
    names = dict.fromkeys(client.worker for client in clients)
    names.update(dict.fromkeys([*columns, *said, *lost]))
    workers = {}
    for name in names:
        rows, left = said.get(name), columns.get(name)
        workers[name] = WorkerLedger(
            said=None if rows is None else _in_order(rows),
            read=_in_order({} if left is None else _row_counts(left)),
            problem=_problem(left),
            lost_ns=lost.get(name),
        )
    return workers


def _problem(left: WorkerColumns | None) -> str | None:
    if left is None:
        return NEVER
    return None if left.complete else left.problem or "its columns file is not complete"


def _rows(columns: Columns) -> int:
    return len(next(iter(columns.values()), ()))


def _row_counts(left: WorkerColumns) -> dict[str, int]:
    return {name: _rows(columns) for name, columns in left.tables.items()}


def _in_order(rows: Mapping[str, int]) -> tuple[int, ...]:
    """Return how many rows there are of the tables of all workloads, then of others with rows."""
    others = (rows.get(table.name, 0) for table in TABLES[2:])
    return (rows.get(SENT.name, 0), rows.get(DELIVERED.name, 0), *(one for one in others if one))


def _join(table: Table, workers: Iterable[WorkerColumns]) -> dict[str, npt.NDArray[Any]]:
    """Put the columns of several workers behind one another; one part is not copied."""
    filled = [part for one in workers if _rows(part := one.tables.get(table.name, {}))]
    if len(filled) == 1:
        return {name: filled[0][name] for name, _ in table.columns}
    return {
        name: np.concatenate([np.empty(0, kind), *(part[name] for part in filled)])
        for name, kind in table.columns
    }
