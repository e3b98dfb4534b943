"""Judge the keys of a bucket, and show the smallest history of what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.checks.linearizability.operations import (
    NEVER,
    Anomaly,
    Kind,
    Operation,
    Outcome,
    Violation,
    by_key,
)
from harness.checks.linearizability.ordered import Findings, Frontier, examine
from harness.checks.linearizability.search import LIMIT, explain
from harness.checks.linearizability.shrink import shrink

# To make a history small takes many searches: each may be that many times shorter.
PATIENCE = 20
TRIALS = 200


@dataclass(frozen=True)
class Judged:
    """What is wrong with a bucket.

    Attributes:
        keys: how many were judged.
        operations: how many had an effect or may have had one, or saw something.
        violations: all, by key, in the order in which they were found.
        undecided: keys whose search was given up.
        stale_relaxed: gets from any replica that were too old.
    """

    keys: int
    operations: int
    violations: tuple[Violation, ...]
    undecided: tuple[str, ...]
    stale_relaxed: int

    def count(self, *anomalies: Anomaly) -> int:
        """Return how many violations are of these kinds."""
        return sum(one.anomaly in anomalies for one in self.violations)

    def keys_with(self, *anomalies: Anomaly) -> frozenset[str]:
        """Return the keys with violations of these kinds."""
        return frozenset(one.key for one in self.violations if one.anomaly in anomalies)


def judge_bucket(
    operations: Sequence[Operation],
    limit: int = LIMIT,
    *,
    stored: Sequence[Operation] = (),
    one_copy: bool = False,
) -> Judged:
    """Judge every key by itself, then revisions across keys: they number one stream.

    Args:
        operations: of the clients.
        limit: after how many steps the search for an order is given up.
        stored: what replicas hold in the end.
        one_copy: the bucket has one replica; see `examine`.
    """
    keys = by_key([*operations, *stored])
    violations: list[Violation] = []
    undecided: list[str] = []
    stale_relaxed = 0
    for key, own in keys.items():
        findings = examine(own, one_copy=one_copy)
        violations += findings.violations
        stale_relaxed += findings.stale_relaxed
        if findings.open and not findings.violations:
            explained = explain(own, limit)
            if explained is None:
                undecided.append(key)
            elif not explained:
                violations.append(_unexplained(own, limit))
    violations += _check_across(operations)
    return Judged(
        keys=len(keys),
        operations=sum(one.reads or one.writes for one in operations),
        violations=tuple(violations),
        undecided=tuple(undecided),
        stale_relaxed=stale_relaxed,
    )


def smallest(
    violation: Violation, operations: Sequence[Operation], *, one_copy: bool = False
) -> list[Operation]:
    """Return the smallest history that shows the anomaly of a violation.

    Args:
        violation: found by `judge_bucket`.
        operations: all that were judged, also what was stored.
        one_copy: as they were judged.
    """
    shown = list(violation.operations)
    shows_all = violation.anomaly in (Anomaly.UNEXPLAINED, Anomaly.MISSING)
    if shows_all or len({one.key for one in shown}) > 1:
        return shown
    numbers = {one.number for one in shown} | {one.value for one in shown}
    expected = {one.expected for one in shown} - {0}
    shown = [
        one
        for one in operations
        if one.key == violation.key
        and (one.number in numbers or (one.writes and one.revision in expected))
    ]

    def fails(part: Sequence[Operation]) -> bool:
        found = examine(part, one_copy=one_copy).violations
        return any(one.anomaly is violation.anomaly for one in found)

    return shrink(shown, fails)


def _unexplained(operations: Sequence[Operation], limit: int) -> Violation:
    def fails(part: Sequence[Operation]) -> bool:
        return _fails(examine(part), part, limit // PATIENCE)

    kept = sorted(shrink(operations, fails, TRIALS), key=lambda one: one.invoked_ns)
    return Violation(Anomaly.UNEXPLAINED, tuple(kept))


def _fails(findings: Findings, part: Sequence[Operation], limit: int) -> bool:
    return bool(findings.violations) or (findings.open and explain(part, limit) is False)


def _check_across(operations: Sequence[Operation]) -> list[Violation]:
    """Check writes that were told their revision against those of other keys.

    What happens within one key is that key's own matter, and left to it.
    """
    told = [
        one
        for one in operations
        if one.revision
        and one.outcome is Outcome.OK
        and (one.kind is not Kind.GET or not one.relaxed)
    ]
    writes = [one for one in told if one.kind is not Kind.GET]
    found = []
    held = Counter(one.revision for one in writes)
    holders: dict[int, Operation] = {}
    for one in writes:
        if held[one.revision] > 1:
            first = holders.setdefault(one.revision, one)
            if first.key != one.key:
                found.append(Violation(Anomaly.REUSED, (first, one)))
    frontier = Frontier([(one.ends_ns, one.revision, one) for one in told if one.ends_ns != NEVER])
    for one in writes:
        later = frontier.later_than(one.revision, one.invoked_ns)
        if later is not None and later.key != one.key:
            found.append(Violation(Anomaly.BACKWARDS, (later, one)))
    return found
