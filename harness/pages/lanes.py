"""What a timeline shows as lanes: who was in which state, from when to when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.checks.leadership import find_elections
from harness.history.connections import Connection, closed_under_load, horizon_ns, trace
from harness.history.facts import Client, FaultWindow, Iteration
from harness.history.leadership import Term, audit_began_ns, read_terms
from harness.report import model
from harness.units import human_duration

MOST_LANES = 120  # of clients; of more, those that never lost a connection share lanes


@dataclass(frozen=True)
class Segment:
    """A stretch of a lane in one state.

    Attributes:
        state: what it looks like, a key of `harness.pages.palette.LOOKS`, or a server's name.
        text: what stands in it where there is room.
        story: what it is, in words.
    """

    lane: str
    from_s: float
    to_s: float
    state: str
    text: str
    story: str


@dataclass(frozen=True)
class LaneTrack:
    """Lanes that belong together, from the top down."""

    title: str
    lanes: tuple[str, ...]
    segments: tuple[Segment, ...]


def lay_out_lanes(iteration: Iteration, told: model.Iteration) -> tuple[LaneTrack, ...]:
    """Return the tracks of phases and faults, servers, leaders and clients that have lanes."""
    tracks = (
        _track("Phases and faults", [*_phases(iteration), *_faults(iteration)]),
        _track("Servers", list(_servers(iteration))),
        _track("Leaders", list(_leaders(iteration))),
        _track("Clients: connected to", list(_clients(iteration, told))),
    )
    return tuple(track for track in tracks if track.lanes)


def _track(title: str, segments: Sequence[Segment]) -> LaneTrack:
    return LaneTrack(title, tuple(dict.fromkeys(one.lane for one in segments)), tuple(segments))


def _phases(iteration: Iteration) -> Iterator[Segment]:
    for phase in iteration.phases:
        end_ns = phase.end_ns or max(iteration.end_ns, phase.start_ns)
        begin, end = iteration.relative_s(phase.start_ns), iteration.relative_s(end_ns)
        story = f"phase {phase.name}: {begin:.2f} s to {end:.2f} s"
        yield Segment("phase", begin, end, "phase", phase.name, story)


def _faults(iteration: Iteration) -> Iterator[Segment]:
    for window in iteration.faults:
        for part, begin, end in fault_parts(iteration, window):
            story = (
                f"{window.name} ({window.action} on {', '.join(window.targets)}): {part}, "
                f"{begin:.3f} s to {end:.3f} s ({human_duration(end - begin)})"
            )
            text = f"{window.action} {', '.join(window.targets)}" if part == "hold" else part
            yield Segment(window.name, begin, end, part, text, story)


def fault_parts(iteration: Iteration, window: FaultWindow) -> Iterator[tuple[str, float, float]]:
    """Yield the parts of a fault that it came to, as (``inject`` ..., from, to) in seconds."""
    edges = [
        window.inject_started_ns,
        window.injected_ns,
        window.heal_started_ns,
        window.healed_ns,
    ]
    for part, begin, end in zip(("inject", "hold", "heal"), edges, edges[1:], strict=False):
        if begin is None:
            return
        until = max(iteration.end_ns, begin) if end is None else end
        yield part, iteration.relative_s(begin), iteration.relative_s(until)
        if end is None:
            return


def _servers(iteration: Iteration) -> Iterator[Segment]:
    started = iteration.of_kind("server.started", "server.exited")
    struck = {hit.node for fault in iteration.faults for hit in fault.hits}
    described = [str(one["name"]) for one in iteration.of_kind("server.described")]
    sampled = [str(one["node"]) for one in iteration.of_kind("server.sampled")]
    nodes = dict.fromkeys([*(str(one["node"]) for one in started), *described, *sampled])
    for node in sorted(nodes):
        yield from _lives(iteration, node)
        if node in struck:
            yield from _strikes(iteration, node)


def _lives(iteration: Iteration, node: str) -> Iterator[Segment]:
    """Yield when a server ran and when it did not."""
    kinds = ("server.started", "server.exited", "server.unreachable", "server.reachable")
    events = [one for one in iteration.of_kind(*kinds) if one["node"] == node]
    end_ns = max(iteration.end_ns, *(int(one["at_ns"]) for one in events), iteration.start_ns)
    up_kinds = ("server.started", "server.reachable")
    spans: list[tuple[int, bool, str]] = []
    if not events or events[0]["kind"] != "server.started":
        spans.append((iteration.start_ns, True, ""))
    for event in events:
        up = event["kind"] in up_kinds
        detail = str(event.get("version") or "") if up else f"exit code {event.get('returncode')}"
        spans.append((int(event["at_ns"]), up, detail))
    for (begin_ns, up, detail), (until_ns, _, _) in pairwise([*spans, (end_ns, False, "")]):
        begin, end = iteration.relative_s(begin_ns), iteration.relative_s(until_ns)
        state, text = ("up", detail) if up else ("down", "down")
        story = f"{node} {'ran' if up else 'was down'}: {begin:.3f} s to {end:.3f} s ({detail})"
        yield Segment(node, begin, end, state, text, story)


def _strikes(iteration: Iteration, node: str) -> Iterator[Segment]:
    """Yield when a server was under a fault that did not end its process at once."""
    exits = [int(one["at_ns"]) for one in iteration.of_kind("server.exited") if one["node"] == node]
    for fault in iteration.faults:
        for hit in fault.hits:
            if hit.node != node:
                continue
            end_ns = fault.undo_ns(hit) or iteration.end_ns
            end_ns = min([end_ns, *(one for one in exits if one >= hit.at_ns)])
            begin, end = iteration.relative_s(hit.at_ns), iteration.relative_s(end_ns)
            story = f"{node}: {fault.name} ({hit.how or fault.action}), {begin:.3f} to {end:.3f} s"
            text = f"{fault.action}: {', '.join(hit.peers)}" if hit.peers else fault.action
            yield Segment(node, begin, end, "struck", text, story)


def _leaders(iteration: Iteration) -> Iterator[Segment]:
    """Yield who led, less what `leader_election_time` counts as a time without a leader."""
    end_ns = audit_began_ns(iteration)
    for group, terms in sorted(read_terms(iteration).items()):
        elections = list(find_elections(iteration, group, terms))
        began_ns = {one.to_ns: one.from_ns for one in elections}
        ends = [*(term.since_ns for term in terms[1:]), end_ns]
        for term, to_ns in zip(terms, ends, strict=True):
            yield _term(iteration, group, term, began_ns.get(to_ns, to_ns))
        for one in elections:
            begin, end = iteration.relative_s(one.from_ns), iteration.relative_s(one.to_ns)
            story = f"{group}: no leader that counts, {begin:.3f} s to {end:.3f} s ({one.fault})"
            yield Segment(group, begin, end, "nobody", "nobody", story)


def _term(iteration: Iteration, group: str, term: Term, until_ns: int) -> Segment:
    begin, end = iteration.relative_s(term.since_ns), iteration.relative_s(until_ns)
    told = " (first seen by a look every 250 ms)" if term.polled else ""
    story = f"{group}: led by {term.leader}, {begin:.3f} s to {end:.3f} s{told}"
    return Segment(group, begin, end, term.leader, term.leader, story)


def _clients(iteration: Iteration, told: model.Iteration) -> Iterator[Segment]:
    stories = {one.name: one for one in told.clients}
    lost = {name: [*one.disconnects] for name, one in stories.items()}
    shared: dict[tuple[str, str, str | None], list[Segment]] = {}
    for client in iteration.clients:
        segments = list(_client(iteration, client, lost.get(client.name, [])))
        quiet = len(segments) == 1 and segments[0].state not in ("gave-up", "disconnected")
        if len(iteration.clients) > MOST_LANES and quiet:
            key = (client.workload, client.role, segments[0].state)
            shared.setdefault(key, []).append(segments[0])
        else:
            yield from segments
    for (workload, role, server), group in shared.items():
        lane = f"{len(group)} {workload} {role}s"
        begin, end = min(one.from_s for one in group), max(one.to_s for one in group)
        story = f"{lane}, connected to {server} throughout"
        yield Segment(f"{lane} on {server}", begin, end, str(server), str(server), story)


def _client(
    iteration: Iteration, client: Client, lost: Sequence[model.Disconnect]
) -> Iterator[Segment]:
    end_ns = horizon_ns(iteration, client)
    closed_ns = closed_under_load(iteration).get(client.name)
    for one in trace(iteration, client):
        server = one.server or "?"
        begin, until = iteration.relative_s(one.since_ns), min(one.until_ns, end_ns)
        story = f"{client.name} connected to {server} from {begin:.3f} s"
        yield Segment(client.name, begin, iteration.relative_s(until), server, server, story)
        if one.broke_ns is not None:
            yield _broken(iteration, client, one, end_ns)
    if closed_ns is not None:
        begin = iteration.relative_s(closed_ns)
        story = f"{client.name} gave up for good at {begin:.3f} s"
        yield Segment(client.name, begin, iteration.relative_s(end_ns), "gave-up", "gave up", story)
    for gone in lost:
        if not gone.told:
            end = min(gone.at + (gone.failover_time or 0.0), iteration.relative_s(end_ns))
            what = "noticed nothing" if gone.sign is None else "gave no sign; traffic stopped"
            story = f"{client.name} {what} of {gone.fault} on {gone.server} from {gone.at:.3f} s"
            yield Segment(client.name, gone.at, end, "silent", "no sign", story)


def _broken(iteration: Iteration, client: Client, one: Connection, end_ns: int) -> Segment:
    assert one.broke_ns is not None
    back_ns = end_ns if one.back_ns is None else one.back_ns
    begin, end = iteration.relative_s(one.broke_ns), iteration.relative_s(back_ns)
    how = (
        f"back on {one.back_to} after {human_duration(end - begin)}, {one.attempts} attempt(s)"
        if one.back_ns is not None
        else f"not back after {human_duration(end - begin)}, {one.attempts} attempt(s)"
    )
    story = f"{client.name} lost {one.server} at {begin:.3f} s (sign: {one.sign}); {how}"
    return Segment(client.name, begin, end, "disconnected", str(one.sign), story)
