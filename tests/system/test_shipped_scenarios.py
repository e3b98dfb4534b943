from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from command_line import SHORT, Harness

from harness.scenario.load import load
from harness.shipped import is_regression, shipped_scenarios
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
NETWORK = {
    "bridge",
    "client-cut",
    "flapping-link",
    "halves",
    "newcomers-refused",
    "one-way",
    "reset-storm",
    "ring",
    "seed-isolated",
}
JETSTREAM = {
    "consumer-leader-lost",
    "control-jetstream",
    "stream-lame-duck",
    "stream-leader-kill",
    "stream-leader-pause",
    "stream-leader-stop",
    "stream-rolling-restart",
    "stream-two-of-three-lost",
    "stream-upgrade",
    "work-queue-redelivery",
}
JETSTREAM_CUT = {"kv-partitioned", "stream-leader-isolated"}
RELEASE = {
    "release-kill",
    "release-kv",
    "release-roll",
    "release-steady",
    "release-stop",
    "release-stream-crash",
    "release-stream-kill",
    "release-stream-stop",
}
RELEASE_CUT = {"release-isolate"}
LONG = {"random-storm"}  # more than a minute; what it is made of is tested in short runs
CLOCKS = {"clock-jump"}
# They fail on releases that have what was published; tests/calibration/regressions.py runs them.
REGRESSIONS = {
    "7549-bit-flip",
    "7556-meta-snapshot",
    "7564-power-loss",
    "7564-power-loss-synced",
    "7567-split-brain",
}
SHAPED = ("lossy-link", "narrow-link", "slow-link")
SIZED = ("gateway-cut", "leaf-cut", "two-of-five-isolated")
SCHEMA = Path(__file__).parents[2] / "reports" / "schema" / "report-v1.json"
# What is tried before a run would find the planted misfortunes at once.
BLIND = """
import harness.backends.lab.trial as trial
async def see_nothing(network):
    return {}
trial.try_links = see_nothing
"""
NO_CUT = "Cuts._change = lambda self, add, remove, verb: None"
TOO_MUCH = """
change = Cuts._change
def too_much(self, add, remove, verb):
    if verb == "cut":
        places = sorted(self._addresses)
        add = [self._key(Link(a, b)) for a in places for b in places if a != b]
    change(self, add, remove, verb)
Cuts._change = too_much
"""
NO_HEAL = """
change = Cuts._change
Cuts._change = lambda self, add, remove, verb: verb == "cut" and change(self, add, remove, verb)
"""


def test_the_shipped_scenarios_are_the_promised_ones() -> None:
    assert set(shipped_scenarios()) >= FAILOVER | NETWORK | LONG | CLOCKS | {*SHAPED, *SIZED}
    assert set(shipped_scenarios()) >= JETSTREAM | JETSTREAM_CUT
    suite = {name for name, path in shipped_scenarios().items() if path.parent.name == "release"}
    assert suite == RELEASE | RELEASE_CUT


def test_published_findings_are_marked_in_the_list_and_nothing_else_is(harness: Harness) -> None:
    found = {name for name, path in shipped_scenarios().items() if is_regression(path)}
    assert found == REGRESSIONS
    listed = harness.run("list", "scenarios").stdout.splitlines()
    assert {one.split()[0] for one in listed if "[published finding]" in one} == REGRESSIONS


@pytest.mark.parametrize("name", sorted(REGRESSIONS))
def test_a_published_finding_says_where_it_was_published(name: str) -> None:
    text = shipped_scenarios()[name].read_text(encoding="utf-8")
    assert f"/issues/{name.split('-', maxsplit=1)[0]}" in text


@pytest.mark.parametrize("name", sorted(shipped_scenarios()))
def test_a_shipped_scenario_loads_without_warnings_and_teaches(name: str) -> None:
    path = shipped_scenarios()[name]
    loaded = load(path, VOCABULARY)
    assert loaded.warnings == ()
    assert loaded.scenario.name == name
    assert loaded.scenario.thresholds
    assert path.read_text(encoding="utf-8").startswith("# What you learn: ")


