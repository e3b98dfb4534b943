"""Join what was published to streams with what replicas hold and what consumers delivered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.history.facts import Client, Columns, Iteration, empty
from harness.history.ledger import STRANGER, Array, Slots, look_up, of_planned, phase_codes
from harness.history.stream_audit import (
    Reading,
    created_consumers,
    read_audit,
    read_given_out,
    read_settings,
)
from harness.history.stream_ledger import Consumption, Replica, Retry, StreamLedger, as_signed
from harness.history.subjects import fed_streams, is_configured_elsewhere, rewritten_subjects
from harness.history.tables import STORED, Integrity, Outcome
from harness.scenario.subjects import overlap

PUBLISHER, CONSUMER = "publisher", "consumer"


def open_streams(iteration: Iteration, scenario: Mapping[str, Any]) -> tuple[StreamLedger, ...]:
    """Return the ledgers of all streams that clients were planned to use.

    Raises:
        ValueError: sequence numbers are out of all proportion to the number of messages.
    """
    used: dict[str, list[Client]] = {}
    asked = {one["name"]: one for one in scenario.get("workloads") or ()}
    for client in iteration.clients:
        if client.role not in (PUBLISHER, CONSUMER):
            continue
        stream = client.stream or (asked.get(client.workload) or {}).get("stream")
        if stream is not None:
            used.setdefault(str(stream), []).append(client)
    users = {client.id for clients in used.values() for client in clients}
    fed = fed_streams(scenario)
    return tuple(
        _open(
            iteration,
            scenario,
            name,
            clients,
            [
                one.id
                for one in iteration.clients
                if one.sends and one not in clients and (name in fed or one.id not in users)
            ],
        )
        for name, clients in used.items()
    )


def _open(
    iteration: Iteration,
    scenario: Mapping[str, Any],
    name: str,
    clients: list[Client],
    bystanders: Sequence[int],
) -> StreamLedger:
    asked = {one["name"]: one for one in scenario.get("workloads") or ()}
    publishers = tuple(one for one in clients if one.role == PUBLISHER)
    sent, rank, _ = of_planned(iteration.sent, {one.id: at for at, one in enumerate(publishers)})
    slots = Slots.of(rank, sent["sequence"], len(publishers))
    find = _Finder(
        slots=slots,
        ranks={one.id: at for at, one in enumerate(publishers)},
        trusted=np.array([iteration.trusts(one) for one in publishers], dtype=np.bool_),
        bystanders={one: at for at, one in enumerate(bystanders)},
    )
    acked = sent["outcome"] == Outcome.ACKED
    place, tries, problems = _read_acks(iteration, find, acked)
    audit = read_audit(iteration, scenario, name)
    return StreamLedger(
        iteration=iteration,
        name=name,
        settings=read_settings(iteration, scenario, name),
        audit=audit,
        publishers=publishers,
        retries=tuple(_read_retry(asked.get(one.workload) or {}) for one in publishers),
        subjects=tuple(_stored_on(iteration, scenario, name, one) for one in publishers),
        alone=not is_configured_elsewhere(scenario),
        sent=sent,
        rank=rank,
        phase=phase_codes(iteration, sent["intended_ns"]),
        acked=acked,
        place=place,
        tries=tries,
        replicas=tuple(
            _open_replica(
                reading, empty(STORED) if reading.gone else iteration.stored[name, node], find
            )
            for node, reading in sorted(audit.readings.items())
        ),
        consumers=tuple(_open_consumers(iteration, name, clients, find)),
        problems=(*problems, *_read_misacked(iteration, publishers)),
        whole=all(iteration.trusts(one) for one in publishers),
    )


@dataclass(frozen=True)
class _Finder:
    """Finds the attempt that a row speaks of.

    Attributes:
        trusted: by rank: the publisher's columns are whole, so what is not there was not sent.
        bystanders: senders of other kinds, or to streams that this one may be fed from, whose
            messages it may take as well: they are accounted for elsewhere.
    """

    slots: Slots
    ranks: Mapping[int, int]
    trusted: Array
    bystanders: Mapping[int, int]

    def find(self, columns: Columns) -> tuple[Array, Array]:
        """Return (row, misfit) of stored or delivered messages."""
        integrity = columns["integrity"]
        origin = look_up(columns["sender"], dict(self.ranks))
        origin[integrity != Integrity.INTACT] = STRANGER
        row = self.slots.find(origin, columns["sequence"])
        misfit: Array = integrity == Integrity.FOREIGN
        lost = np.flatnonzero((row < 0) & (integrity == Integrity.INTACT))
        passing = look_up(columns["sender"][lost], dict(self.bystanders)) != STRANGER
        named = np.where(origin[lost] == STRANGER, len(self.trusted), origin[lost])
        misfit[lost] = ~passing & np.append(self.trusted, True)[named]
        return row, misfit


def _read_acks(
    iteration: Iteration, finder: _Finder, acked: Array
) -> tuple[Array, Array, list[str]]:
    """Return (place, tries) of each attempt, and what in the acknowledgements makes no sense."""
    acks, rank, _ = of_planned(iteration.acks, dict(finder.ranks))
    rows = finder.slots.find(rank, acks["sequence"])
    known = rows >= 0
    known[known] = acked[rows[known]]
    rows = rows[known]
    place = np.zeros(len(acked), dtype=np.int64)
    tries = np.zeros(len(acked), dtype=np.uint16)
    place[rows] = as_signed(acks["stream_sequence"][known])
    tries[rows] = acks["attempts"][known]
    told = np.bincount(rows, minlength=len(acked))
    problems = {
        "acknowledgement(s) are of no message that was acknowledged": int((~known).sum()),
        "message(s) were acknowledged, and where the stream keeps them is not on record": int(
            np.count_nonzero(acked & ((told == 0) | (place <= 0)))
        ),
        "acknowledgement(s) were written twice": int(np.maximum(told - 1, 0).sum()),
    }
    return place, tries, [f"{count} {what}" for what, count in problems.items() if count]


def _read_misacked(iteration: Iteration, publishers: Sequence[Client]) -> Iterator[str]:
    """Yield how many acknowledgements cannot be right, and what the first one said."""
    mine = {one.name for one in publishers}
    told = [one for one in iteration.of_kind("client.misacked") if one.get("client") in mine]
    if told:
        first = told[0]
        yield (
            f"{len(told)} acknowledgement(s) cannot be right: {first['client']} was told "
            f"that stream {first.get('stream')} has its message at {first.get('stream_sequence')}"
        )


def _open_replica(reading: Reading, columns: Columns, finder: _Finder) -> Replica:
    row, misfit = finder.find(columns)
    return Replica(reading, columns, row, misfit)


def _open_consumers(
    iteration: Iteration, stream: str, clients: Sequence[Client], finder: _Finder
) -> Iterator[Consumption]:
    created = dict(created_consumers(iteration, stream))
    given_out = read_given_out(iteration, stream)
    groups: dict[str, list[Client]] = {}
    for client in clients:
        if client.role == CONSUMER:
            groups.setdefault(client.consumer or client.name, []).append(client)
    for name, members in groups.items():
        columns, place, _ = of_planned(
            iteration.consumed, {one.id: at for at, one in enumerate(members)}
        )
        times = columns["received_ns"]
        if not np.all(times[1:] >= times[:-1]):
            order = np.argsort(times, kind="stable")
            columns = {key: column[order] for key, column in columns.items()}
            place = place[order]
        row, misfit = finder.find(columns)
        yield Consumption(
            name=name,
            clients=tuple(members),
            created=created.get(name),
            columns=columns,
            place=place,
            row=row,
            misfit=misfit,
            trusted=all(iteration.trusts(one) for one in members),
            given_out=given_out.get(name),
        )


def _read_retry(workload: Mapping[str, Any]) -> Retry:
    asked = workload.get("retry")
    if not isinstance(asked, Mapping):
        return Retry()
    return Retry(int(asked.get("max", 1)), bool(asked.get("msg_id")))


def _stored_on(
    iteration: Iteration, scenario: Mapping[str, Any], stream: str, publisher: Client
) -> str | None:
    """Return the subject that a publisher's messages are stored on; None for several or another."""
    subject = iteration.subjects.get(publisher.workload)
    if not subject or set(subject) & set("{}*>"):
        return None
    rewritten = rewritten_subjects(scenario, stream)
    return None if any(overlap(one, subject) for one in rewritten) else subject
