"""Stalls: how long consumers made no progress while messages waited for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.checks.base import NS_PER_S, Case, Check, Result
from harness.history.facts import Event
from harness.history.leadership import audit_began_ns
from harness.stats.labelled import Samples

NAME = "stalls"


def judge_stalls(case: Case) -> Result:
    """Measure the longest stall of each consumer.

    - `consumer_stalls`, for each consumer that was looked at under load: the longest time
      between two looks, of which none in between shows it otherwise, at which its counts of
      delivered and acknowledged messages were the same and messages waited to be delivered
      at every one. It counts from the end of the first look to the beginning of the last, so
      that looks which come late cannot make it longer than it was. Times without a leader
      count, as long as the counts before and after are the same. 0 where it never stood
      still; a lower bound where it still does at the last look. What waits only for its
      acknowledgement is no stall: the client has it.
    """
    end_ns = audit_began_ns(case.iteration)
    begin_ns = case.iteration.load_start_ns
    looks: dict[str, list[Event]] = {}
    for event in case.iteration.of_kind("jetstream.sampled"):
        if begin_ns is not None and begin_ns <= event["from_ns"] and event["at_ns"] < end_ns:
            for name in event.get("consumers") or ():
                looks.setdefault(name, []).append(event)
    rows = []
    for name, events in looks.items():
        spans = list(_stalls(name, sorted(events, key=lambda one: int(one["at_ns"]))))
        longest, open_ = max(spans, default=(0.0, False))
        rows.append((longest, open_, {"stream": name.partition("/")[0]}))
    return Result(samples={"consumer_stalls": Samples.of(rows)})


def _stalls(name: str, events: Iterable[Event]) -> Iterator[tuple[float, bool]]:
    """Yield each time that a consumer stood still, and whether it still did at the last look."""
    first: Event | None = None
    last: Event | None = None
    for event in events:
        told = event["consumers"][name]
        if first is not None and last is not None and _at(first, name) != _at(event, name):
            yield _span(first, last), False
            first = None
        if told["pending"] <= 0:
            if first is not None and last is not None:
                yield _span(first, last), False
            first = last = None
            continue
        first, last = first or event, event
    if first is not None and last is not None and first is not last:
        yield _span(first, last), True


def _at(event: Event, name: str) -> tuple[int, int]:
    told = event["consumers"][name]
    return int(told["consumer_seq"]), int(told["ack_floor"])


def _span(first: Event, last: Event) -> float:
    return max(0.0, (int(last["from_ns"]) - int(first["at_ns"])) / NS_PER_S)


CHECK = Check(NAME, judge_stalls, ("consumer_stalls",))