@pytest.mark.parametrize("name", sorted(FAILOVER | CLOCKS))
def test_a_shipped_scenario_passes_on_the_bundled_server(name: str, harness: Harness) -> None:
    result = harness.run("run", name)
    assert result.returncode == 0, result.stdout + result.stderr
    report = harness.report()
    assert report["verdict"] == "pass"
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert str(harness.reports()[0]) in result.stdout.replace("\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*sorted(RELEASE), *(pytest.param(one, marks=pytest.mark.lab) for one in RELEASE_CUT)]
)
def test_a_scenario_of_the_release_suite_passes_on_the_bundled_server(
    name: str, harness: Harness
) -> None:
    result = harness.run("run", name)
    assert result.returncode == 0, result.stdout + result.stderr
    assert harness.leftovers() == []


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "name",
    [
        *sorted(JETSTREAM),
        *(pytest.param(name, marks=pytest.mark.lab) for name in sorted(JETSTREAM_CUT)),
    ],
)
def test_a_scenario_of_streams_passes_and_every_replica_was_read(
    name: str, harness: Harness
) -> None:
    result = harness.run("run", name, limit_s=200)
    assert result.returncode == 0, result.stdout + result.stderr
    report = harness.report()
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    (iteration,) = report["iterations"]
    for stream in iteration["streams"]:
        replicas = next(
            one.get("replicas", 1)
            for one in report["scenario"]["streams"]
            if one["name"] == stream["name"]
        )
        assert len(stream["replicas"]) == replicas
        assert stream["unread"] == {}
    assert len(iteration["streams"]) == len(report["scenario"].get("streams", []))
    assert harness.leftovers() == []


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.parametrize("name", [*SHAPED, *SIZED])
def test_a_long_network_scenario_passes_on_the_bundled_server(name: str, harness: Harness) -> None:
    result = harness.run("run", name, "--backend", "lab")
    assert result.returncode == 0, result.stdout + result.stderr
    jsonschema.validate(harness.report(), json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert harness.leftovers() == []


@pytest.mark.lab
@pytest.mark.parametrize("name", sorted(NETWORK))
def test_a_shipped_network_scenario_passes_with_proof(name: str, harness: Harness) -> None:
    result = harness.run("run", name, "--backend", "lab")
    assert result.returncode == 0, result.stdout + result.stderr
    report = harness.report()
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    for fault in report["iterations"][0]["faults"]:
        looks = [one["links"] for one in fault["proof"] if one["kind"] == "probes"]
        assert len(looks) == (4 if fault["action"] == "partition" else 0)
        assert all(link["sent"] > 0 for links in looks for link in links)


@pytest.mark.parametrize("action", ["partition", "reset", "refuse"])
def test_local_refuses_what_only_the_lab_can_do(action: str, harness: Harness) -> None:
    text = SHORT.replace("action: kill, target: seed, duration: 500ms", f"action: {action}")
    text = text.replace("warmup: 200ms", "warmup: 200ms, fault: 1s")
    result = harness.run("run", harness.scenario(text), "--backend", "local")
    assert result.returncode == 2, result.stdout + result.stderr
    assert f"backend local cannot {action}; lab and docker can: --backend lab" in result.stderr


@pytest.mark.lab
@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (NO_CUT, "the cut let something through"),
        (TOO_MUCH, "not every probe passed over"),
        (NO_HEAL, "after: not every probe passed"),
    ],
    ids=["no-cut", "too-much", "no-heal"],
)
def test_a_partition_that_is_not_what_was_asked_is_inconclusive(
    planted: str, said: str, harness: Harness
) -> None:
    text = SHORT.replace("action: kill", "action: partition, between: servers")
    code = (
        "from harness.backends.lab.cuts import Cuts\n"
        "from harness.cluster.links import Link\n"
        f"{BLIND}\n{planted}\n"
        "from harness.__main__ import main\n"
        "main()"
    )
    argv = [sys.executable, "-c", code, "run", harness.scenario(text), "--backend", "lab"]
    result = subprocess.run(
        argv, cwd=harness.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 3, result.stdout + result.stderr
    report = harness.report()
    assert report["verdict"] == "inconclusive"
    proof = [one for one in report["findings"] if one["check"] == "proof"]
    assert [one["verdict"] for one in proof] == ["inconclusive"]
    assert said in proof[0]["detail"]


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
