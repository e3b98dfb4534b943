"""The metrics that thresholds may name: pure data, computed by `harness.checks`.

The precise definition of each metric is the docstring of the check that computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["counter", "distribution"]
Unit = Literal["messages", "s", "attempts"]
Need = Literal["fault", "core", "request"]

COUNTER_STATISTICS = ("count", "ratio")
DISTRIBUTION_STATISTICS = ("n", "censored", "min", "p50", "p90", "p95", "p99", "max")
PHASES = ("warmup", "steady", "fault", "recovery", "drain")


@dataclass(frozen=True)
class Metric:
    """A metric's name, kind, unit and the labels it can be selected by.

    Counters have the statistics `count` and `ratio` (of the messages that could have
    been counted); distributions have n, censored, min, p50, p90, p95, p99 and max.
    `needs` is what a scenario must have for the metric to exist at all: a fault, or a
    workload of that kind.
    """

    name: str
    kind: Kind
    unit: Unit
    labels: tuple[str, ...]
    summary: str
    needs: tuple[Need, ...] = ()

    @property
    def statistics(self) -> tuple[str, ...]:
        """Return the statistics a threshold may use."""
        return COUNTER_STATISTICS if self.kind == "counter" else DISTRIBUTION_STATISTICS


LABEL_VALUES: Mapping[str, tuple[str, ...] | None] = MappingProxyType(
    {
        "phase": PHASES,
        "state": ("connected", "disconnected"),
        "role": ("publisher", "subscriber", "requester", "responder"),
        "workload": None,  # the scenario's workload names
        "fault": None,  # the scenario's fault names
    }
)

_MESSAGE = ("phase", "workload")
_CLIENT = ("fault", "workload", "role")
_UNDER_FAULT: tuple[Need, ...] = ("fault",)

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric(
                "lost",
                "counter",
                "messages",
                ("phase", "workload", "state"),
                "accepted, never delivered to a confirmed subscription",
                ("core",),
            ),
            Metric("duplicates", "counter", "messages", _MESSAGE, "delivered more than once"),
            Metric(
                "out_of_order",
                "counter",
                "messages",
                _MESSAGE,
                "delivered after a later message of the same publisher",
            ),
            Metric(
                "corrupted", "counter", "messages", ("workload",), "delivered with a wrong checksum"
            ),
            Metric(
                "unexpected", "counter", "messages", ("workload",), "delivered, never attempted"
            ),
            Metric("refused", "counter", "messages", _MESSAGE, "a definite error at the sender"),
            Metric(
                "unknown", "counter", "messages", _MESSAGE, "outcome open: timed out or cut off"
            ),
            Metric(
                "recovered", "counter", "messages", _MESSAGE, "outcome unknown, found delivered"
            ),
            Metric(
                "detection_time",
                "distribution",
                "s",
                _CLIENT,
                "injection to the first sign at the client",
                _UNDER_FAULT,
            ),
            Metric(
                "reconnect_latency",
                "distribution",
                "s",
                _CLIENT,
                "first sign to reconnected",
                _UNDER_FAULT,
            ),
            Metric(
                "failover_time",
                "distribution",
                "s",
                _CLIENT,
                "injection to reconnected",
                _UNDER_FAULT,
            ),
            Metric(
                "reconnect_attempts",
                "distribution",
                "attempts",
                _CLIENT,
                "connection attempts of one reconnect",
                _UNDER_FAULT,
            ),
            Metric(
                "time_to_first_delivery",
                "distribution",
                "s",
                ("fault", "workload"),
                "injection to the first delivery of a message attempted under the fault",
                _UNDER_FAULT,
            ),
            Metric(
                "time_to_first_ack",
                "distribution",
                "s",
                ("fault", "workload"),
                "injection to the first reply to a request attempted under the fault",
                ("fault", "request"),
            ),
            Metric(
                "outage_window",
                "distribution",
                "s",
                ("workload", "role"),
                "longest gap between successes that overlaps a fault, less one period",
                _UNDER_FAULT,
            ),
            Metric(
                "recovery_time",
                "distribution",
                "s",
                ("fault", "workload"),
                "heal done to the first 2 s at 99 % success",
                _UNDER_FAULT,
            ),
            Metric("e2e_latency", "distribution", "s", _MESSAGE, "intended send to delivery"),
            Metric(
                "service_latency",
                "distribution",
                "s",
                _MESSAGE,
                "attempted send to delivery, or to the reply",
            ),
            Metric(
                "send_lateness", "distribution", "s", _MESSAGE, "intended send to attempted send"
            ),
        )
    }
)
