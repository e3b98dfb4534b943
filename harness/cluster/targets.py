"""Turn a fault's target into the nodes it strikes, at the moment it strikes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

from harness.errors import FaultError
from harness.scenario.model import SEED_NODE, FaultStep, Selection

ATTACHED = "attached:"
SELECTIONS: tuple[Selection, ...] = ("one", "minority", "majority", "all")


class Attachments(Protocol):
    """Tell which nodes a workload's clients are connected to right now."""

    def __call__(self, workload: str, role: str | None) -> frozenset[str]:
        """Return node names; `role` is a workload's role such as ``publishers``, or None."""


def resolve(
    step: FaultStep, nodes: Sequence[str], attachments: Attachments, random: Random
) -> tuple[str, ...]:
    """Return the names of the nodes that `step` strikes, in the cluster's or the list's order.

    Args:
        step: the fault as written.
        nodes: all node names, the seed first.
        attachments: where clients are connected now, for ``attached:WORKLOAD[/ROLE]``.
        random: the fault's own dice, for ``one``, ``minority`` and ``majority``.

    Raises:
        FaultError: the target matches no node, such as when nobody is attached.
    """
    candidates, count = _candidates(step, nodes, attachments)
    chosen = choose(candidates, count, random)
    if not chosen:
        raise FaultError(f"target {step.target!r} matches no node")
    return chosen


def choose(candidates: Sequence[str], count: Selection, random: Random) -> tuple[str, ...]:
    """Return one, the largest minority, the smallest majority or all of the candidates."""
    sizes = {
        "one": min(1, len(candidates)),
        "minority": max(0, (len(candidates) - 1) // 2),
        "majority": len(candidates) // 2 + 1 if candidates else 0,
        "all": len(candidates),
    }
    drawn = set(random.sample(list(candidates), sizes[count]))
    return tuple(name for name in candidates if name in drawn)


def _candidates(
    step: FaultStep, nodes: Sequence[str], attachments: Attachments
) -> tuple[tuple[str, ...], Selection]:
    target = step.target
    if not isinstance(target, str):
        return tuple(target), step.count
    if target in SELECTIONS:
        return tuple(nodes), target
    if target == "seed":
        return (SEED_NODE,), step.count
    if target.startswith(ATTACHED):
        workload, _, role = target.removeprefix(ATTACHED).partition("/")
        attached = attachments(workload, role or None)
        return tuple(name for name in nodes if name in attached), step.count
    return (target,), step.count
