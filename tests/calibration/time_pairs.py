"""Each time as the harness judged it beside the same time by the servers' own clock."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from measured import Measured

from harness.checks.base import Case
from harness.checks.latency import judge_latency
from harness.checks.watchdog import judge_watchdog
from harness.history.facts import Iteration
from harness.history.model import History
from harness.stats.distribution import rank


@dataclass(frozen=True)
class Pair:
    """One time as the harness judged it and as the servers' clock has it, in seconds."""

    metric: str
    whose: str
    judged_s: float
    true_s: float

    @property
    def difference_s(self) -> float:
        """Return judged less true."""
        return self.judged_s - self.true_s


class Clockwork:
    """The servers' truth about when things happened; all times monotonic ns."""

    def __init__(self, measured: Measured) -> None:
        truths = measured.truths.values()
        self._greeted: dict[str, list[int]] = defaultdict(list)
        self._left: dict[str, list[int]] = defaultdict(list)
        self.deliveries: list[tuple[int, str, int, int]] = []
        for truth in truths:
            for connection in truth.connections:
                self._greeted[connection["name"]].append(connection["pong_ns"])
                self._left[connection["name"]].append(connection["eof_ns"])
            for receiver, sender, sequence, at_ns in truth.deliveries:
                self.deliveries.append((at_ns, receiver, sender, sequence))
        for times in (*self._greeted.values(), *self._left.values()):
            times.sort()
        self.deliveries.sort()

    def greeted_ns(self, client: str, after_ns: int) -> int | None:
        """Return when a client's next connection got its first PONG."""
        return _next(self._greeted[client], after_ns)

    def left_ns(self, client: str, after_ns: int) -> int | None:
        """Return when a server next saw a client close its connection."""
        return _next(self._left[client], after_ns)


def _next(times: list[int], after_ns: int) -> int | None:
    place = bisect_right(times, after_ns)
    return times[place] if place < len(times) else None


@dataclass(frozen=True)
class Timed:
    """All pairs of a plan, and what made some of them impossible."""

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...] = field(default=())

    def differences_s(self, metric: str) -> list[float]:
        """Return the differences of one metric in seconds, ascending."""
        return sorted(pair.difference_s for pair in self.pairs if pair.metric == metric)


def summarise(differences_s: list[float]) -> dict[str, Any]:
    """Return n, min, p50, p99 and max in milliseconds, nearest rank."""
    n = len(differences_s)
    ranks = {"min": 1, "p50": rank(0.5, n), "p99": rank(0.99, n), "max": n}
    return {
        "n": n,
        **{f"{name}_ms": differences_s[place - 1] * 1e3 for name, place in ranks.items()},
    }


def pair_times(measured: Measured, *, sees_leaving: bool, silent: bool) -> Timed:
    """Return every time that both the harness and the servers know.

    Args:
        measured: a run of a plan of times.
        sees_leaving: the server sees clients that notice silence leave; that is the sign.
        silent: the deed is not itself a sign, so nothing else dates the detection.
    """
    history = History.load(measured.folder)
    (iteration,) = history.iterations
    clockwork = Clockwork(measured)
    hits = {fault.name: fault.hits[0].at_ns for fault in iteration.faults if fault.hits}
    problems = [
        f"{fault.name} struck {len(fault.hits)} times"
        for fault in iteration.faults
        if len(fault.hits) != 1
    ]
    pairs: list[Pair] = []
    for client in measured.iteration["clients"]:
        by_fault = {one["fault"]: one for one in client["disconnects"]}
        for fault, hit_ns in hits.items():
            disconnect = by_fault.get(fault)
            if disconnect is None or disconnect["censored"]:
                problems.append(f"failover_time of {client['name']} in {fault} is not whole")
                continue
            whose = f"{client['name']} {fault}"
            left_ns = clockwork.left_ns(client["name"], hit_ns) if sees_leaving else hit_ns
            pairs += _reconnect_pairs(
                disconnect,
                whose,
                hit_ns,
                None if silent and not sees_leaving else left_ns,
                clockwork.greeted_ns(client["name"], hit_ns),
            )
    pairs += _delivery_pairs(history, iteration, clockwork)
    pairs += _outage_pairs(measured, iteration, clockwork)
    pairs += _latency_pairs(history, iteration, clockwork)
    return Timed(tuple(pairs), tuple(problems))


