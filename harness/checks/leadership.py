"""Leadership: how long nobody led, and how long replicas took to catch up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.checks.base import NS_PER_S, Case, Check, Result
from harness.history.facts import Event, FaultWindow, Hit, Iteration
from harness.history.leadership import (
    Term,
    audit_began_ns,
    leader_at,
    leaderless_at_end,
    read_terms,
)
from harness.stats.labelled import Samples

NAME = "leadership"
PERIOD_S = 0.25  # servers are looked at so often
NOBODY = "none"  # the fault, where no fault explains the change
AFTERMATH_NS = 30_000_000_000  # a heal can disturb a leader as well: within an election's time

Row = tuple[float, bool, Mapping[str, str]]


def judge_leadership(case: Case) -> Result:
    """Measure elections, and how long replicas were behind after a heal.

    - `leader_election_time`, for each group (``meta``, ``stream:S``, ``consumer:S/C``) and each
      time that its leader changed: from the last hit of a fault on the leader's node that can
      have taken the lead from it, while the fault held or within 30 s of its heal, to the
      first sight of a new leader: what a node says of itself, or an advisory. A hit on routes
      with less than half of the group's other nodes leaves the leader its majority. Without
      such a hit, from when the leader itself, or all others, said that nobody leads; a change
      that no fault explains and without such a word is no election but a hand-over, and is
      left out. Where a node was hit while it led and the last word of all others before the
      audit is that nobody does, the value is a lower bound: the time from the hit to then. A
      leader whose process ended and that leads again counts as new.
    - `replica_catchup_time`, for each healed fault and each stream with more than one
      replica: from the end of healing to the first look at which its leader called every
      other replica current with a lag of 0. Never before the audit: a lower bound, the time
      until then. Looks come every 250 ms, so that a value may truly be that much less.
    """
    iteration = case.iteration
    terms = read_terms(iteration)
    elections = [
        (
            (one.to_ns - one.from_ns) / NS_PER_S,
            one.censored,
            {"fault": one.fault, "group": one.group},
        )
        for group in terms
        for one in find_elections(iteration, group, terms[group])
    ]
    resolutions = {"leader_election_time": PERIOD_S, "replica_catchup_time": PERIOD_S}
    return Result(
        samples={
            "leader_election_time": Samples.of(elections),
            "replica_catchup_time": Samples.of(_catchups(iteration, terms)),
        },
        resolutions=resolutions,
    )


@dataclass(frozen=True)
class Election:
    """A time without a leader that counts, as `leader_election_time` measures it.

    With `censored`, there still was none at its end. `fault` is ``none`` where none explains it.
    """

    group: str
    from_ns: int
    to_ns: int
    fault: str
    censored: bool = False


def find_elections(iteration: Iteration, group: str, terms: tuple[Term, ...]) -> Iterator[Election]:
    """Yield the elections of a group with these terms, in time."""
    for before, after in pairwise(terms):
        blow = _blow(iteration, group, before, after.since_ns)
        if blow is not None:
            fault, hit = blow
            yield Election(group, hit.at_ns, after.since_ns, fault.name)
        elif after.leaderless_ns is not None:
            yield Election(group, after.leaderless_ns, after.since_ns, NOBODY)
    last, end_ns = terms[-1], audit_began_ns(iteration)
    blow = _blow(iteration, group, last, end_ns)
    if blow is not None and leaderless_at_end(iteration, group, last.leader):
        fault, hit = blow
        yield Election(group, hit.at_ns, end_ns, fault.name, censored=True)


def _blow(
    iteration: Iteration, group: str, term: Term, to_ns: int
) -> tuple[FaultWindow, Hit] | None:
    """Return the last hit on a leader's node that can explain that it lost the lead."""
    members = _members(iteration, group)
    blows = [
        (hit.at_ns, fault, hit)
        for fault in iteration.faults
        for hit in fault.hits
        if hit.node == term.leader
        and term.since_ns <= hit.at_ns <= to_ns
        and _takes_majority(hit, members)
        and (fault.healed_ns is None or to_ns <= fault.healed_ns + AFTERMATH_NS)
    ]
    return max(blows, key=lambda one: one[0])[1:] if blows else None


def _takes_majority(hit: Hit, members: frozenset[str]) -> bool:
    """Tell whether it struck the node itself, or its routes with half of the members or more."""
    if hit.peers is None or not members:
        return True
    return 2 * len(members & {*hit.peers}) >= len(members)


def _members(iteration: Iteration, group: str) -> frozenset[str]:
    """Return the nodes that a group consists of; none where that is not known."""
    kind, _, name = group.partition(":")
    if kind == "meta":
        return frozenset(str(one["node"]) for one in iteration.of_kind("server.started"))
    stream = name.partition("/")[0]
    return frozenset(
        str(node)
        for event in iteration.of_kind("stream.created")
        if event["stream"] == stream
        for node in event.get("replicas") or ()
    )


def _catchups(iteration: Iteration, terms: Mapping[str, tuple[Term, ...]]) -> Iterator[Row]:
    end_ns = audit_began_ns(iteration)
    samples = iteration.of_kind("jetstream.sampled")
    for stream in _replicated(iteration):
        led = terms.get(f"stream:{stream}", ())
        for fault in iteration.faults:
            if fault.healed_ns is None:
                continue
            labels = {"fault": fault.name, "stream": stream}
            seen_ns = _first_whole(samples, stream, led, fault.healed_ns, end_ns)
            until_ns = end_ns if seen_ns is None else seen_ns
            yield (until_ns - fault.healed_ns) / NS_PER_S, seen_ns is None, labels


def _first_whole(
    samples: Sequence[Event], stream: str, led: tuple[Term, ...], from_ns: int, end_ns: int
) -> int | None:
    for event in samples:
        told = event["streams"].get(stream)
        if told is None or not from_ns <= event["from_ns"] < end_ns:
            continue
        if leader_at(led, event["at_ns"]) != event["node"]:
            continue  # it was cut off, or has lost the lead and does not know
        if told["lag"] and all(lag == 0 for lag in told["lag"].values()):
            return int(event["at_ns"])
    return None


def _replicated(iteration: Iteration) -> tuple[str, ...]:
    return tuple(
        str(event["stream"])
        for event in iteration.of_kind("stream.created")
        if int((event.get("config") or {}).get("num_replicas", 1)) > 1
    )


CHECK = Check(NAME, judge_leadership, ("leader_election_time", "replica_catchup_time"))
