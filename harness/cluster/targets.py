"""Turn a fault's target into the nodes it strikes, at the moment it strikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

from harness.cluster.jetstream import Views
from harness.errors import FaultError
from harness.scenario.model import SEED, FaultStep, Selection
from harness.scenario.sites import CLUSTER_PREFIX
from harness.scenario.targets import FOLLOWER, Led, parse_led

ATTACHED = "attached:"
SELECTIONS: tuple[Selection, ...] = ("one", "minority", "majority", "all")


class Attachments(Protocol):
    """Tell which nodes a workload's clients are connected to right now."""

    def __call__(self, workload: str, role: str | None) -> frozenset[str]:
        """Return node names; `role` is a workload's role such as ``publishers``, or None."""


def resolve(  # noqa: PLR0917 - the last two are rarely given
    step: FaultStep,
    nodes: Sequence[str],
    attachments: Attachments,
    random: Random,
    names: Mapping[str, Sequence[str]] | None = None,
    views: Views | None = None,
) -> tuple[str, ...]:
    """Return the names of the nodes that `step` strikes, in the cluster's or the list's order.

    Args:
        step: the fault as written.
        nodes: all node names, the seed first.
        attachments: where clients are connected now, for ``attached:WORKLOAD[/ROLE]``.
        random: the fault's own dice, for ``one``, ``minority`` and ``majority``.
        names: the nodes of each cluster that has a name, for ``cluster:NAME``.
        views: what the servers say of JetStream now, for who leads and who follows.

    Raises:
        FaultError: the target matches no node, such as when nobody is attached or leads.
    """
    if (led := led_by(step)) is not None:
        return _resolve_led(led, nodes, random, views)
    candidates, count = _candidates(step, nodes, attachments, names or {})
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


def led_by(step: FaultStep) -> Led | None:
    """Return what of JetStream a step is aimed at; None when it is something else."""
    return parse_led(step.target, step.count) if isinstance(step.target, str) else None


def _resolve_led(
    led: Led, nodes: Sequence[str], random: Random, views: Views | None
) -> tuple[str, ...]:
    if views is None:
        raise FaultError("nobody observes JetStream here, so nobody knows who leads")
    if led.kind == FOLLOWER:
        followers = views.followers(led.stream or "")
        chosen = choose([node for node in nodes if node in followers], led.count, random)
        if not chosen:
            raise FaultError(f"{led.group} has no follower now that could be struck")
        return chosen
    leader = views.leader(led.group)
    if leader is None or leader not in nodes:
        raise FaultError(f"{led.group} has no leader now")
    return (leader,)


def _candidates(
    step: FaultStep,
    nodes: Sequence[str],
    attachments: Attachments,
    names: Mapping[str, Sequence[str]],
) -> tuple[tuple[str, ...], Selection]:
    target = step.target
    if not isinstance(target, str):
        return tuple(target), step.count
    if target in SELECTIONS:
        return tuple(nodes), target
    if target == SEED:
        return (nodes[0],), step.count
    if target.startswith(ATTACHED):
        workload, _, role = target.removeprefix(ATTACHED).partition("/")
        attached = attachments(workload, role or None)
        return tuple(name for name in nodes if name in attached), step.count
    if target.startswith(CLUSTER_PREFIX):
        return tuple(names.get(target.removeprefix(CLUSTER_PREFIX), ())), step.count
    return (target,), step.count
