"""Compose files as people have them, run by a user in containers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import docker_images
import pytest
from command_line import Harness
from engine_state import on_the_engine
from relay import engine_elsewhere

from harness.engine.connection import engine
from harness.shipped import scenarios_folder

pytestmark = pytest.mark.docker

GUIDE = (scenarios_folder() / "docker" / "compose" / "nats-cluster.yaml").read_text()
SECRETS = (b"T0pS3cr3t", b"wr0ng-0ne", b"cl13nt-pw", b"v4riable")
SCENARIO = """
name: NAME
cluster: {compose: c.yaml}
client: {options: {ping_interval: 1s, reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}
workloads:
  - {name: hello, kind: core, rate: 100/s, attach: {publishers: nats-1, subscribers: nats-2}}
phases: {warmup: 300ms, steady: 500ms, recovery: 2s, drain: 2s}
faults:
  - {name: stop-seed, action: stop, target: seed, at: 0s, duration: 1s}
thresholds:
  "lost{phase:steady}": ["count == 0"]
  "lost{phase:recovery}": ["count == 0"]
"""
CUT = "  - {name: cut, action: partition, target: nats-1, between: servers, at: 7s, duration: 1s}\n"
AUTHORIZED = """
x-server: &server
  image: nats:<tag>
  volumes: ["./route.conf:/etc/nats/nats.conf:ro"]
  command: ["-c", "/etc/nats/nats.conf", "--routes=nats://ruser:${ROUTE_PASSWORD}@nats:6222"]
services:
  nats: {<<: *server}
  nats-1: {<<: *server}
  nats-2: {<<: *server}
"""
ROUTE_CONFIG = """
http: 8222
cluster {
  name: NATS, listen: "0.0.0.0:6222"
  authorization { user: ruser, password: T0pS3cr3t, timeout: 2 }
}
"""
HARDENED = """
x-server: &server
  image: nats:<tag>
  user: "65531:65531"
  read_only: true
  init: true
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  environment: {GOMEMLIMIT: 200MiB, OWN: v4riable}
  mem_limit: 256m
  cpus: 0.5
  pids_limit: 100
  ulimits: {nofile: {soft: 4096, hard: 8192}}
  shm_size: 32m
  working_dir: /data
  stop_signal: SIGINT
  tmpfs: ["/tmp:size=16m"]
  labels: {team: shop, url: "http://u:T0pS3cr3t@example"}
services:
  nats:
    <<: *server
    hostname: first
    container_name: shop-first
    command: --name one --user shop --pass cl13nt-pw -p 5222 -m 9222 --js -sd /data/js
      --cluster_name NATS --cluster nats://0.0.0.0:7222 --routes nats://shop-second:7222
    volumes: [one:/data]
  nats-1:
    <<: *server
    networks: {backplane: {aliases: [shop-second]}}
    command: --name two --user shop --pass cl13nt-pw -p 5223 -m 9223 --js -sd /data/js
      --cluster_name NATS --cluster nats://0.0.0.0:7222 --routes nats://shop-first:7222
    volumes: [two:/data]
  nats-2:
    <<: *server
    command: --name three --user shop --pass cl13nt-pw -m 8222 --js -sd /data/js
      --cluster_name NATS --cluster nats://0.0.0.0:7222
      --routes nats://shop-first:7222,nats://shop-second:7222
    volumes: ["/data"]
networks: {backplane: {}}
volumes: {one: {}, two: {}}
""".replace("    hostname: first\n", "    hostname: first\n    networks: [backplane]\n").replace(
    "  nats-2:\n    <<: *server\n", "  nats-2:\n    <<: *server\n    networks: [backplane]\n"
)


@pytest.fixture(scope="module")
def hardened() -> str:
    return docker_images.build("hardened", docker_images.hardened())


@pytest.fixture
def write(harness: Harness) -> Any:
    def write(compose: str, name: str = "compose", scenario: str = SCENARIO) -> str:
        (harness.folder / "c.yaml").write_text(compose, encoding="utf-8")
        return harness.scenario(scenario.replace("NAME", name), name)

    return write


def no_secret_is_kept(harness: Harness) -> None:
    files = [path for path in (harness.folder / "reports").rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert not [one for one in SECRETS if one in content], path


def kept(harness: Harness) -> Path:
    return harness.reports()[0].parent / "servers" / "0"


def inspected(harness: Harness, node: str) -> dict[str, Any]:
    path = kept(harness) / "diagnostics" / node / "inspect.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_guides_example_runs_verbatim(harness: Harness, hardened: str, write: Any) -> None:
    root = os.geteuid() == 0  # links are reached into by root only
    scenario = SCENARIO.replace("thresholds:", (CUT if root else "") + "thresholds:")
    done = harness.run("run", write(GUIDE, "guide", scenario), "--image", hardened)
    assert done.returncode == 0, done.stdout + done.stderr
    report = harness.report()
    assert report["environment"]["backend"] == "docker"
    faults = report["iterations"][0]["faults"]
    assert [fault["name"] for fault in faults] == (["stop-seed", "cut"] if root else ["stop-seed"])
    assert faults[0]["nodes"] == ["nats"] if "nodes" in faults[0] else True
    no_secret_is_kept(harness)
    assert on_the_engine(harness) == []
    nats_1 = inspected(harness, "nats-1")
    assert nats_1["Config"]["Cmd"] == [
        "--cluster_name", "NATS", "--cluster", "nats://0.0.0.0:6222",
        "--routes=nats://***@nats:6222", "--http_port", "8222", "--name", "nats-1",
    ]  # fmt: skip
    assert (kept(harness) / "diagnostics" / "nats-1" / "routez.json").exists()
    told = " ".join(report["warnings"])
    assert "--http_port 8222 is added" in told
    assert "--name, with the service's name, is added" in told
    again = harness.run("run", str(harness.reports()[0].parent / "scenario.yaml"))
    assert again.returncode == 2
    assert "its secrets were left out here (***)" in again.stderr


def test_the_shipped_example_passes(harness: Harness, hardened: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("reaching into containers' networks takes root")
    done = harness.run("run", "guide-cluster", "--image", hardened)
    assert done.returncode == 0, done.stdout + done.stderr
    (iteration,) = harness.report()["iterations"]
    stop = iteration["faults"][0]
    named = iteration["named"]
    assert [one["text"] for one in named] == ["first", "second", "again", "again"]
    assert [one["phase"] for one in named] == ["steady", "steady", "fault", "fault"]
    assert all(stop["inject_done"] < one["due"] < stop["heal_start"] for one in named[2:])
    for one in named:
        assert (one["outcome"], one["server"]) == ("accepted", "nats-1")
        (fate,) = one["subscribers"]
        assert (fate["name"], fate["server"]) == ("guide-subscriber-1", "nats-2")
        assert (fate["fate"], fate["copies"]) == ("delivered", 1)
        assert fate["latency"] > 0
    assert done.stdout.count("delivered in ") == len(named)
    no_secret_is_kept(harness)


def test_a_route_password_that_is_right_lets_the_cluster_form(
    harness: Harness, hardened: str, write: Any
) -> None:
    (harness.folder / "route.conf").write_text(ROUTE_CONFIG)
    given = {"ROUTE_PASSWORD": "T0pS3cr3t"}
    done = harness.run("run", write(AUTHORIZED), "--image", hardened, env=given)
    assert done.returncode == 0, done.stdout + done.stderr
    no_secret_is_kept(harness)


def test_a_route_password_that_is_wrong_is_one_clear_error(
    harness: Harness, hardened: str, write: Any
) -> None:
    (harness.folder / "route.conf").write_text(ROUTE_CONFIG)
    given = {"ROUTE_PASSWORD": "wr0ng-0ne"}
    done = harness.run("run", write(AUTHORIZED), "--image", hardened, env=given)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "the cluster has not formed within" in done.stdout
    assert "Route Error 'Authorization Violation'" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    no_secret_is_kept(harness)
    assert on_the_engine(harness) == []


def test_a_hardened_deployment_is_honoured_key_by_key(
    harness: Harness, hardened: str, write: Any
) -> None:
    done = harness.run("run", write(HARDENED), "--image", hardened)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, third = (inspected(harness, node) for node in ("nats", "nats-1", "nats-2"))
    config, host = first["Config"], first["HostConfig"]
    assert (config["User"], config["Hostname"], config["WorkingDir"]) == (
        "65531:65531", "first", "/data",
    )  # fmt: skip
    assert config["StopSignal"] == "SIGINT"
    assert config["Labels"]["team"] == "shop"
    assert config["Labels"]["url"] == "http://***@example"
    assert "GOMEMLIMIT=***" in config["Env"]
    assert host["ReadonlyRootfs"]
    assert host["Init"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges=true"]
    assert host["Memory"] == 256 << 20
    assert host["NanoCpus"] == 500_000_000
    assert host["PidsLimit"] == 100
    assert host["ShmSize"] == 32 << 20
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 4096, "Hard": 8192}]
    mounts = {mount["Destination"]: mount["Type"] for mount in first["Mounts"]}
    assert mounts["/data"] == "volume"
    assert "shop-first" in _aliases(first)
    assert "shop-second" in _aliases(second)
    assert third["Mounts"]
    stop = harness.report()["iterations"][0]["faults"][0]
    assert "exited with code" in str(stop)
    events = (harness.reports()[0].parent / "events.jsonl").read_text()
    assert "SIGINT" in events
    no_secret_is_kept(harness)
    assert on_the_engine(harness) == []


def _aliases(found: dict[str, Any]) -> list[str]:
    (network,) = found["NetworkSettings"]["Networks"].values()
    aliases: list[str] = network["Aliases"]
    return aliases


def test_a_stop_that_outlasts_its_grace_is_ended_as_docker_ends_it(
    harness: Harness, hardened: str, write: Any
) -> None:
    keys = "    stop_signal: USR2\n    stop_grace_period: 300ms\n"
    slow = GUIDE.replace("  nats:\n", f"  nats:\n{keys}", 1)
    attached = SCENARIO.replace("publishers: nats-1", "publishers: nats")  # else it ends at once
    done = harness.run("run", write(slow, "slow", attached), "--image", hardened)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "exited by signal 9" in str(harness.report()["iterations"][0]["faults"][0]["proof"])


def test_a_file_can_be_written_in_the_compose_file(
    harness: Harness, hardened: str, write: Any
) -> None:
    single = """
services:
  nats:
    image: nats:<tag>
    command: -c /etc/nats/own.conf
    configs: [{source: own, target: /etc/nats/own.conf}]
configs:
  own:
    content: |
      http: 8222
      authorization { user: shop, password: cl13nt-pw }
"""
    scenario = SCENARIO.replace("nats-1", "nats").replace("nats-2", "nats")
    # Nobody else takes the clients meanwhile, and an attempt at an address that is away hangs.
    scenario = scenario.replace('  "lost{phase:recovery}": ["count == 0"]\n', "")
    done = harness.run("run", write(single, "single", scenario), "--image", hardened)
    assert done.returncode == 0, done.stdout + done.stderr
    no_secret_is_kept(harness)


def test_a_server_that_ends_at_once_shows_its_log(
    harness: Harness, hardened: str, write: Any
) -> None:
    broken = GUIDE.replace("--http_port 8222", "--http_port 8222 --js -sd /proc/nowhere")
    done = harness.run("run", write(broken), "--image", hardened)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "nats exited with status 1" in done.stdout
    assert "[FTL]" in done.stdout
    assert on_the_engine(harness) == []


REFUSES_TO_REMOVE = """
import docker
from docker.errors import APIError

remove = docker.APIClient.remove_container

def refuse(self, container, **options):
    if self.inspect_container(container)["Name"].endswith("-nats-1"):
        raise APIError("the device is busy")
    remove(self, container, **options)

docker.APIClient.remove_container = refuse
"""


def test_a_server_that_ends_at_once_is_reported_though_a_container_cannot_be_removed(
    harness: Harness, hardened: str, write: Any
) -> None:
    broken = GUIDE.replace("--http_port 8222", "--http_port 8222 --js -sd /proc/nowhere")
    done = harness.run("run", write(broken), "--image", hardened, planted=REFUSES_TO_REMOVE)
    try:
        assert done.returncode == 1, done.stdout + done.stderr
        found = {one["detail"] for one in harness.report()["findings"]}
        assert any("server nats exited unasked with code 1" in one for one in found), found
        (left,) = (one for one in found if "left behind: container nats-harness-" in one)
        assert left.endswith("the device is busy")
        assert "nats exited with status 1" in done.stdout
        assert "the device is busy" in done.stdout
        (name,) = on_the_engine(harness)
        assert name.endswith("-nats-1")
    finally:
        harness.run("doctor", "--sweep")
    assert on_the_engine(harness) == []


def test_an_engine_elsewhere_runs_it_but_mounts_nothing_of_this_machine(
    harness: Harness, hardened: str, write: Any
) -> None:
    (harness.folder / "route.conf").write_text(ROUTE_CONFIG)
    with engine_elsewhere() as address:
        elsewhere = {"DOCKER_HOST": address}
        done = harness.run("run", write(GUIDE), "--image", hardened, env=elsewhere)
        assert done.returncode == 0, done.stdout + done.stderr
        given = {**elsewhere, "ROUTE_PASSWORD": "T0pS3cr3t"}
        bound = harness.run("run", write(AUTHORIZED), "--image", hardened, env=given)
    assert bound.returncode == 2, bound.stdout + bound.stderr
    assert "cannot be mounted by an Engine that is elsewhere" in bound.stdout + bound.stderr
    no_secret_is_kept(harness)
    assert on_the_engine(harness) == []


REFUSALS = {
    "build": ("    image: dhi.io/nats:<tag>", "    build: .", "c.yaml:4:5: services.nats.build: "),
    "missing service": ('depends_on: ["nats"]', 'depends_on: ["box"]', "there is no service"),
    "missing network": ('networks: ["nats"]', 'networks: ["net"]', "is not defined under networks"),
    "extends": ("    image: dhi.io/nats:<tag>", "    extends: x\n    image: nats", "not supported"),
    "unknown key": ("    ports:", "    port:", "unknown key"),
    "privileged": ("    ports:", "    privileged: true\n    ports:", "services.nats.privileged"),
    "content": (
        "    ports:",
        "    read_only: true\n    configs: [own]\n    ports:",
        "nothing can be put into a container that is read_only",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_honoured_is_refused_before_anything_starts(
    harness: Harness, hardened: str, write: Any, case: str
) -> None:
    old, new, message = REFUSALS[case]
    assert old in GUIDE
    damaged = GUIDE.replace(old, new, 1) + "configs: {own: {content: x}}\n"
    done = harness.run("run", write(damaged), "--image", hardened)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "c.yaml:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (harness.folder / "reports").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "has a placeholder in it; give the image by --image IMAGE"),
        (["--image", "nats-harness-test/nowhere:1"], "there is no image nats-harness-test/nowhere"),
        (["--server", "2.14.0"], "run from images: --image, not --server"),
        (["--image", "x", "--backend", "local"], "backend local runs no images"),
        (["--image", "x", "--backend", "lab"], "backend lab runs no images"),
    ],
)
def test_a_command_line_that_will_not_do_is_one_line(
    harness: Harness, write: Any, arguments: list[str], message: str
) -> None:
    done = harness.run("run", write(GUIDE), *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert on_the_engine(harness) == []


def test_volumes_are_fresh_and_the_users_own_are_left_alone(
    harness: Harness, hardened: str, write: Any
) -> None:
    with engine() as found:
        found.api.create_volume("nats-harness-test-one", labels={"somebody": "else"})
    try:
        compose = HARDENED.replace("one:/data", "nats-harness-test-one:/data").replace(
            "volumes: {one: {}", "volumes: {nats-harness-test-one: {}"
        )
        done = harness.run("run", write(compose), "--image", hardened)
        assert done.returncode == 0, done.stdout + done.stderr
        names = {mount.get("Name") for mount in inspected(harness, "nats")["Mounts"]}
        assert "nats-harness-test-one" not in names
        with engine() as found:
            assert found.api.inspect_volume("nats-harness-test-one")
        assert on_the_engine(harness) == []
    finally:
        with engine() as found:
            found.api.remove_volume("nats-harness-test-one")
