from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from command_line import Harness

from harness.scenario.load import load
from harness.shipped import shipped_scenarios
from harness.vocabulary import VOCABULARY

FAILOVER = {
    "control",
    "queue-group-failover",
    "request-reply-failover",
    "rolling-restart",
    "seed-failover",
    "seed-kill",
    "seed-lame-duck",
    "seed-pause",
    "two-of-three-lost",
}
SHAPED = ("lossy-link", "narrow-link", "slow-link")
SCHEMA = Path(__file__).parents[2] / "reports" / "schema" / "report-v1.json"


def test_the_shipped_scenarios_are_the_promised_ones() -> None:
    assert set(shipped_scenarios()) >= FAILOVER


@pytest.mark.parametrize("name", sorted(shipped_scenarios()))
def test_a_shipped_scenario_loads_without_warnings_and_teaches(name: str) -> None:
    path = shipped_scenarios()[name]
    loaded = load(path, VOCABULARY)
    assert loaded.warnings == ()
    assert loaded.scenario.name == name
    assert loaded.scenario.thresholds
    assert path.read_text(encoding="utf-8").startswith("# What you learn: ")


@pytest.mark.parametrize("name", sorted(FAILOVER))
def test_a_shipped_scenario_passes_on_the_bundled_server(name: str, harness: Harness) -> None:
    result = harness.run("run", name)
    assert result.returncode == 0, result.stdout + result.stderr
    report = harness.report()
    assert report["verdict"] == "pass"
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert str(harness.reports()[0]) in result.stdout.replace("\n", "")


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPED)
def test_a_scenario_with_shaped_links_passes_on_the_bundled_server(
    name: str, harness: Harness
) -> None:
    result = harness.run("run", name, "--backend", "lab")
    assert result.returncode == 0, result.stdout + result.stderr
    jsonschema.validate(harness.report(), json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert harness.leftovers() == []


@pytest.mark.parametrize("backend", ["local", pytest.param("lab", marks=pytest.mark.lab)])
def test_check_comes_to_the_same_report(backend: str, harness: Harness) -> None:
    result = harness.run("run", harness.scenario(), "--backend", backend, "--repeat", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    report = harness.report()
    assert len(report["iterations"]) == 2
    assert report["environment"]["backend"] == backend
    again = harness.run("check", str(harness.reports()[0].parent))
    assert again.returncode == result.returncode, again.stdout + again.stderr
    assert harness.report() == report
