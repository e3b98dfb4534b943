"""Failover: what each client's own callbacks say about losing its server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.checks.base import NS_PER_S, Case, Check, Result
from harness.history.connections import Connection, attached, horizon_ns, trace
from harness.history.destinations import FOREVER_NS
from harness.history.facts import Client, FaultWindow, Hit, Iteration
from harness.history.watch import Gap, Watch, keep_watch, longest_gap
from harness.stats.labelled import Count, Samples, Tally

NAME = "failover"
TIMES = ("detection_time", "reconnect_latency", "failover_time", "reconnect_attempts")
SILENCE_NS = 250_000_000
SILENCE_PERIODS = 2
AFTERMATH_NS = 1_000_000_000
_OUTCOME = frozenset({"explained"})

Bounded = tuple[float, bool]  # a value and whether it is a lower bound only


@dataclass(frozen=True)
class _Blow:
    """A hit on the node that a client was connected to, and when the next one came."""

    fault: FaultWindow
    hit: Hit
    connection: Connection
    next_ns: int


@dataclass(frozen=True)
class _Failover:
    """The four values of one blow, each maybe a lower bound; `sign` None: nothing showed."""

    sign: str | None
    detection: Bounded
    latency: Bounded
    total: Bounded
    attempts: Bounded


def judge_failover(case: Case) -> Result:
    """Measure, for each client on a node that a fault struck, how it got away.

    t0 is the instant of the hit on the node that the client was connected to. A sign is
    the first thing after t0 that the client tells of a broken connection.

    - `detection_time`: t0 to the sign.
    - `reconnect_latency`: the sign to being connected again.
    - `failover_time`: t0 to being connected again; the sum of the two.
    - `reconnect_attempts`: connection attempts until then.

    A client that was not connected again by the end of drain (or the loss of its worker)
    has lower bounds, never nothing. So has one that gave no sign at all: with a silent
    fault (pause, partition) it had not noticed when the fault was undone or traffic came back,
    with any other the connection was gone and it had not noticed by the end. When its
    messages stopped meanwhile by more than 250 ms and two periods, its sign is
    ``silence``: only the watchdog saw it.

    - `disconnects`: connections that a client told it had lost, or had replaced, up to the end
      of drain; `ratio` is of all that it had, also by label. One is explained (label
      `explained`) when its server was under a fault that strikes the client, or shapes its
      link, at that time or until 1 s before. Of a client whose worker was lost it is a lower
      bound.

    Facts: `disconnects`, by client name, one mapping for each lost connection, whether or
    not a fault explains it.
    """
    iteration = case.iteration
    # With rows missing, silence is no evidence.
    watches = [] if not iteration.whole else keep_watch(case.ledger)
    watch_of = {watch.name: watch for watch in watches if not watch.grouped}
    rows: dict[str, list[tuple[float, bool, Mapping[str, str]]]] = {name: [] for name in TIMES}
    disconnects: dict[str, list[dict[str, Any]]] = {}
    counts: list[tuple[Mapping[str, str], Count]] = []
    notes: list[str] = []
    for client in iteration.clients:
        connections = trace(iteration, client)
        blows = list(_find_blows(iteration, client, connections))
        shown = disconnects.setdefault(client.name, [])
        for blow in blows:
            failover = _measure(iteration, client, blow, watch_of.get(client.name))
            labels = {"fault": blow.fault.name, "workload": client.workload, "role": client.role}
            values = (failover.detection, failover.latency, failover.total, failover.attempts)
            for name, (value, censored) in zip(TIMES, values, strict=True):
                rows[name].append((value, censored, labels))
            shown.append(_show(iteration, blow, failover))
        struck = {id(blow.connection) for blow in blows}
        for connection in connections:
            if connection.broke_ns is not None and id(connection) not in struck:
                shown.append(_show_unstruck(iteration, connection))
                if not _explained(iteration, client, connection):
                    notes.append(
                        f"{client.name} lost its connection to {connection.server} after "
                        f"{iteration.relative_s(connection.broke_ns):.3f} s "
                        f"({connection.sign}), though no fault had struck that server"
                    )
        counts += _count_lost(iteration, client, connections)
        shown.sort(key=lambda one: one["at"])
    return Result(
        tallies={"disconnects": Tally(tuple(counts), _OUTCOME, _OUTCOME)},
        samples={name: Samples.of(found) for name, found in rows.items()},
        notes=tuple(notes),
        facts={"disconnects": disconnects},
    )


def _count_lost(
    iteration: Iteration, client: Client, connections: tuple[Connection, ...]
) -> Iterator[tuple[Mapping[str, str], Count]]:
    """Yield the lost connections of a client that a fault explains, and the others.

    The connections that it did not lose are among the chances of the second, so that both
    together are all that it had.
    """
    lost = [one for one in connections if one.until_ns < FOREVER_NS]
    explained = sum(_explained(iteration, client, one) for one in lost)
    had = len(connections)
    worker = iteration.workers.get(client.worker)
    unsure = not connections or worker is None or worker.lost_ns is not None
    labels = {"workload": client.workload, "role": client.role}
    yield labels | {"explained": "yes"}, Count(explained, explained, at_least=unsure)
    rest = Count(len(lost) - explained, had - explained, seen=had, at_least=unsure)
    yield labels | {"explained": "no"}, rest


def _find_blows(
    iteration: Iteration, client: Client, connections: tuple[Connection, ...]
) -> Iterator[_Blow]:
    hits = sorted(
        ((hit, fault) for fault in iteration.faults for hit in fault.hits if hit.strikes(client)),
        key=lambda one: one[0].at_ns,
    )
    for place, (hit, fault) in enumerate(hits):
        connection = attached(connections, hit)
        if connection is None:
            continue
        later = (one.at_ns for one, _ in hits[place + 1 :] if one.node == hit.node)
        next_ns = next((at for at in later if connection.covers(at)), iteration.end_ns)
        yield _Blow(fault, hit, connection, next_ns)


def _measure(iteration: Iteration, client: Client, blow: _Blow, watch: Watch | None) -> _Failover:
    connection, t0 = blow.connection, blow.hit.at_ns
    end_ns = horizon_ns(iteration, client)
    back, broke = connection.back_ns, connection.broke_ns
    if broke is not None and broke <= blow.next_ns:
        detection = ((broke - t0) / NS_PER_S, False)
        if back is None:
            return _Failover(
                connection.sign,
                detection,
                (max(0, end_ns - broke) / NS_PER_S, True),
                (max(0, end_ns - t0) / NS_PER_S, True),
                (float(connection.attempts), True),
            )
        return _Failover(
            connection.sign,
            detection,
            ((back - broke) / NS_PER_S, False),
            ((back - t0) / NS_PER_S, False),
            (float(connection.attempts), False),
        )
    if broke is None and back is not None and back <= blow.next_ns:
        # It told of the new connection only: the whole is known, its parts are not.
        total = ((back - t0) / NS_PER_S, False)
        attempts = (float(connection.attempts), False)
        return _Failover("reconnected", (0.0, True), (0.0, True), total, attempts)
    last_ns = min(blow.next_ns, end_ns)
    gap = None if watch is None else longest_gap(watch, iteration, t0, last_ns)
    silent = gap is not None and watch is not None and _is_outage(gap, watch)
    bound = (_unnoticed_until(blow, last_ns, gap if silent else None) / NS_PER_S, True)
    return _Failover("silence" if silent else None, bound, (0.0, True), bound, (0.0, True))


def _is_outage(gap: Gap, watch: Watch) -> bool:
    return gap.length_ns > max(SILENCE_NS, SILENCE_PERIODS * watch.period_ns)


def _unnoticed_until(blow: _Blow, last_ns: int, outage: Gap | None) -> float:
    """Return for how long after t0, in ns, a client without a sign surely was cut off.

    What cannot be known is not claimed: the bound must never be above the truth.
    """
    t0 = blow.hit.at_ns
    if blow.hit.silent:
        undone_ns = blow.fault.undo_ns(blow.hit) or last_ns
        end_ns = min(last_ns, undone_ns)
        if outage is not None and not outage.open:
            # Traffic came back: after that there was nothing left to notice.
            end_ns = min(end_ns, outage.from_ns + int(outage.length_ns))
        return max(0, end_ns - t0) if outage is None or not outage.open else max(0, last_ns - t0)
    if outage is not None and outage.open:
        return max(0, last_ns - t0)
    return 0.0


def _explained(iteration: Iteration, client: Client, connection: Connection) -> bool:
    """Tell whether the server of a lost connection was under a fault, or just had been."""
    broke_ns = connection.until_ns
    return any(
        hit.node == connection.server
        and (hit.strikes(client) or hit.burdens or fault.shapes(client, connection.server))
        and hit.at_ns <= broke_ns <= (fault.undo_ns(hit) or iteration.end_ns) + AFTERMATH_NS
        for fault in iteration.faults
        for hit in fault.hits
    )


def _show(iteration: Iteration, blow: _Blow, failover: _Failover) -> dict[str, Any]:
    values = (failover.detection, failover.latency, failover.total, failover.attempts)
    noticed = failover.sign is not None and failover.sign != "silence"
    return {
        "at": iteration.relative_s(blow.connection.broke_ns or blow.hit.at_ns)
        if noticed
        else iteration.relative_s(blow.hit.at_ns),
        "fault": blow.fault.name,
        "server": blow.connection.server,
        "sign": failover.sign,
        "detection_time": failover.detection[0],
        "reconnect_latency": failover.latency[0],
        "failover_time": failover.total[0],
        "attempts": int(failover.attempts[0]),
        "reconnected_to": blow.connection.back_to if noticed else None,
        "censored": any(censored for _, censored in values),
    }


def _show_unstruck(iteration: Iteration, connection: Connection) -> dict[str, Any]:
    assert connection.broke_ns is not None
    back_ns = connection.back_ns
    latency_ns = (iteration.end_ns if back_ns is None else back_ns) - connection.broke_ns
    return {
        "at": iteration.relative_s(connection.broke_ns),
        "fault": None,
        "server": connection.server,
        "sign": connection.sign,
        "detection_time": None,
        "reconnect_latency": latency_ns / NS_PER_S,
        "failover_time": None,
        "attempts": connection.attempts,
        "reconnected_to": connection.back_to,
        "censored": back_ns is None,
    }


CHECK = Check(NAME, judge_failover, ("disconnects", *TIMES))
