"""Thresholds: each condition of the scenario against what was measured.

A statistic is an interval: what was measured, widened by what was not seen (censored
values, messages that may be late, missing rows) and by the lag of the harness itself. A
condition that holds for every value in the interval passes, one that holds for none
fails, and anything between is inconclusive. What fails after the harness itself stood still
is inconclusive where that may be why.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from harness.checks.base import Finding, Verdict
from harness.scenario.metrics import METRICS, PHASES, UNMOVED, Metric
from harness.scenario.schedule import resolve_labels
from harness.scenario.thresholds import (
    Selector,
    Threshold,
    format_value,
    parse_selector,
    parse_threshold,
)
from harness.stats.distribution import Distribution
from harness.stats.interval import Interval
from harness.stats.labelled import Count, PooledSamples, PooledTally

NAME = "thresholds"
FROM_EVENTS = frozenset(
    {
        "detection_time",
        "reconnect_latency",
        "failover_time",
        "reconnect_attempts",
        "disconnects",
        "server_detection_time",
        "cluster_detection_time",
    }
)
UNENDED = "let the run go to its end"
ROWS_MISSING = "see the finding of the check ledger, and the logs in workers/, for missing rows"
UNSEEN = "see the finding of the check {} for what could not be looked at, and why"
NOT_COMPUTED = "see the other findings for why the metric could not be computed"
NEVER = "nothing of this kind happened; see whether the scenario can produce it"
RECONNECT = "a client gave up for good: allow its clients more reconnect attempts"
WAIT = "give recovery and drain more time, so that every value is seen to its end"
DRAIN = "give drain more time, so that nothing that is absent may only be late"
LATE = "the harness itself was up to {:.3f} s late"
LATE_OR_LOST = "{} of them may only have been late"
REMOVED_OR_LOST = "{} of them may have been removed as the stream's limits or retention allow"
REMOVING = "use a stream without limits where loss is to be seen"
REMOVABLE = frozenset({"stream_lost", "replica_lost"})
SAMPLED = "servers are looked at in turns: it may be up to {:.3f} s less"
ROOM = (
    "no machine tells it closer than the {:.3f} s between two looks: keep the limit farther than "
    "that from what you expect"
)
QUIETER = "run it again on a quieter machine, or with more messages"
# Why a count may be a lower bound though no row is missing: what was not seen, by which check.
_REPLICA = ("not every replica could be audited", "stream-audit or buckets")
_KEY = ("the state of a key was not seen or not decided", "kv")
_OBJECT = ("an object was not looked for", "objects")
_UNSEEN: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("stream_lost", "replica_lost", "health_lied"), _REPLICA),
        **dict.fromkeys(("sequence_conflicts", "duplicates", "out_of_order"), _REPLICA),
        **dict.fromkeys(("corrupted", "unexpected", "recovered"), _REPLICA),
        **dict.fromkeys(("kv_lost", "kv_violations", "watch_gaps"), _KEY),
        **dict.fromkeys(("object_lost", "object_corrupted"), _OBJECT),
        "disconnects": ("a client did not tell of all its connections", "ledger"),
    }
)
STOOD_STILL = "the harness stood still at or before that time, which may be why"
ANYTHING = Interval(-math.inf, math.inf)
# A late loop can make these shorter as well as longer: their beginning is stamped by it.
LAG_SHORTENS = frozenset({"reconnect_latency", "outage_window"})


@dataclass(frozen=True)
class Evidence:
    """What the checks measured, and how far it can be relied on.

    Attributes:
        metrics: by metric name, pooled over the iterations that are judged.
        whole: no message column has rows missing.
        ended: no iteration was cut short, so nothing more could have been counted.
        lags: the greatest lag of a worker in seconds, by phase, and under fault.
        gave_up: a client gave up for good under load, so waiting longer shows no more.
        faults: the names of all faults; a label may mean several occurrences of one step.
        resolutions: by the name of a metric that is sampled, how much less than what was
            measured a value may truly be, in seconds. Workers' lags have no part in it.
        stalled: the phases that the harness may have spoilt by standing still.
    """

    metrics: Mapping[str, PooledSamples | PooledTally]
    whole: bool
    ended: bool
    lags: Mapping[str, float]
    gave_up: bool = False
    faults: frozenset[str] = frozenset()
    resolutions: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    stalled: frozenset[str] = frozenset()

    def select(self, selector: Selector) -> Distribution | Count | None:
        """Return what was measured of what a selector names; None when its metric was not."""
        values = self.metrics.get(selector.metric)
        if values is None:
            return None
        return values.select(resolve_labels(selector.labels, self.faults))


@dataclass(frozen=True)
class _Measured:
    """A statistic: its value as measured, where the true one lies, what they rest on."""

    value: float
    interval: Interval
    n: int
    censored: int | None = None
    at_least: bool = False
    remarks: tuple[str, ...] = ()
    advice: str | None = None


def parse_thresholds(
    scenario: Mapping[str, Any],
) -> Iterator[tuple[str, str, Metric, Threshold] | Finding]:
    """Yield (metric with labels, condition, metric, threshold), or why one cannot be judged."""
    for selector_text, conditions in (scenario.get("thresholds") or {}).items():
        for condition in conditions if isinstance(conditions, list) else [conditions]:
            try:
                selector = parse_selector(selector_text)
                metric = METRICS[selector.metric]
                threshold = parse_threshold(selector, condition, metric)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                yield Finding(
                    NAME,
                    Verdict.INCONCLUSIVE,
                    f"{selector_text}: {condition}: this version cannot judge it: {error}",
                    metric=str(selector_text),
                    condition=str(condition),
                )
            else:
                yield str(selector_text), condition, metric, threshold


def judge_thresholds(scenario: Mapping[str, Any], evidence: Evidence) -> tuple[Finding, ...]:
    """Judge every condition; one finding each, in the scenario's order."""
    findings = []
    for parsed in parse_thresholds(scenario):
        if isinstance(parsed, Finding):
            findings.append(parsed)
        else:
            findings.append(_judge(*parsed, evidence))
    return tuple(findings)


