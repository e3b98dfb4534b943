"""Runs in containers, as a user starts them: with nothing executed inside."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import docker_images
import pytest
from command_line import Harness, eventually
from docker_images import Entry, Shape, hardened_files
from engine_state import on_the_engine, on_the_host
from relay import engine_elsewhere

from harness.engine.connection import engine

pytestmark = pytest.mark.docker

PROCESS_FAULTS = """
name: process-faults
cluster: {jetstream: true}
client:
  options:
    {ping_interval: 500ms, max_outstanding_pings: 1, reconnect_time_wait: 100ms,
     max_reconnect_attempts: -1}
workloads:
  - {name: hello, kind: core, publishers: 2, subscribers: 2, rate: 100/s,
     attach: {publishers: spread, subscribers: spread}}
phases: {warmup: 500ms, steady: 1s, recovery: 3s, drain: 2s}
faults:
  - {name: kill, action: kill, target: n1, duration: 1s}
  - {name: pause, action: pause, target: n2, duration: 1s, at: 200ms}
  - {name: off, action: disconnect, target: n3, duration: 1s, at: 9s}
thresholds:
  "lost{phase:steady}": ["count == 0"]
  "lost{phase:recovery}": ["count == 0"]
"""
LINK_FAULTS = """
name: link-faults
client: {options: {ping_interval: 1s, reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}
workloads:
  - {name: hello, kind: core, publishers: 1, subscribers: 1, rate: 100/s,
     attach: {publishers: n1, subscribers: n1}}
  - {name: control, kind: core, publishers: 1, subscribers: 1, rate: 100/s,
     attach: {publishers: n3, subscribers: n3}}
phases: {warmup: 500ms, steady: 1s, recovery: 3s, drain: 2s}
faults:
  - {name: down, action: restart, target: n2, duration: 500ms}
  - {name: shut, action: refuse, target: n2, between: servers, duration: 1s, at: 7s}
  - {name: cut, action: partition, target: n2, direction: to, duration: 1s, at: 9s}
  - {name: slow, action: delay, delay: 20ms, target: n1, between: clients, duration: 1s, at: 10s}
  - {name: cable, action: reset, target: n1, between: clients, at: 12s}
thresholds:
  "lost{workload:control}": ["count == 0"]
"""


@pytest.fixture(scope="module")
def hardened() -> str:
    return docker_images.build("hardened", docker_images.hardened())


def run_in_docker(harness: Harness, text: str, name: str, *more: str) -> dict[str, Any]:
    done = harness.run("run", harness.scenario(text, name), *more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert on_the_engine(harness) == []
    return harness.report()


def test_process_faults_are_proven_without_entering_the_container(
    harness: Harness, hardened: str
) -> None:
    report = run_in_docker(harness, PROCESS_FAULTS, "processes", "--image", hardened)
    assert report["environment"]["backend"] == "docker"
    proofs = {fault["name"]: str(fault["proof"]) for fault in report["iterations"][0]["faults"]}
    assert "exited by signal 9" in proofs["kill"]
    assert "silent" in proofs["pause"]
    assert "on no network" in proofs["off"]
    kept = harness.reports()[0].parent / "servers" / "0"
    assert (kept / "n1.log").read_text().count("Server is ready") == 2
    inspected = json.loads((kept / "diagnostics" / "n1" / "inspect.json").read_text())
    assert inspected["Config"]["User"] == "65532"
    assert {"ExitCode", "OOMKilled"} <= set(inspected["State"])
    assert (kept / "diagnostics" / "n1" / "jsz.json").exists()
    stacks = json.loads((kept / "diagnostics" / "n1" / "stacksz.json").read_text())
    assert "goroutine" in stacks["text"]


@pytest.mark.skipif(os.geteuid() != 0, reason="reaching into containers' networks takes root")
def test_link_faults_reach_containers_and_outlive_their_restart(
    harness: Harness, hardened: str
) -> None:
    report = run_in_docker(harness, LINK_FAULTS, "links", "--image", hardened)
    faults = {fault["name"]: fault for fault in report["iterations"][0]["faults"]}
    assert set(faults) == {"down", "shut", "cut", "slow", "cable"}
    assert all(fault["proof"] for fault in faults.values())


def test_the_guides_command_line_runs_as_it_stands(harness: Harness, hardened: str) -> None:
    guide = """
name: guide
cluster:
  container:
    memory: 256MiB
    cpus: 0.5
    read_only: true
    arguments:
      n1: "--cluster_name NATS --cluster nats://0.0.0.0:6222 --http_port 8222"
      default: >-
        --cluster_name NATS --cluster nats://0.0.0.0:6222 --http_port 8222
        --routes=nats://ruser:T0pS3cr3t@nats:6222
workloads:
  - {name: hello, kind: core, publishers: 1, subscribers: 1, rate: 100/s}
phases: {warmup: 300ms, steady: 500ms, recovery: 1s, drain: 1s}
faults:
  - {name: stop-seed, action: stop, target: seed, duration: 500ms}
thresholds: {lost: ["ratio < 50%"]}
"""
    run_in_docker(harness, guide, "guide", "--image", hardened)
    for path in harness.folder.rglob("*"):
        if path.is_file() and path.suffix != ".yaml":
            assert b"T0pS3cr3t" not in path.read_bytes(), path
    resolved = harness.reports()[0].parent / "scenario.yaml"
    assert "T0pS3cr3t" not in resolved.read_text()


def test_sigkill_leaves_nothing_after_the_next_command(harness: Harness, hardened: str) -> None:
    with engine() as found:
        found.api.create_volume("nats-harness-test-foreign", labels={"somebody": "else"})
    try:
        before = frozenset(on_the_host())
        with harness.start("run", harness.scenario(), "--image", hardened) as process:
            assert eventually(lambda: len(on_the_engine(harness)) >= 4, 60)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert eventually(lambda: not harness.leftovers())
        assert on_the_engine(harness)
        told = harness.run("doctor", "--sweep")
        assert told.returncode == 0
        assert "removed container" in told.stdout
        assert on_the_engine(harness) == []
        assert eventually(lambda: not on_the_host(before))
    finally:
        with engine() as found:
            found.api.remove_volume("nats-harness-test-foreign")


def test_an_interrupt_ends_the_containers_and_reports(harness: Harness, hardened: str) -> None:
    with harness.start("run", harness.scenario(), "--image", hardened) as process:
        assert eventually(lambda: bool(harness.reports()) or len(on_the_engine(harness)) >= 4, 60)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert on_the_engine(harness) == []


BROKEN = {
    "not-nats": (
        Shape(
            {**hardened_files(), "hello": Entry(docker_images.SAYS_HELLO)},
            ('ENTRYPOINT ["/hello"]',),
        ),
        "is not a nats-server: with --version it ended with status 3 and said:\n  hello",
    ),
    "no-program": (
        Shape(hardened_files(), ('ENTRYPOINT ["/nowhere/nats-server"]',)),
        "cannot be started: ",
    ),
}


@pytest.mark.parametrize("shape", BROKEN)
def test_an_image_that_will_not_do_is_one_message_and_exit_2(harness: Harness, shape: str) -> None:
    made, message = BROKEN[shape]
    image = docker_images.build(shape, made)
    done = harness.run("run", harness.scenario(), "--image", image)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert on_the_engine(harness) == []


@pytest.mark.parametrize(
    ("subnet", "message"),
    [
        ("10.9.0.0/30", "expected at least a /22"),
        ("127.0.0.0/300", "cluster.container.subnet: "),
        ("TAKEN", "collides with"),
    ],
)
def test_a_subnet_that_will_not_do_is_one_message(
    harness: Harness, hardened: str, subnet: str, message: str
) -> None:
    with engine() as found:
        bridge = found.api.inspect_network("bridge")
    taken = bridge["IPAM"]["Config"][0]["Subnet"]
    text = """
name: subnet
cluster: {container: {subnet: "SUBNET"}}
workloads: [{name: hello, kind: core, publishers: 1, subscribers: 1, rate: 10/s}]
""".replace("SUBNET", taken if subnet == "TAKEN" else subnet)
    done = harness.run("run", harness.scenario(text, "subnet"), "--image", hardened)
    assert done.returncode == 2
    assert message in done.stderr
    assert on_the_engine(harness) == []


def test_other_backends_run_no_images(harness: Harness, hardened: str) -> None:
    done = harness.run("run", harness.scenario(), "--image", hardened, "--backend", "local")
    assert done.returncode == 2
    assert done.stderr == (
        "nats-harness: backend local runs no images; docker does: --backend docker\n"
    )


def test_without_an_engine_that_is_one_line_and_exit_2(harness: Harness, hardened: str) -> None:
    nowhere = {"DOCKER_HOST": "tcp://127.0.0.1:1"}
    done = harness.run("run", "seed-isolated", "--image", hardened, env=nowhere)
    assert done.returncode == 2
    assert "no Docker Engine" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_engine_elsewhere_has_its_servers_faulted_and_its_links_left_alone(
    harness: Harness, hardened: str
) -> None:
    with engine_elsewhere() as address:
        elsewhere = {"DOCKER_HOST": address}
        done = harness.run("run", harness.scenario(), "--image", hardened, env=elsewhere)
        assert done.returncode == 0, done.stdout + done.stderr
        cut = harness.run("run", "seed-isolated", "--image", hardened, env=elsewhere)
    assert "Links are left alone: the Engine is not this machine's own." in done.stdout
    assert harness.report()["verdict"] == "pass"
    assert cut.returncode == 2
    assert (
        "backend docker cannot partition here (the Engine is not this machine's own)" in cut.stderr
    )
    assert on_the_engine(harness) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="changing containers' processes takes root")
def test_clocks_and_cpu_time_of_containers_are_faulted_from_outside(
    harness: Harness, hardened: str
) -> None:
    text = """
name: clocks
workloads:
  - {name: hello, kind: core, publishers: 1, subscribers: 2, rate: 1000/s,
     attach: {publishers: n2, subscribers: n2}}
phases: {warmup: 300ms, steady: 500ms, recovery: 1s, drain: 1s}
faults:
  - {name: skew, action: clock-skew, skew: 1h, target: n1, duration: 1s}
  - {name: slow, action: cpu-limit, cpus: 5%, target: n2, duration: 1s}
thresholds: {lost: ["count == 0"]}
"""
    report = run_in_docker(harness, text, "clocks", "--image", hardened)
    proofs = {fault["name"]: fault["proof"] for fault in report["iterations"][0]["faults"]}
    assert set(proofs) == {"skew", "slow"}
    assert "cgroup" in str(proofs["slow"])