def _reconnect_pairs(
    disconnect: Mapping[str, Any],
    whose: str,
    hit_ns: int,
    sign_ns: int | None,
    greeted_ns: int | None,
) -> Iterator[Pair]:
    if greeted_ns is None:
        raise ValueError(f"{whose}: no server has seen the client come back")
    total_s = (greeted_ns - hit_ns) / 1e9
    yield Pair("failover_time", whose, disconnect["failover_time"], total_s)
    if sign_ns is not None:
        detection_s = (sign_ns - hit_ns) / 1e9
        yield Pair("detection_time", whose, disconnect["detection_time"], detection_s)
        latency_s = (greeted_ns - sign_ns) / 1e9
        yield Pair("reconnect_latency", whose, disconnect["reconnect_latency"], latency_s)


def _delivery_pairs(history: History, iteration: Iteration, clockwork: Clockwork) -> Iterator[Pair]:
    """Pair the first deliveries on each path from a publisher to a subscriber, in time."""
    samples = judge_watchdog(Case(iteration, history.scenario)).samples["time_to_first_delivery"]
    columns = (iteration.sent[name].tolist() for name in ("client", "sequence", "attempted_ns"))
    attempted = {(client, sequence): at for client, sequence, at in zip(*columns, strict=True)}
    for fault in iteration.faults:
        (hit,) = fault.hits
        effect_ns = fault.effect_ns(hit)
        firsts: dict[tuple[str, int], int] = {}
        for at_ns, receiver, sender, sequence in clockwork.deliveries:
            if attempted[sender, sequence] > effect_ns:
                firsts.setdefault((receiver, sender), at_ns)
        judged = samples.select({"fault": fault.name}).exact.tolist()
        true = sorted((at_ns - hit.at_ns) / 1e9 for at_ns in firsts.values())
        for judged_s, true_s in zip(judged, true, strict=True):
            yield Pair("time_to_first_delivery", fault.name, judged_s, true_s)


def _outage_pairs(measured: Measured, iteration: Iteration, clockwork: Clockwork) -> Iterator[Pair]:
    senders = {client.id: client for client in iteration.clients if client.sends}
    successes: dict[str, list[int]] = defaultdict(list)
    arrived: set[tuple[int, int]] = set()
    for at_ns, receiver, sender, sequence in clockwork.deliveries:
        successes[receiver].append(at_ns)
        if (sender, sequence) not in arrived:
            arrived.add((sender, sequence))
            successes[senders[sender].name].append(at_ns)
    total_rate = sum(sender.rate for sender in senders.values())
    rates = {sender.name: sender.rate for sender in senders.values()}
    for one in measured.iteration["watchdog"]:
        name = one["name"]
        longest_ns = _longest_gap_ns([iteration.load_start_ns or 0, *successes[name]], iteration)
        true_s = longest_ns / 1e9 - 1 / rates.get(name, total_rate)
        yield Pair("outage_window", name, one["outage_window"], true_s)


def _longest_gap_ns(times: list[int], iteration: Iteration) -> int:
    spans = [(fault.inject_started_ns or 0, fault.healed_ns or 0) for fault in iteration.faults]
    return max(
        after - before
        for before, after in pairwise(times)
        if any(after >= begin and before <= end for begin, end in spans)
    )


def _latency_pairs(history: History, iteration: Iteration, clockwork: Clockwork) -> Iterator[Pair]:
    """Pair the latencies of all deliveries, in order; when each was due follows from the plan."""
    samples = judge_latency(Case(iteration, history.scenario)).samples["e2e_latency"]
    senders = {client.id: client for client in iteration.clients if client.sends}
    start_ns = iteration.load_start_ns or 0
    true = sorted(
        (at_ns - start_ns) / 1e9 - senders[sender].offset_s - sequence / senders[sender].rate
        for at_ns, _, sender, sequence in clockwork.deliveries
    )
    judged = samples.select({}).exact.tolist()
    if len(judged) == len(true):  # a cut connection takes messages with it that were written
        for judged_s, true_s in zip(judged, true, strict=True):
            yield Pair("e2e_latency", "all", judged_s, true_s)
