"""Count a stream's messages one by one, slowly and plainly: the reference for the judges."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from naive import phase_of
from stream_story import Consumed, StreamStory

from harness.history.tables import Integrity, Outcome

Key = tuple[int, int]


def count_streams(story: StreamStory) -> dict[str, Counter[tuple[str, ...]]]:
    """Return every counter by its labels' values: (phase, workload), and what else it has.

    For streams that remove nothing by themselves, whose replicas were all read.
    """
    totals: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for stream in {name for name, _ in story.stored}:
        _Count(story, stream, totals).run()
    return totals


class _Count:
    def __init__(
        self, story: StreamStory, stream: str, totals: dict[str, Counter[tuple[str, ...]]]
    ) -> None:
        self.story, self.stream, self.totals = story, stream, totals
        mine = [one for one in story.clients if one.get("stream") == stream]
        self.publishers = [one["id"] for one in mine if one["role"] == "publisher"]
        self.workload = mine[0]["workload"]
        self.sent = {
            (one.client, one.sequence): one for one in story.sent if one.client in self.publishers
        }
        self.place = {
            (one.client, one.sequence): one.place
            for one in story.acks
            if one.client in self.publishers
        }
        self.replicas = {
            node: rows for (name, node), rows in story.stored.items() if name == stream
        }
        self.consumers: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for one in mine:
            if one["role"] == "consumer":
                self.consumers[one["consumer"]].append(one)
        self.held: set[Key] = set()

    def run(self) -> None:
        self.held = {key for rows in self.replicas.values() for key in self.places_in(rows)}
        self.count_loss()
        self.count_copies()
        self.count_disorder()
        self.count_conflicts()
        self.count_misfits()
        for clients in self.consumers.values():
            self.count_consumer({one["id"] for one in clients})

    def label(self, key: Key) -> tuple[str, str]:
        return phase_of(self.story, self.sent[key]), self.workload

    def places_in(self, rows: list[Any]) -> dict[Key, list[int]]:
        found: dict[Key, list[int]] = defaultdict(list)
        for one in rows:
            if one.integrity == Integrity.INTACT and (one.sender, one.sequence) in self.sent:
                found[one.sender, one.sequence].append(one.place)
        return found

    def acked(self) -> list[Key]:
        keys = [key for key, one in self.sent.items() if one.outcome == Outcome.ACKED]
        return sorted(keys, key=lambda key: self.place[key])

    def count_loss(self) -> None:
        order, lost = self.acked(), set()
        for node, rows in self.replicas.items():
            has = self.places_in(rows)
            for key in order:
                if key not in has:
                    lost.add(key)
                    self.totals["replica_lost"][node, self.stream] += 1
        for at, key in enumerate(order):
            if key in lost:
                part = "middle"
                if all(other in lost for other in order[at:]):
                    part = "postfix"
                if all(other in lost for other in order[:at]):
                    part = "prefix"
                self.totals["stream_lost"][(*self.label(key), part)] += 1

    def count_copies(self) -> None:
        copies: Counter[Key] = Counter()
        for rows in self.replicas.values():
            for key, places in self.places_in(rows).items():
                copies[key] = max(copies[key], len(places) - 1)
        for key, extra in copies.items():
            self.totals["duplicates"][self.label(key)] += extra

    def count_disorder(self) -> None:
        late = set()
        for rows in self.replicas.values():
            first = {key: min(places) for key, places in self.places_in(rows).items()}
            late |= self.backwards(first)
        for key in late:
            self.totals["out_of_order"][self.label(key)] += 1

    def backwards(self, place: dict[Key, int]) -> set[Key]:
        found = set()
        for key, at in place.items():
            for other, there in place.items():
                before = self.sent[other]
                if (
                    other[0] == key[0]
                    and before.outcome == Outcome.ACKED
                    and before.finished is not None
                    and before.finished < self.sent[key].attempted
                    and there > at
                ):
                    found.add(key)
        return found

    def count_conflicts(self) -> None:
        wrong = {self.place[key] for key in self.backwards(self.place)}
        told: dict[int, set[Key]] = defaultdict(set)
        for key, place in self.place.items():
            told[place].add(key)
        wrong |= {place for place, keys in told.items() if len(keys) > 1}
        everywhere = [self.places_in(rows) for rows in self.replicas.values()]
        for key, sent in self.sent.items():
            holders = [one[key] for one in everywhere if key in one]
            if 0 < len(holders) < len(everywhere) and sent.outcome != Outcome.ACKED:
                wrong |= {place for places in holders for place in places}
        claims: dict[int, set[Key]] = defaultdict(set)
        for rows in self.replicas.values():
            for key, places in self.places_in(rows).items():
                for place in places:
                    claims[place].add(key)
                if key in self.place and self.place[key] not in places:
                    wrong.add(self.place[key])
        for place, keys in claims.items():
            if len(keys | told.get(place, set())) > 1:
                wrong.add(place)
        self.totals["sequence_conflicts"][(self.stream,)] += len(wrong)

    def count_misfits(self) -> None:
        corrupted, unexpected = set(), set()
        for rows in self.replicas.values():
            for one in rows:
                key = (one.sender, one.sequence)
                if one.integrity == Integrity.CORRUPTED:
                    corrupted.add(one.place)
                elif (
                    one.integrity == Integrity.FOREIGN
                    or key not in self.sent
                    or self.sent[key].outcome == Outcome.REFUSED
                ):
                    unexpected.add(one.place)
        self.totals["corrupted"][(self.workload,)] += len(corrupted)
        self.totals["unexpected"][(self.workload,)] += len(unexpected)
        taken = {
            (one.sender, one.sequence)
            for one in self.story.consumed
            if one.integrity == Integrity.INTACT
        }
        for key, sent in self.sent.items():
            if sent.outcome == Outcome.UNKNOWN and (key in self.held or key in taken):
                self.totals["recovered"][self.label(key)] += 1

    def count_consumer(self, clients: set[int]) -> None:
        mine = sorted(
            (one for one in self.story.consumed if one.client in clients),
            key=lambda one: one.received,
        )
        got: set[Key] = set()
        seen: set[tuple[int, Key]] = set()
        highest: Counter[tuple[int, int, int]] = Counter()
        begun = 0
        for one in mine:
            key = (one.sender, one.sequence)
            if self.is_misfit(one):
                continue
            got.add(key)
            if one.delivery > 1:
                self.totals["redelivered"][self.label(key)] += 1
                continue
            if (one.place, key) in seen:
                self.totals["duplicates"][self.label(key)] += 1
                continue
            begun = max(begun, sum(place == one.place for place, _ in seen))
            seen.add((one.place, key))
            pair = (one.client, one.sender, begun)
            self.totals["out_of_order"][self.label(key)] += one.place < highest[pair]
            highest[pair] = max(highest[pair], one.place)
        for key in self.held - got:
            self.totals["consumer_lost"][self.label(key)] += 1

    def is_misfit(self, one: Consumed) -> bool:
        if one.integrity == Integrity.CORRUPTED:
            self.totals["corrupted"][(self.workload,)] += 1
            return True
        if one.integrity == Integrity.FOREIGN or (one.sender, one.sequence) not in self.sent:
            self.totals["unexpected"][(self.workload,)] += 1
            return True
        return False
