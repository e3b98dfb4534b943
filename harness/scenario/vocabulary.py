"""The names a scenario may use, handed to the loader by whoever composes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.scenario.metrics import METRICS, Metric
from harness.scenario.model import FaultStep, WorkloadSpec


@dataclass(frozen=True)
class Vocabulary:
    """The actions, workload kinds and metrics that exist, by name."""

    faults: Mapping[str, type[FaultStep]]
    workloads: Mapping[str, type[WorkloadSpec]]
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
