"""What a fault is aimed at, read from its `target` and `count`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from harness.scenario.model import SEED, Selection
from harness.scenario.problems import suggestion
from harness.scenario.sites import CLUSTER_PREFIX

SELECTIONS: tuple[str, ...] = get_args(Selection)

META_LEADER = "meta-leader"
STREAM_LEADER = "stream-leader"
CONSUMER_LEADER = "consumer-leader"
FOLLOWER = "follower"
_LED = re.compile(
    rf"(?P<kind>{META_LEADER})|(?P<of>{STREAM_LEADER}|{FOLLOWER}):(?P<stream>[^/]+)"
    rf"|(?P<by>{CONSUMER_LEADER}):(?P<read>[^/]+)/(?P<consumer>[^/]+)"
)
LED_FORMS = (META_LEADER, "stream-leader:STREAM", "follower:STREAM", "consumer-leader:STREAM/NAME")
_ATTACHED = re.compile(r"attached:(?P<workload>[^/]+)(?:/(?P<role>[^/]+))?")


class TargetError(ValueError):
    """Say what is wrong with a target; `index` is its place in a list, if it is one."""

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True)
class Nodes:
    """`count` of these nodes; `names` are in the cluster's order or in the user's."""

    names: tuple[str, ...]
    count: Selection

    @property
    def size(self) -> int:
        """Return how many nodes that is."""
        return quota(self.count, len(self.names))


@dataclass(frozen=True)
class Attached:
    """`count` of the nodes that a workload's clients are connected to when the fault starts.

    `role` is one of the workload's roles, as in `attach`; None stands for all of them.
    """

    workload: str
    role: str | None
    count: Selection


@dataclass(frozen=True)
class Led:
    """Whoever leads something of JetStream when the fault starts, or `count` of its followers.

    Attributes:
        kind: ``meta-leader``, ``stream-leader``, ``consumer-leader`` or ``follower``.
        stream, consumer: of what; None where there is none.
    """

    kind: str
    stream: str | None
    consumer: str | None
    count: Selection

    @property
    def group(self) -> str:
        """Return what is led: ``meta``, ``stream:S`` or ``consumer:S/C``."""
        if self.stream is None:
            return "meta"
        if self.consumer is None:
            return f"stream:{self.stream}"
        return f"consumer:{self.stream}/{self.consumer}"


Target = Nodes | Attached | Led


def parse_led(target: str, count: Selection = "all") -> Led | None:
    """Return what of JetStream a target is about; None when it is about something else."""
    match = _LED.fullmatch(target)
    if match is None:
        return None
    kind = match["kind"] or match["of"] or match["by"]
    return Led(kind, match["stream"] or match["read"], match["consumer"], count)


def quota(count: Selection, size: int) -> int:
    """Return how many of `size` nodes `count` takes.

    A majority is more than half; a minority is what is left when a majority stays,
    so that of two nodes or one there is none.
    """
    if count == "one":
        return min(1, size)
    majority = size // 2 + 1
    return {"minority": size - majority, "majority": majority, "all": size}[count]


def parse_target(
    target: str | Sequence[str],
    count: Selection,
    cluster: Sequence[str],
    names: Mapping[str, Sequence[str]] | None = None,
) -> Target:
    """Return what `target` stands for in a cluster of these nodes; TargetError otherwise.

    `names` are the nodes of each cluster that has a name.
    """
    clusters = {f"{CLUSTER_PREFIX}{name}": nodes for name, nodes in (names or {}).items()}
    if not isinstance(target, str):
        return Nodes(_listed(target, cluster), count)
    if target in SELECTIONS:
        return Nodes(tuple(cluster), _selected(target, count))
    named = {**clusters, **{node: (node,) for node in cluster}, SEED: (cluster[0],)}
    if target in named:
        return Nodes(tuple(named[target]), count)
    if (led := parse_led(target, count)) is not None:
        return led
    if (match := _ATTACHED.fullmatch(target)) is not None:
        return Attached(match["workload"], match["role"], count)
    if target.partition(":")[0] in (STREAM_LEADER, CONSUMER_LEADER, FOLLOWER):
        raise TargetError(f"target {target!r} names no stream; {', '.join(LED_FORMS)}")
    known = (*cluster, *clusters, SEED, *SELECTIONS, "attached:WORKLOAD", *LED_FORMS)
    raise TargetError(f"unknown target {target!r}{suggestion(target, known)}")


def _selected(target: str, count: Selection) -> Selection:
    if count not in ("all", target):
        raise TargetError(f"target {target!r} and count {count!r} say different things")
    selected: Selection = next(one for one in get_args(Selection) if one == target)
    return selected


def _listed(target: Sequence[str], cluster: Sequence[str]) -> tuple[str, ...]:
    if not target:
        raise TargetError("expected at least one node, found an empty list")
    for index, name in enumerate(target):
        if name not in cluster:
            raise TargetError(f"unknown node {name!r}{suggestion(name, cluster)}", index)
        if name in target[:index]:
            raise TargetError(f"node {name!r} is named twice", index)
    return tuple(target)
