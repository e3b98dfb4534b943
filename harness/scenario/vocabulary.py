"""The names a scenario may use, handed to the loader by whoever composes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.scenario.metrics import METRICS, Metric
from harness.scenario.model import FaultStep, Step, WorkloadSpec
from harness.scenario.random_step import RANDOM, RandomStep


@dataclass(frozen=True)
class Vocabulary:
    """The actions, workload kinds and metrics that exist, by name."""

    faults: Mapping[str, type[FaultStep]]
    workloads: Mapping[str, type[WorkloadSpec]]
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)

    @property
    def steps(self) -> Mapping[str, type[Step]]:
        """Return what may stand in `faults`: the actions, and the draw among them."""
        return {**self.faults, RANDOM: RandomStep} if self.faults else {}