def _judge(
    text: str, condition: str, metric: Metric, threshold: Threshold, evidence: Evidence
) -> Finding:
    measured = _measure(metric, threshold, evidence)
    if measured is None:
        return Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"{text}: {condition}: there is no value to judge",
            _advise_nothing(metric, evidence),
            metric=text,
            statistic=threshold.statistic,
            condition=condition,
            limit=threshold.limit,
            n=0,
        )
    verdict = decide(threshold, measured.interval)
    if verdict is Verdict.FAIL and _is_spoilt(metric, threshold, evidence):
        verdict = Verdict.INCONCLUSIVE
        measured = replace(measured, remarks=(*measured.remarks, STOOD_STILL), advice=QUIETER)
    shown = format_value(measured.value, threshold.statistic, metric)
    bound = "at least " if measured.at_least else ""
    remarks = "".join(f"; {remark}" for remark in measured.remarks)
    return Finding(
        NAME,
        verdict,
        f"{text}: {condition}: {bound}{shown} (n={measured.n}){remarks}",
        measured.advice if verdict is Verdict.INCONCLUSIVE else None,
        metric=text,
        statistic=threshold.statistic,
        condition=condition,
        value=measured.value,
        limit=threshold.limit,
        margin=threshold.margin(measured.value) + 0.0,  # never minus zero
        n=measured.n,
        censored=measured.censored,
        at_least=measured.at_least,
    )


def decide(threshold: Threshold, interval: Interval) -> Verdict:
    """Return pass when the condition holds everywhere in the interval, fail when nowhere.

    Every operator is monotone or an equality, so looking at the ends is enough: an
    equality holds everywhere only in an interval that is its limit and nothing else, and
    somewhere when the limit lies within.
    """
    if threshold.operator == "==":
        if interval.exact:
            return Verdict.PASS if threshold.holds(interval.lower) else Verdict.FAIL
        inside = interval.lower <= threshold.limit <= interval.upper
        return Verdict.INCONCLUSIVE if inside else Verdict.FAIL
    ends = [threshold.holds(interval.lower), threshold.holds(interval.upper)]
    if all(ends):
        return Verdict.PASS
    return Verdict.INCONCLUSIVE if any(ends) else Verdict.FAIL


def _measure(metric: Metric, threshold: Threshold, evidence: Evidence) -> _Measured | None:
    found = evidence.select(threshold.selector)
    if found is None:
        return None
    if isinstance(found, Count):
        return _measure_count(threshold, found, evidence)
    return _measure_distribution(metric, threshold, found, evidence)


