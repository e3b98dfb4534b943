"""What else differs between the sides, or weakens what a comparison says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.comparison.runs import Run
from harness.stats.sequential import Trials, exceeds

Sides = tuple[Sequence[Run], Sequence[Run]]

BESIDE = ("name", "description", "seed", "repeat", "first_iteration", "thresholds")
ESSENTIAL = ("workloads", "faults", "phases", "streams")
NAMES = ("baseline", "candidate")
CANDIDATE_HAS_MORE = 0.10  # chances below which more iterations that do not count are uneven
BASELINE_HAS_MORE = 0.025


def find_essential(sides: Sides) -> list[str]:
    """Return the parts of the scenario without which a comparison means nothing, that differ."""
    return [key for key in ESSENTIAL if len(_variants(sides, _part(key))) > 1]


def write_notes(sides: Sides) -> Iterator[str]:
    """Yield what differs beside the release, and what does not count; a sentence each."""
    yield from _tell_contents(sides)
    yield from _tell_places(sides)
    yield from _tell_order(sides)
    yield from _tell_seeds(sides)
    yield from _tell_left_out(sides)
    for name, side in zip(NAMES, sides, strict=True):
        disturbed = sum(run.disturbed for run in side)
        if disturbed:
            yield (
                f"{name}: {disturbed} notes of late senders or a disturbed harness in its reports; "
                "those iterations count, and how late the harness sent is part of the noise floor"
            )


def _tell_contents(sides: Sides) -> Iterator[str]:
    keys = dict.fromkeys(key for side in sides for run in side for key in run.scenario)
    differing = [
        key
        for key in keys
        if key not in (*BESIDE, *ESSENTIAL, "cluster", "client")
        and len(_variants(sides, _part(key))) > 1
    ]
    essential = find_essential(sides)
    if essential:
        yield f"the scenarios differ in {', '.join(essential)}: nothing of it can be compared"
    if differing:
        yield f"the scenarios differ in {', '.join(differing)}"
    if len(_variants(sides, _part("thresholds"))) > 1:
        yield "the thresholds differ, which a comparison does not look at"
    clusters = _variants(sides, lambda run: _without_release(run.scenario.get("cluster")))
    if len(clusters) > 1:
        yield "the clusters differ in more than their release: a change may be due to that"


def _tell_places(sides: Sides) -> Iterator[str]:
    facts: dict[str, Callable[[Run], Any]] = {
        "backends": lambda run: (run.backend, run.clients_via),
        "hosts": lambda run: run.host,
        "clients": lambda run: run.client,
        "client options": lambda run: run.client_options,
        "versions of nats-harness": lambda run: run.nats_harness_version,
    }
    for what, read in facts.items():
        if len(_variants(sides, read)) > 1:
            told = _tell_options(sides) if what == "client options" else _tell_each(sides, read)
            yield f"the {what} differ{told}: a change may be due to that"


def _tell_each(sides: Sides, read: Callable[[Run], Any]) -> str:
    each = []
    for side in sides:
        values = dict.fromkeys(_show(read(run)) for run in side)
        each.append(", ".join(values))
    if each[0] == each[1]:
        return f" within the sides ({each[0]})"
    return f" ({each[0]} in the baseline, {each[1]} in the candidate)"


def _tell_options(sides: Sides) -> str:
    options = [run.client_options for side in sides for run in side]
    keys = dict.fromkeys(key for one in options for key in one)
    differing = [key for key in keys if len({_show(one.get(key)) for one in options}) > 1]
    return f" in {', '.join(differing)}"


def _tell_order(sides: Sides) -> Iterator[str]:
    first, second = (sorted(run.started_at for run in side) for side in sides)
    if first[-1] < second[0] or second[-1] < first[0]:
        yield (
            "the sides ran one after the other: what else changed on the machine between them "
            "looks like a change; runs of both in turn would not have that"
        )


def _tell_seeds(sides: Sides) -> Iterator[str]:
    baseline, candidate = (
        Counter(one.seed for run in side for one in run.iterations if one.trust != "none")
        for side in sides
    )
    if baseline == candidate:
        yield "both sides threw the same dice (seeds), iteration by iteration"
    elif baseline.keys() & candidate.keys():
        yield "some of the seeds are the same on both sides, some differ"
    else:
        yield "the seeds differ between the sides: what the dice decide may differ as well"
    for name, seeds in zip(NAMES, (baseline, candidate), strict=True):
        if len(seeds) == 1 and seeds.total() > 1:
            yield (
                f"{name}: all {seeds.total()} iterations threw the same dice, so what another "
                "seed would give is not known"
            )


def _tell_left_out(sides: Sides) -> Iterator[str]:
    for name, side in zip(NAMES, sides, strict=True):
        iterations = [one for run in side for one in run.iterations]
        cut = [one for one in iterations if one.trust == "none"]
        doubtful = [one for one in iterations if one.trust == "guarantees"]
        if cut:
            yield (
                f"{name}: {len(cut)} of {len(iterations)} iterations did not run to their end and "
                f"do not count ({cut[0].why})"
            )
        if doubtful:
            yield (
                f"{name}: {len(doubtful)} of {len(iterations)} iterations were inconclusive: their "
                "times and rates do not count, a broken guarantee does "
                f"({doubtful[0].why})"
            )
    if left_out_unevenly(sides):
        yield (
            "the sides differ in how many iterations do not count: what those would have shown "
            "is missing, so nothing can be said to be without regression"
        )


def left_out_unevenly(sides: Sides) -> bool:
    """Tell whether the sides differ in how many iterations count, and hardly by chance (Fisher).

    More that do not count may hide what they would have shown, so chance has to be likelier
    where it is the candidate's that are more. And any more of the candidate's that did not live
    to their end are uneven: what ended them is not known.
    """
    cut = [sum(one.trust == "none" for run in side for one in run.iterations) for side in sides]
    if cut[1] > cut[0]:
        return True
    baseline, candidate = (_count_left_out(side) for side in sides)
    return (
        exceeds(baseline, candidate) <= CANDIDATE_HAS_MORE
        or exceeds(candidate, baseline) <= BASELINE_HAS_MORE
    )


def _count_left_out(side: Sequence[Run]) -> Trials:
    """Return in how many iterations something does not count, as failures."""
    left_out = [one.trust != "all" for run in side for one in run.iterations]
    return Trials(sum(left_out), len(left_out) - sum(left_out))


def _variants(sides: Sides, read: Callable[[Run], Any]) -> set[str]:
    return {_show(read(run)) for side in sides for run in side}


def _part(key: str) -> Callable[[Run], Any]:
    return lambda run: run.scenario.get(key)


def _without_release(cluster: Any) -> Any:
    if not isinstance(cluster, Mapping):
        return cluster
    return {key: value for key, value in cluster.items() if key not in ("version", "image")}


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_show(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return " ".join(_show(one) for one in value if one is not None)
    return str(value)
