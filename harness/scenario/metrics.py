"""The metrics that thresholds may name: pure data, computed by `harness.checks`.

The precise definition of each metric is the docstring of the check that computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["counter", "distribution"]
Unit = Literal[
    "messages",
    "s",
    "attempts",
    "connections",
    "operations",
    "keys",
    "objects",
    "replicas",
    "sequences",
]
Need = Literal[
    "fault",
    "core",
    "request",
    "rate",
    "jetstream",
    "kv",
    "object",
    "subscription",
    "answer",
    "streams",
]

COUNTER_STATISTICS = ("count", "ratio")
DISTRIBUTION_STATISTICS = ("n", "censored", "min", "p50", "p90", "p95", "p99", "max")
PHASES = ("warmup", "steady", "fault", "recovery", "drain")
# Counters whose ratio may be above 100%: copies, what nobody sent, what several replicas or
# operations may each have counted. Of all others what is counted is a part of the chances.
MORE_THAN_CHANCES = frozenset(
    {
        "duplicates",
        "corrupted",
        "unexpected",
        "recovered",
        "kv_lost",
        "kv_conflicts",
        "kv_denied",
        "watch_gaps",
        "object_corrupted",
    }
)
# Counters that nothing the harness does, or fails to do in time, can move: what servers kept
# or gave out against what they had said.
UNMOVED = frozenset(
    {
        "corrupted",
        "unexpected",
        "stream_lost",
        "replica_lost",
        "consumer_lost",
        "sequence_conflicts",
        "health_lied",
        "kv_lost",
        "kv_conflicts",
        "kv_denied",
        "kv_stale_reads",
        "kv_violations",
        "watch_gaps",
        "object_lost",
        "object_corrupted",
        "object_misread",
    }
)


@dataclass(frozen=True)
class Metric:
    """A metric's name, kind, unit and the labels it can be selected by.

    Counters have the statistics `count` and `ratio` (of the messages or connections that
    could have been counted); distributions have n, censored, min, p50, p90, p95, p99 and max.
    `needs` is what a scenario must have for the metric to exist at all: a fault, a
    workload of that kind, or one whose messages are due at a rate, that has subscriptions,
    or whose messages are answered.
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
        "explained": ("yes", "no"),
        "role": (
            "publisher",
            "subscriber",
            "requester",
            "responder",
            "consumer",
            "user",
            "watcher",
        ),
        "workload": None,  # the scenario's workload names
        "fault": None,  # the scenario's fault names
        "server": None,  # the scenario's nodes
        "stream": None,  # the scenario's streams
        "part": ("prefix", "middle", "postfix"),
        "group": None,  # meta, and the streams and consumers that there will be
        "what": ("route-gone", "connection-closed"),
        "guarantee": ("writes", "reads"),
        "read": ("leader", "replica"),
    }
)