def _measure_count(threshold: Threshold, found: Count, evidence: Evidence) -> _Measured | None:
    if found.seen == 0:
        return None
    remarks, ended = [], evidence.ended
    removable = threshold.selector.metric in REMOVABLE
    waiting = (REMOVING if removable else DRAIN) if found.uncertain else None
    unseen = _UNSEEN.get(threshold.selector.metric) if evidence.whole else None
    if found.at_least and unseen is not None and evidence.ended:
        advice = UNSEEN.format(unseen[1])
    else:
        advice = _advise(evidence, rows_missing=found.at_least, waiting=waiting)
    open_ended = found.at_least or not ended
    if found.at_least:
        cause = "rows are missing" if unseen is None else unseen[0]
        remarks.append(f"{cause}, so this is a lower bound")
    if not ended:
        remarks.append("the run was cut short")
    if found.uncertain:
        doubt = REMOVED_OR_LOST if removable else LATE_OR_LOST
        remarks.append(doubt.format(found.uncertain))
    interval = Interval(found.count - found.uncertain, math.inf if open_ended else found.count)
    value: float = found.count
    if threshold.statistic == "ratio":
        if found.of == 0:
            # Nothing was at risk: no share of it can be too great, and none is great enough.
            if threshold.operator not in ("<", "<=") or open_ended:
                return None
            return _Measured(0.0, Interval.exactly(0.0), 0, remarks=("none was at risk",))
        interval, value = interval.scaled(found.of), value / found.of
    return _Measured(value, interval, found.of, None, open_ended, tuple(remarks), advice)


def _measure_distribution(
    metric: Metric, threshold: Threshold, found: Distribution, evidence: Evidence
) -> _Measured | None:
    measured = found.statistic(threshold.statistic)
    if measured is None:
        return None
    interval, remarks, otherwise = measured, [], QUIETER
    if found.censored:
        remarks.append(f"{found.censored} value(s) are lower bounds")
    if metric.unit == "s" and threshold.statistic not in ("n", "censored"):
        if (resolution_s := evidence.resolutions.get(metric.name)) is not None:
            interval, doubt = measured.widened(resolution_s, 0.0), SAMPLED.format(resolution_s)
            otherwise = ROOM.format(resolution_s)
        else:
            lag_s = _lag(metric, threshold.selector.labels, evidence.lags)
            interval = measured.widened(lag_s, lag_s if metric.name in LAG_SHORTENS else 0.0)
            doubt = LATE.format(lag_s)
        if decide(threshold, interval) is not decide(threshold, measured):
            remarks.append(doubt)
    if not evidence.whole and metric.name not in FROM_EVENTS:
        remarks.append("message columns have rows missing")
        interval = ANYTHING
    if not evidence.ended:
        remarks.append("the run was cut short")
        interval = ANYTHING
    advice = _advise(
        evidence,
        rows_missing=not evidence.whole and metric.name not in FROM_EVENTS,
        waiting=WAIT if found.censored else None,
        otherwise=otherwise,
    )
    return _Measured(
        measured.lower,
        interval,
        found.n,
        found.censored,
        math.isinf(measured.upper),
        tuple(remarks),
        advice,
    )


def _lag(metric: Metric, labels: Mapping[str, str], lags: Mapping[str, float]) -> float:
    """Return the greatest lag in the time that a metric looks at."""
    if "phase" in labels:
        return lags.get(labels["phase"], 0.0)
    if "phase" in metric.labels:
        return max((lag_s for name, lag_s in lags.items() if name in PHASES), default=0.0)
    return lags.get("under fault", 0.0)


def _is_spoilt(metric: Metric, threshold: Threshold, evidence: Evidence) -> bool:
    """Tell whether what a condition looks at may have come of the harness standing still."""
    if metric.name in UNMOVED:
        return False
    phase = threshold.selector.labels.get("phase")
    return bool(evidence.stalled) if phase is None else phase in evidence.stalled


def _advise(
    evidence: Evidence, *, rows_missing: bool, waiting: str | None, otherwise: str = QUIETER
) -> str:
    """Return what to do if the condition is inconclusive, by what the doubt comes from.

    Args:
        evidence: what the condition was judged on.
        rows_missing: the value rests on message columns that are not whole.
        waiting: what to wait for longer; None when nothing was seen without its end.
        otherwise: what to do when it is none of these.
    """
    if not evidence.ended:
        return UNENDED
    if rows_missing:
        return ROWS_MISSING
    if waiting is not None:
        return RECONNECT if evidence.gave_up else waiting
    return otherwise


def _advise_nothing(metric: Metric, evidence: Evidence) -> str:
    """Return what to do when there is no value at all."""
    values = evidence.metrics.get(metric.name)
    if not evidence.ended:
        return UNENDED
    if values is None or not values.parts:
        return NOT_COMPUTED
    return NEVER if evidence.whole or metric.name in FROM_EVENTS else ROWS_MISSING


def find_measured(scenario: Mapping[str, Any], evidence: Evidence) -> tuple[bool, ...]:
    """Tell for every condition, in the scenario's order, whether there is any value for it."""
    found = []
    for parsed in parse_thresholds(scenario):
        one = None if isinstance(parsed, Finding) else evidence.select(parsed[3].selector)
        if one is None:
            found.append(False)
        else:
            found.append(one.seen > 0 if isinstance(one, Count) else one.n > 0)
    return tuple(found)
