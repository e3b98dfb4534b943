"""Faults that strike fakes, which have of a cluster and its nodes only what the fault asks for."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Any, cast

from harness.clock import now_ns
from harness.cluster.protocols import Cluster, EventSink, Node
from harness.faults.base import Fault, Strike
from harness.injection import Claim, Injection


def strike_on(nodes: Iterable[object], action: str, record: EventSink, **more: Any) -> Strike:
    """Return a strike of the fault f."""
    return Strike("f", action, cast("tuple[Node, ...]", tuple(nodes)), record, **more)


def strike_with(
    fault: Fault, strike: Strike, cluster: object = None
) -> AbstractAsyncContextManager[None]:
    """Return what strikes on entry and heals on exit; many faults ask nothing of a cluster."""
    return fault.active(cast("Cluster", cluster), strike)


def injection_on(
    cluster: object, fault: Fault, *, claims: dict[str, Claim] | None = None, zero_ns: int = 0
) -> Injection:
    """Return an injection from `zero_ns`, else from now on, while no client is attached."""
    return Injection(
        fault,
        cast("Cluster", cluster),
        lambda _workload, _role: frozenset(),
        Random(1),
        zero_ns or now_ns(),
        None,
        {} if claims is None else claims,
    )