_MESSAGE = ("phase", "workload")
_CLIENT = ("fault", "workload", "role")
_STREAM = ("workload", "stream")
_UNDER_FAULT: tuple[Need, ...] = ("fault",)
_STEADILY: tuple[Need, ...] = ("fault", "rate")
_SUBSCRIBED: tuple[Need, ...] = ("subscription",)
_JETSTREAM: tuple[Need, ...] = ("jetstream",)

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
            Metric(
                "duplicates",
                "counter",
                "messages",
                _MESSAGE,
                "delivered more than once",
            ),
            Metric(
                "out_of_order",
                "counter",
                "messages",
                _MESSAGE,
                "delivered after a later message of the same publisher",
            ),
            Metric(
                "corrupted",
                "counter",
                "messages",
                ("workload",),
                "delivered with a wrong checksum",
            ),
            Metric(
                "unexpected",
                "counter",
                "messages",
                ("workload",),
                "delivered, never attempted",
            ),
            Metric("refused", "counter", "messages", _MESSAGE, "a definite error at the sender"),
            Metric(
                "unknown", "counter", "messages", _MESSAGE, "outcome open: timed out or cut off"
            ),
            Metric(
                "recovered",
                "counter",
                "messages",
                _MESSAGE,
                "outcome unknown, found delivered",
            ),
            Metric(
                "stream_lost",
                "counter",
                "messages",
                ("phase", *_STREAM, "part"),
                "acknowledged, absent from a replica of the stream",
                _JETSTREAM,
            ),
            Metric(
                "replica_lost",
                "counter",
                "messages",
                ("server", "stream"),
                "acknowledged, absent from a replica, once for each replica",
                _JETSTREAM,
            ),
            Metric(
                "consumer_lost",
                "counter",
                "messages",
                ("phase", *_STREAM),
                "in the stream, not delivered by a consumer by the end of drain",
                _JETSTREAM,
            ),
            Metric(
                "redelivered",
                "counter",
                "messages",
                ("phase", *_STREAM),
                "deliveries that the server called a redelivery",
                _JETSTREAM,
            ),
            Metric(
                "sequence_conflicts",
                "counter",
                "sequences",
                ("stream",),
                "stream sequences that two messages claim, or a message besides its own",
                _JETSTREAM,
            ),
            Metric(
                "health_lied",
                "counter",
                "replicas",
                ("server", "stream"),
                "called healthy by the server, damaged by the audit",
                _JETSTREAM,
            ),
            Metric(
                "disconnects",
                "counter",
                "connections",
                ("explained", "workload", "role"),
                "connections that a client lost, whether or not a fault explains it",
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
                "server_detection_time",
                "distribution",
                "s",
                ("fault", "server", "what"),
                "injection to a server's own view showing what it lost",
                _UNDER_FAULT,
            ),
            Metric(
                "cluster_detection_time",
                "distribution",
                "s",
                ("fault",),
                "injection to the last surviving server's view showing the routes gone",
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
                ("fault", "rate", "subscription"),
            ),
            Metric(
                "time_to_first_ack",
                "distribution",
                "s",
                ("fault", "workload"),
                "injection to the first answer to a message attempted under the fault",
                ("fault", "answer"),
            ),
            Metric(
                "outage_window",
                "distribution",
                "s",
                ("workload", "role"),
                "longest gap between successes that overlaps a fault, less one period",
                _STEADILY,
            ),
            Metric(
                "recovery_time",
                "distribution",
                "s",
                ("fault", "workload"),
                "heal done to the first 2 s at 99 % success",
                _STEADILY,
            ),
            Metric(
                "leader_election_time",
                "distribution",
                "s",
                ("fault", "group"),
                "the fault that took a leader away to a new leader seen",
                ("streams",),
            ),
            Metric(
                "replica_catchup_time",
                "distribution",
                "s",
                ("fault", "stream"),
                "heal done to every replica current, by the leader's view",
                ("fault", "streams"),
            ),
            Metric(
                "consumer_stalls",
                "distribution",
                "s",
                ("stream",),
                "longest time of a consumer without progress while messages waited",
                ("streams",),
            ),
            Metric(
                "e2e_latency",
                "distribution",
                "s",
                _MESSAGE,
                "intended send to delivery, or to the answer",
            ),
            Metric(
                "service_latency",
                "distribution",
                "s",
                _MESSAGE,
                "attempted send to delivery, or to the answer",
            ),
            Metric(
                "kv_lost",
                "counter",
                "operations",
                ("workload",),
                "acknowledged or seen writes that vanished",
                ("kv",),
            ),
            Metric(
                "kv_conflicts",
                "counter",
                "operations",
                ("workload",),
                "updates that succeeded though the expected revision was not current",
                ("kv",),
            ),
            Metric(
                "kv_denied",
                "counter",
                "operations",
                ("workload",),
                "writes that took effect though their client was told that they had not",
                ("kv",),
            ),
            Metric(
                "kv_stale_reads",
                "counter",
                "operations",
                ("workload", "read"),
                "gets that saw what had been replaced before they began",
                ("kv",),
            ),
            Metric(
                "kv_violations",
                "counter",
                "keys",
                ("workload", "guarantee"),
                "keys whose history no single copy could have had",
                ("kv",),
            ),
            Metric(
                "watch_gaps",
                "counter",
                "keys",
                ("workload",),
                "keys of which a watcher heard backwards, or not the last state",
                ("kv",),
            ),
            Metric(
                "object_lost",
                "counter",
                "objects",
                ("workload",),
                "objects that were put and could not be got in the end",
                ("object",),
            ),
            Metric(
                "object_corrupted",
                "counter",
                "objects",
                ("workload",),
                "objects that have another content or digest than was put",
                ("object",),
            ),
            Metric(
                "object_misread",
                "counter",
                "operations",
                ("workload",),
                "gets whose digest did not hold, of whatever cause",
                ("object",),
            ),
            Metric(
                "send_lateness", "distribution", "s", _MESSAGE, "intended send to attempted send"
            ),
        )
    }
)
