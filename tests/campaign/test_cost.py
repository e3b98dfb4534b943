from __future__ import annotations

import pytest

from harness.campaign.cost import bearable_cores, cores_of
from harness.scenario.load import load, loads
from harness.shipped import shipped_scenarios
from harness.vocabulary import VOCABULARY

HEAVY = """
name: heavy
workloads: [{name: hello, kind: core, publishers: 2, subscribers: 10, rate: 20000/s}]
"""
QUEUE = HEAVY.replace("rate", "queue: q, rate")


@pytest.mark.parametrize(
    "name", [name for name, path in shipped_scenarios().items() if path.parent.name == "release"]
)
def test_several_runs_of_the_release_suite_fit_on_two_cores(name: str) -> None:
    assert cores_of(load(shipped_scenarios()[name], VOCABULARY).scenario) <= 0.8 * 2 / 4


def test_what_floods_the_machine_runs_alone() -> None:
    cost = cores_of(loads(HEAVY, "heavy.yaml", VOCABULARY).scenario)
    assert cost > bearable_cores()
    assert cores_of(loads(QUEUE, "heavy.yaml", VOCABULARY).scenario) < cost / 4
