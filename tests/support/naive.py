"""Count message by message, slowly and plainly: the reference for the judges' columns."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from story import Delivered, Sent, Story, ns

from harness.history.tables import Integrity, Outcome

FOREVER = 2**63


def phase_of(story: Story, one: Sent) -> str:
    due = ns(one.intended)
    found = "warmup"
    for phase in ("warmup", "steady", "fault", "recovery", "drain"):
        if phase in story.phases and due >= ns(story.phases[phase]):
            found = phase
    return found


def destinations(story: Story) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for client in story.clients:
        if client["role"] in ("subscriber", "responder"):
            queue = client["queue"]
            found[client["name"] if queue is None else f"{client['workload']}/{queue}"].append(
                client
            )
    return found


def confirmed_at(story: Story, members: list[dict[str, Any]], sender: int) -> int:
    names = {client["id"]: client["name"] for client in story.clients}
    times = [
        event["at_ns"]
        for event in story.all_events()
        if event["kind"] == "subscription.confirmed"
        and event["client"] in {one["name"] for one in members}
        and names[sender] in event["senders"]
    ]
    return min(times, default=FOREVER)


def closed_at(story: Story, members: list[dict[str, Any]]) -> int:
    latest = 0
    for member in members:
        times = [
            event["at_ns"]
            for event in story.all_events()
            if event["kind"] == "client.closed" and event["client"] == member["name"]
        ]
        latest = max(latest, min(times, default=FOREVER))
    return latest


def count(story: Story) -> dict[str, Counter[tuple[str, str]]]:
    """Return every counter by (phase, workload); corrupted and unexpected have no phase."""
    totals: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    sent = {(one.client, one.sequence): one for one in story.sent}
    workload = {client["id"]: client["workload"] for client in story.clients}
    for members in destinations(story).values():
        _count_destination(story, members, sent, totals)
    anywhere = {
        (one.sender, one.sequence) for one in story.delivered if one.integrity == Integrity.INTACT
    }
    for one in story.sent:
        key = (phase_of(story, one), workload[one.client])
        totals["refused"][key] += one.outcome == Outcome.REFUSED
        totals["unknown"][key] += one.outcome == Outcome.UNKNOWN
        found = (one.client, one.sequence) in anywhere
        totals["recovered"][key] += one.outcome == Outcome.UNKNOWN and found
    return totals


def _count_destination(
    story: Story,
    members: list[dict[str, Any]],
    sent: dict[tuple[int, int], Sent],
    totals: dict[str, Counter[tuple[str, str]]],
) -> None:
    name = members[0]["workload"]
    ids = {one["id"] for one in members}
    mine = [one for one in story.delivered if one.client in ids]
    mine.sort(key=lambda one: ns(one.received))
    seen: set[tuple[int, int]] = set()
    highest: dict[tuple[int, int], int] = {}
    for one in mine:
        key = (one.sender, one.sequence)
        if _is_misfit(one, sent, totals, name):
            continue
        label = (phase_of(story, sent[key]), name)
        if key in seen:
            totals["duplicates"][label] += 1
        else:
            seen.add(key)
            late = one.sequence < highest.get((one.client, one.sender), -1)
            totals["out_of_order"][label] += late
        pair = (one.client, one.sender)
        highest[pair] = max(highest.get(pair, -1), one.sequence)
    closed = closed_at(story, members)
    since = {sender: confirmed_at(story, members, sender) for sender in members[0]["senders"]}
    for key, attempt in sent.items():
        if key[0] not in since or attempt.outcome != Outcome.ACCEPTED or key in seen:
            continue
        if since[key[0]] <= ns(attempt.attempted) < closed:
            totals["lost"][(phase_of(story, attempt), name)] += 1


def _is_misfit(
    one: Delivered,
    sent: dict[tuple[int, int], Sent],
    totals: dict[str, Counter[tuple[str, str]]],
    name: str,
) -> bool:
    if one.integrity == Integrity.CORRUPTED:
        totals["corrupted"]["all", name] += 1
        return True
    if one.integrity == Integrity.FOREIGN or (one.sender, one.sequence) not in sent:
        totals["unexpected"]["all", name] += 1
        return True
    return False
