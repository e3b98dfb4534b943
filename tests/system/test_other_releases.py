"""Servers that go on as another release, and keys that a release does not know, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from command_line import Harness

from harness.cluster.binaries import bundled

BACKENDS = [pytest.param("lab", marks=pytest.mark.lab), "local"]
OLD = "2.10.25"
SCHEMA = Path(__file__).parents[2] / "reports" / "schema" / "report-v1.json"
TEXT = """\
name: releases
cluster:
  servers: 3
  version: VERSION
  jetstream: JETSTREAM
  config: CONFIG
client: {servers: [n1], options: {reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}
workloads:
  - {name: hello, kind: core, publishers: 2, subscribers: 2, rate: 100/s, payload: 64B}
phases: {warmup: 100ms, steady: 300ms, recovery: 700ms, drain: 1s}
faults:
  - {name: roll, action: upgrade, KEYS}
thresholds: {"lost{phase:steady}": ["count == 0"]}
"""
UNWILLING = """#!/bin/sh
case "$1" in
  --version) echo "nats-server: v2.99.0" ;;
  -t) ;;
  *) echo "[1] [FTL] cannot read what is here" >&2; exit 3 ;;
esac
"""
STAYS = """
from harness.backends.process_node import ProcessNode
async def change_release(self, version):
    return version
ProcessNode.change_release = change_release
"""


def scenario(
    harness: Harness,
    keys: str,
    version: str = "bundled",
    config: str = "{}",
    jetstream: str = "false",
) -> str:
    text = TEXT.replace("KEYS", keys).replace("VERSION", version).replace("CONFIG", config)
    return harness.scenario(text.replace("JETSTREAM", jetstream), "releases")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("version", "to", "jetstream"),
    [(OLD, "bundled", "true"), ("bundled", OLD, "false")],
    ids=["up", "down"],
)
def test_three_servers_go_on_as_another_release_under_load(
    harness: Harness, backend: str, version: str, to: str, jetstream: str
) -> None:
    path = scenario(harness, f"to: {to}, interval: 200ms", version, jetstream=jetstream)
    done = harness.run("run", path, "--backend", backend)
    report = harness.report()
    assert done.returncode == 0, done.stdout + done.stderr
    became = [bundled().version if one == "bundled" else one for one in (version, to)]
    servers = report["environment"]["servers"]
    assert [one["versions"] for one in servers] == [became] * 3
    assert [one["version"] for one in servers] == [became[0]] * 3
    (fault,) = report["iterations"][0]["faults"]
    hits = [one["node"] for one in fault["proof"] if one["kind"] == "hit"]
    assert hits == ["n1", "n2", "n3"]
    said = [one["what"] for one in fault["proof"] if one["kind"] == "effect"]
    assert said.count(f"says that it is nats-server {became[1]}, was {became[0]}") == 3
    assert f"{became[0]} -> {became[1]}" in done.stdout
    assert report["iterations"][0]["messages"]["by_phase"]["recovery"]["delivered"] > 0
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_an_upgrade_to_what_they_are_is_not_proven(harness: Harness) -> None:
    done = harness.run("run", scenario(harness, "to: bundled"), "--backend", "local")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "n1, n2, n3" in done.stdout
    assert "nothing would change" in " ".join(done.stdout.split())


def test_a_release_that_does_not_start_on_what_it_finds_fails_the_run(harness: Harness) -> None:
    program = harness.folder / "unwilling"
    program.write_text(UNWILLING)
    program.chmod(0o755)
    path = scenario(harness, f"to: {program}, target: [n2, n3]")
    done = harness.run("run", path, "--backend", "local")
    assert done.returncode == 1, done.stdout + done.stderr
    findings = [one for one in harness.report()["findings"] if one["verdict"] == "fail"]
    assert any("server n2 exited unasked with code 3" in one["detail"] for one in findings)
    (fault,) = harness.report()["iterations"][0]["faults"]
    assert {one["node"] for one in fault["proof"] if one["kind"] == "hit"} == {"n2"}


def test_servers_that_stay_what_they_were_are_not_proven(harness: Harness) -> None:
    path = scenario(harness, f"to: {OLD}, target: n2")
    done = harness.run("run", path, "--backend", "local", planted=STAYS)
    assert done.returncode == 3, done.stdout + done.stderr
    (fault,) = harness.report()["iterations"][0]["faults"]
    (failure,) = (one["what"] for one in fault["proof"] if one["kind"] == "failure")
    assert failure.startswith(f"n2 says that it is {bundled().version}; it was {bundled().version}")


@pytest.mark.parametrize(
    ("keys", "version", "config", "said"),
    [
        (f"to: {OLD}", "bundled", "{jetstream: {strict: true}}",
         f"6:24: cluster.config.jetstream.strict: nats-server {OLD} (n1, n2, n3) refuses it: unk"),
        (f"to: {OLD}, target: n2", "bundled", "{default_sentinel: x}",
         f"6:12: cluster.config.default_sentinel: nats-server {OLD} (n2) refuses it"),
        ("to: bundled", f"{{n3: {OLD}}}", "{write_timeout: close}",
         f"6:12: cluster.config.write_timeout: nats-server {OLD} (n3) refuses it"),
        ("to: bundled", OLD, "{cluster: {pool_sze: 3}}",
         f"6:22: cluster.config.cluster.pool_sze: nats-server {OLD} (n1, n2, n3) refuses it: unk"),
        ("to: bundled", OLD, "{cluster: {listen: x}}",
         "6:22: cluster.config.cluster.listen: the harness chooses where servers listen"),
        ("to: 2.10.99", "bundled", "{}",
         "12:39: faults[0].to: nats-server 2.10.99 is not a release that can be had; nearest: "),
        ("to: /bin/true", "bundled", "{}", "12:39: faults[0].to: /bin/true is not a nats-server"),
    ],
)  # fmt: skip
def test_what_a_release_does_not_take_is_refused_with_its_place_before_anything_starts(
    harness: Harness, keys: str, version: str, config: str, said: str
) -> None:
    done = harness.run("run", scenario(harness, keys, version, config))
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"releases.yaml:{said}" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (harness.folder / "reports").exists()


def test_keys_that_every_release_knows_are_taken(harness: Harness) -> None:
    config = "{cluster: {pool_size: 2}, jetstream: {sync_interval: 1s}}"
    path = scenario(harness, f"to: {OLD}, target: n3, wait: none, by: kill", config=config)
    done = harness.run("run", path, "--backend", "local")
    assert done.returncode == 0, done.stdout + done.stderr
