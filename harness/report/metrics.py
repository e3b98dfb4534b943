"""The metrics of a report: of the run as a whole and of each iteration."""

from __future__ import annotations

from collections import Counter
from typing import Any

from harness.checks.judgement import Judgement
from harness.history.model import History
from harness.scenario.metrics import DISTRIBUTION_STATISTICS, METRICS
from harness.scenario.schedule import resolve_labels
from harness.scenario.thresholds import parse_selector
from harness.stats.distribution import Distribution
from harness.stats.labelled import Count, Wanted

MAX_VALUES = 256
ALWAYS = ("send_lateness{phase:steady}",)  # the harness's own: no fault or client delays it there


def name_metrics(history: History, judgement: Judgement) -> dict[str, tuple[str, Wanted]]:
    """Return every metric by its name, and those with labels as thresholds spell them."""
    named: dict[str, tuple[str, Wanted]] = {
        name: (name, {}) for name in METRICS if name in judgement.metrics
    }
    names = (one.fault_names(history.scenario) for one in history.iterations)
    faults: frozenset[str] = frozenset().union(*names)
    for text in (*ALWAYS, *(history.scenario.get("thresholds") or {})):
        try:
            selector = parse_selector(text)
        except ValueError:
            continue  # the check of thresholds has said so
        if selector.labels and selector.metric in judgement.metrics:
            named[text] = (selector.metric, resolve_labels(selector.labels, faults))
    return named


def summarise(name: str, found: Distribution | Count) -> dict[str, Any]:
    """Return the fields of a metric."""
    unit = METRICS[name].unit
    if isinstance(found, Count):
        ratio = found.count / found.of if found.of else None
        return {
            "kind": "counter",
            "unit": unit,
            "n": found.of,
            "count": found.count,
            "ratio": ratio,
        }
    summary: dict[str, Any] = {
        "kind": "distribution",
        "unit": unit,
        "n": found.n,
        "censored": found.censored,
    }
    bounds = []
    for statistic in DISTRIBUTION_STATISTICS:
        interval = found.statistic(statistic)
        if statistic in summary or interval is None:
            continue
        summary[statistic] = interval.lower
        if not interval.exact:
            bounds.append(statistic)
    return {**summary, "lower_bounds": bounds}


def list_values(found: Distribution | Count) -> dict[str, list[float]]:
    """Return the values of a distribution that has few, the censored ones apart."""
    if isinstance(found, Count) or found.n > MAX_VALUES:
        return {}
    exact = Counter(found.exact.tolist())
    lower = Counter(found.bounds.tolist()) - exact
    return {"values": found.exact.tolist(), "lower_values": sorted(lower.elements())}
