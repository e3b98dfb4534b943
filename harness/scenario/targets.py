"""What a fault is aimed at, read from its `target` and `count`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from harness.scenario.model import SEED_NODE, Selection
from harness.scenario.problems import suggestion

SEED = "seed"
SELECTIONS: tuple[str, ...] = get_args(Selection)

_NEEDS_STREAMS = re.compile(r"meta-leader|(?:stream-leader|consumer-leader|follower)(?::.*)?")
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


Target = Nodes | Attached


def quota(count: Selection, size: int) -> int:
    """Return how many of `size` nodes `count` takes.

    A majority is more than half; a minority is what is left when a majority stays,
    so that of two nodes or one there is none.
    """
    if count == "one":
        return min(1, size)
    majority = size // 2 + 1
    return {"minority": size - majority, "majority": majority, "all": size}[count]


def parse_target(target: str | Sequence[str], count: Selection, cluster: Sequence[str]) -> Target:
    """Return what `target` stands for in a cluster of these nodes; TargetError otherwise."""
    if not isinstance(target, str):
        return Nodes(_listed(target, cluster), count)
    if target == SEED:
        return Nodes((SEED_NODE,), count)
    if target in SELECTIONS:
        return Nodes(tuple(cluster), _selected(target, count))
    if target in cluster:
        return Nodes((target,), count)
    if _NEEDS_STREAMS.fullmatch(target) is not None:
        raise TargetError(f"target {target!r} needs streams, which a scenario cannot have yet")
    if (match := _ATTACHED.fullmatch(target)) is not None:
        return Attached(match["workload"], match["role"], count)
    known = (*cluster, SEED, *SELECTIONS, "attached:WORKLOAD")
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
