"""Which statistics of a metric are compared, which way is better, and what does not matter.

- Times, and attempts: the mean over what an iteration measured (its clients, say), where the
  report has the values, else their median (``p50``). Where an outage as a whole counts, also
  the worst of it: ``max`` of the clients, ``p99`` of messages (unless on both sides that is
  mostly a message that was lost: `lost` says more of it).
- Times that fall into modes: the share of values that lie beyond each mode (``share beyond
  mode 1``), and the mean inside each (``mean in mode 1``) instead of a mean over all.
- Counters of what must never happen (guarantees): the mean ``count`` of an iteration, and in how
  many iterations there was any (``any``). Every one more matters.
- Other counters: the ``ratio``, of what could have been counted, or the ``count``.

`send_lateness` is not compared: in steady it is how late the harness itself was. By how much that
may differ between the sides is what times may be off by: medians by its medians, ``p99`` by
its p99, what is measured of single events by its greatest.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from harness.report.model import Report
from harness.scenario.metrics import METRICS
from harness.scenario.thresholds import parse_selector
from harness.units import parse_rate

LAG = "send_lateness"
LAGS = (f"{LAG}{{phase:steady}}", LAG)  # the latter for reports that lack the former
TAILS = ("failover_time", "outage_window", "e2e_latency", "service_latency")
HIGHER_IS_BETTER = ("recovered",)
BEST_EFFORT = {
    "lost": "ratio",
    "duplicates": "ratio",
    "out_of_order": "ratio",
    "refused": "ratio",
    "unknown": "ratio",
    "recovered": "ratio",
    "redelivered": "ratio",
    "disconnects": "count",
}
QUIET = ("warmup", "steady", "drain")
UNEXPLAINED = ("explained", "no")

SAMPLED_S = 0.25  # how often the harness looks at servers and at streams
SAMPLED = (
    "server_detection_time",
    "cluster_detection_time",
    "leader_election_time",
    "replica_catchup_time",
    "consumer_stalls",
)
CLUSTERS = ("leader_election_time", "replica_catchup_time", "consumer_stalls", "recovery_time")
PACED = ("outage_window", "recovery_time", "time_to_first_delivery", "time_to_first_ack")
SENDERS = ("publishers", "requesters", "users")


@dataclass(frozen=True)
class Limit:
    """A shift that does not matter: a share of the baseline, and never less than `least`."""

    share: float
    least: float


TYPICAL = Limit(0.10, 0.002)
TAIL = Limit(0.20, 0.005)
CLUSTER = Limit(0.30, 0.5)  # servers throw dice for their timers of seconds
LATENCY = Limit(0.10, 0.001)
LATENCY_TAIL = Limit(0.25, 0.005)
ATTEMPTS = Limit(0.10, 0.25)
RATIO = Limit(0.10, 0.001)
QUIET_RATIO = Limit(0.10, 0.0001)  # in phases without a fault
COUNT = Limit(0.10, 0.25)
BEYOND_MODE = Limit(0.0, 0.20)
BEYOND_RARE = Limit(0.0, 0.05)  # of a mode that a side all but lacks: it is new, or it is gone
RARE = 0.05
NEVER = Limit(0.0, 0.0)


def base_of(text: str) -> str:
    """Return the metric that a name with labels is about."""
    return parse_selector(text).metric


def known(text: str) -> bool:
    """Tell whether this version of the harness knows the metric, and compares it."""
    try:
        return base_of(text) in METRICS and base_of(text) != LAG
    except ValueError:
        return False


def lag_statistic(statistic: str) -> str:
    """Return which statistic of the harness's own lateness a time may be off by."""
    return statistic if statistic in ("p50", "p99") else "max"


def is_guarantee(text: str) -> bool:
    """Tell whether one is one too many: what is acknowledged, unharmed, consistent."""
    selector = parse_selector(text)
    if METRICS[selector.metric].kind != "counter":
        return False
    if selector.metric == "disconnects":
        return UNEXPLAINED in selector.labels.items()
    return selector.metric not in BEST_EFFORT


def lower_is_better(text: str) -> bool:
    """Tell whether less of it is better; of the metrics only `recovered` is good to have."""
    return base_of(text) not in HIGHER_IS_BETTER


def limit_of(text: str, statistic: str) -> Limit:
    """Return the practical limit of a statistic, by default."""
    metric = METRICS[base_of(text)]
    if metric.kind == "counter":
        return NEVER if is_guarantee(text) else _limit_of_counter(text, statistic)
    if statistic.startswith("share"):
        return BEYOND_MODE
    if metric.unit == "attempts":
        return ATTEMPTS
    if metric.name in CLUSTERS:
        return CLUSTER
    latency = metric.name in ("e2e_latency", "service_latency")
    if statistic in ("max", "p99"):
        return LATENCY_TAIL if latency else TAIL
    return LATENCY if latency else TYPICAL


def _limit_of_counter(text: str, statistic: str) -> Limit:
    if statistic == "count":
        return COUNT
    return QUIET_RATIO if parse_selector(text).labels.get("phase") in QUIET else RATIO


def find_resolutions(report: Report) -> dict[str, float]:
    """Return by metric how far apart the looks were that found its values, in seconds.

    Others are measured to the callback, which is far below what matters.
    """
    seen = [
        notice.resolution_s
        for iteration in report.iterations
        for fault in iteration.faults
        for notice in fault.noticed
        if not notice.censored
    ]
    found = dict.fromkeys(SAMPLED, SAMPLED_S)
    for name in ("server_detection_time", "cluster_detection_time"):
        found[name] = median(seen) if seen else SAMPLED_S
    return {**found, **dict.fromkeys(PACED, _longest_period_s(report))}


def _longest_period_s(report: Report) -> float:
    """Return the time between two messages of one sender, of the slowest workload."""
    periods = [
        max(int(one.get(role) or 1) for role in SENDERS) / parse_rate(one["rate"])
        for one in report.scenario.get("workloads") or ()
        if one.get("rate")
    ]
    return max(periods, default=0.0)
