"""Damaged stores, end to end: what is proven, what a refusal means, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from command_line import Harness

BACKENDS = [pytest.param("lab", marks=pytest.mark.lab), "local"]
SCHEMA = Path(__file__).parents[2] / "reports" / "schema" / "report-v1.json"
TEXT = """\
name: damaged
cluster: {servers: 3, jetstream: true, version: VERSION}
client: {servers: [n1], options: {reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}
workloads:
  - {name: hello, kind: core, publishers: 1, subscribers: 1, rate: 50/s, payload: 64B}
phases: {warmup: 100ms, steady: 300ms, recovery: 700ms, drain: 1s}
faults:
  - {name: rot, action: corrupt, part: meta-snapshot, target: n2, duration: 300ms, KEYS}
thresholds: {"lost{phase:steady}": ["count == 0"]}
"""
NO_DAMAGE = "from harness.cluster import damage\ndamage._write = lambda path, before, after: None\n"
REPAIRED = """
from harness.faults import corrupt
from harness.cluster.damage import Recipe
apply = Recipe.apply
def apply_and_repair(self, path, dice):
    before = path.read_bytes()
    damage = apply(self, path, dice)
    path.write_bytes(before)
    return damage
Recipe.apply = apply_and_repair
"""


def run(
    harness: Harness, version: str, keys: str, *, backend: str = "local", planted: str | None = None
) -> tuple[int, str]:
    path = harness.scenario(TEXT.replace("VERSION", version).replace("KEYS", keys), "damaged")
    done = harness.run("run", path, "--backend", backend, planted=planted)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def proof(harness: Harness, kind: str) -> list[str]:
    (fault,) = harness.report()["iterations"][0]["faults"]
    return [one["what"] for one in fault["proof"] if one["kind"] == kind]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_release_that_does_not_look_comes_back(harness: Harness, backend: str) -> None:
    code, said = run(harness, "2.12.1", "flips: 3", backend=backend)
    assert code == 0, said
    (effect,) = proof(harness, "effect")
    assert "snapshots/snap." in effect
    assert "2 more" in effect
    (undo,) = proof(harness, "undo")
    assert undo.startswith("started again on its damaged files, healthy")
    jsonschema.validate(harness.report(), json.loads(SCHEMA.read_text(encoding="utf-8")))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_release_that_looks_refuses_and_that_may_be_as_it_should(
    harness: Harness, backend: str
) -> None:
    code, said = run(harness, "bundled", "refusal: allowed", backend=backend)
    assert code == 0, said
    (undo,) = proof(harness, "undo")
    assert undo.startswith("refuses to start, as it may, and is left so: ")
    assert "snapshot corrupt" in undo
    (events,) = (harness.folder / "reports").glob("*/events.jsonl")
    told = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    exits = [one for one in told if one["kind"] == "server.exited" and one["node"] == "n2"]
    assert [(one["returncode"], one["expected"]) for one in exits] == [(-9, True), (1, True)]
    (damage,) = (one for one in told if one["kind"] == "fault.damaged")
    assert len(damage["changes"]) == 1
    assert damage["sha256_before"] != damage["sha256_after"]


def test_a_refusal_that_was_not_expected_is_inconclusive_and_the_run_goes_on(
    harness: Harness,
) -> None:
    code, said = run(harness, "bundled", "refusal: not-allowed")
    assert code == 3, said
    assert proof(harness, "undo") == []
    (failure,) = proof(harness, "failure")
    assert "n2 refuses to start: Can't start JetStream: raft: snapshot corrupt" in failure
    assert harness.report()["iterations"][0]["messages"]["by_phase"]["recovery"]["lost"] == 0


@pytest.mark.parametrize(
    ("planted", "words"),
    [(NO_DAMAGE, "does not hold what was written"), (REPAIRED, "is not as it was left")],
)
def test_damage_that_does_not_stay_is_not_proven(
    harness: Harness, planted: str, words: str
) -> None:
    code, said = run(harness, "2.12.1", "flips: 1", planted=planted)
    assert code == 3, said
    assert words in " ".join(proof(harness, "failure"))


def test_what_finds_no_file_is_not_proven_and_the_node_comes_back(harness: Harness) -> None:
    path = harness.scenario(
        TEXT.replace("meta-snapshot", "stream-block").replace("VERSION", "bundled"), "damaged"
    )
    text = Path(path).read_text(encoding="utf-8").replace("KEYS", "stream: S")
    done = harness.run("run", harness.scenario(text, "damaged"), "--backend", "local")
    assert done.returncode == 3, done.stdout + done.stderr
    (failure,) = proof(harness, "failure")
    assert failure == "n2 has no stream-block of stream S"
