"""All the words of a scenario: every fault, workload and metric of this release."""

from __future__ import annotations

from harness.faults import FAULTS
from harness.scenario.vocabulary import Vocabulary
from harness.workloads import WORKLOADS

VOCABULARY = Vocabulary(faults=FAULTS, workloads=WORKLOADS)
