"""Who led what and when: read from what servers said of themselves.

A node leads a group (``meta``, ``stream:S``, ``consumer:S/C``) from when it says so itself,
or an advisory does, until another one does. That others still name it, or that it is cut off
and still believes it, says nothing. Neither does what it says alone and takes back: a server
that has just been started, or thawed, calls itself the leader for an instant (2.15.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.history.facts import Event, Iteration

_ELECTED = {"stream_leader_elected": "stream", "consumer_leader_elected": "consumer"}


@dataclass(frozen=True)
class Term:
    """A node's time as leader; `polled` if only a look told, so that it began somewhat earlier.

    `leaderless_ns` is since when nobody led before it: by the word of the leader before it, or
    of all other nodes; None where there is no such word. That some have lost sight of a leader
    says nothing: they may be cut off.
    """

    leader: str
    since_ns: int
    polled: bool
    leaderless_ns: int | None = None


def read_terms(iteration: Iteration) -> Mapping[str, tuple[Term, ...]]:
    """Return the terms of each group, in their order.

    What follows the end of drain is left out: the audit moves leaders itself. A leader whose
    process ended and that leads again has a new term.
    """
    end_ns = audit_began_ns(iteration)
    kinds = ("jetstream.leader", "jetstream.advisory", "server.exited")
    terms: dict[str, list[Term]] = {}
    leaderless: dict[str, dict[str, int]] = {}
    exited: dict[str, int] = {}
    spoke: dict[str, set[str]] = {}
    told = sorted(iteration.of_kind(*kinds), key=lambda one: int(one["at_ns"]))
    told = [event for event in told if int(event["at_ns"]) < end_ns]
    idle = _idle_claims(told)
    for index, event in enumerate(told):
        at_ns = int(event["at_ns"])
        if event["kind"] == "server.exited":
            exited[str(event["node"])] = at_ns
            continue
        group = _group(event)
        if group is None or index in idle:
            continue
        known, blind = terms.setdefault(group, []), leaderless.setdefault(group, {})
        spoke.setdefault(group, set())
        if event["kind"] == "jetstream.leader":
            spoke[group].add(str(event["node"]))
            if event.get("leader") is None and not event.get("gone") and known:
                blind.setdefault(str(event["node"]), at_ns)
            elif event.get("leader") != event["node"]:
                blind.pop(str(event["node"]), None)  # it only had lost sight of the leader
        leader = event.get("leader")
        if leader is None or (event["kind"] == "jetstream.leader" and leader != event["node"]):
            continue
        last = known[-1] if known else None
        if last is None or last.leader != leader or last.since_ns < exited.get(leader, 0):
            polled = event["kind"] == "jetstream.leader"
            since_ns = None if last is None else _leaderless_ns(blind, spoke[group], last.leader)
            known.append(Term(leader, at_ns, polled, since_ns))
        blind.clear()
    return {group: tuple(found) for group, found in terms.items() if found}


def _idle_claims(told: Sequence[Event]) -> set[int]:
    """Return the places of claims to lead that their node took back and nobody else supports.

    An advisory from the claim to its end supports one, and so does another node's word that
    stands then; but not what it said before the claimant's process ended.
    """
    claims: dict[tuple[str, str], int] = {}
    words: dict[tuple[str, str], str | None] = {}
    idle: set[int] = set()
    for index, event in enumerate(told):
        node = str(event["node"])
        if event["kind"] == "server.exited":
            words = {key: None if said == node else said for key, said in words.items()}
            continue
        group, leader = _group(event), event.get("leader")
        if group is None:
            continue
        if event["kind"] == "jetstream.leader":
            words[group, node] = leader
            if leader == node:
                claims[group, node] = index
            elif (claim := claims.pop((group, node), None)) is not None:
                idle.add(claim)
        supporters = {who for (of, who), said in words.items() if (of, said) == (group, leader)}
        if event["kind"] != "jetstream.leader" or supporters - {leader}:
            claims.pop((group, str(leader)), None)
    return idle


def _leaderless_ns(blind: Mapping[str, int], spoke: set[str], leader: str) -> int | None:
    """Return since when nobody led, by who saw no leader since when and who spoke at all."""
    if leader in blind:
        return blind[leader]
    others = spoke - {leader}
    return min(blind.values()) if others and others <= blind.keys() else None


def leaderless_at_end(iteration: Iteration, group: str, leader: str) -> bool:
    """Tell whether, by the last word before the audit of all nodes but `leader`, nobody leads."""
    end_ns = audit_began_ns(iteration)
    said: dict[str, str | None] = {}
    for event in iteration.of_kind("jetstream.leader"):
        if event["group"] == group and event["at_ns"] < end_ns and event["node"] != leader:
            if event.get("gone"):
                said.pop(event["node"], None)
            else:
                said[event["node"]] = event["leader"]
    return bool(said) and all(one is None for one in said.values())


def leader_at(terms: tuple[Term, ...], at_ns: int) -> str | None:
    """Return who led at a time; None before the first term."""
    return next((one.leader for one in reversed(terms) if one.since_ns <= at_ns), None)


def audit_began_ns(iteration: Iteration) -> int:
    """Return when the observation of the run's own course ends: with drain, or its last event."""
    last_ns = max((int(event["at_ns"]) for event in iteration.events), default=0) + 1
    began = [one.start_ns for one in iteration.phases if one.name in ("audit", "collect")]
    return min([*began, last_ns])


def _group(event: Event) -> str | None:
    """Return the group that an event speaks of; None if it is about none."""
    if event["kind"] == "jetstream.leader":
        return str(event["group"])
    kind = _ELECTED.get(str(event.get("advisory")))
    if kind is None:
        return None
    stream = event.get("stream")
    return f"{kind}:{stream}" if kind == "stream" else f"{kind}:{stream}/{event.get('consumer')}"
