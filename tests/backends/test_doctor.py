"""What the doctor finds on a good machine and what it says on a bad one."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.backends import doctor
from harness.backends.lab.available import Examination, Obstacle
from harness.backends.trials import Attempt
from harness.cluster.protocols import Capability
from harness.errors import BinaryError

TOPICS = [
    "python",
    "nats-server",
    "lab",
    "links",
    "shaping",
    "local",
    "clock-skew",
    "cpu-limit",
    "disk",
    "device",
    "proxies",
    "docker",
    "cache",
    "cores",
    "clock",
]


def test_it_examines_everything_before_threads_exist() -> None:
    code = (
        "from harness.backends.doctor import examine\n"
        "for finding in examine(): print(finding.topic, finding.ok)"
    )
    argv = [sys.executable, "-W", "error", "-c", code]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    found = dict(line.split() for line in said.splitlines())
    assert list(found) == TOPICS
    assert found["python"] == found["nats-server"] == found["local"] == "True"


def test_each_failure_comes_with_its_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nothing() -> None:
        raise BinaryError("no nats-server")

    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(doctor, "bundled", nothing)
    monkeypatch.setattr(doctor, "obstacle", lambda: Obstacle("refused", "sudo sysctl -w x=0"))
    monkeypatch.setattr(doctor, "attempt", lambda *_: Attempt(lack="not allowed"))
    monkeypatch.setattr(doctor, "default_cache", lambda: blocked / "cache")
    monkeypatch.setattr(doctor, "ENOUGH_CORES", 100_000)
    monkeypatch.setattr(doctor, "COARSE_CLOCK_S", 0.0)
    monkeypatch.setattr(doctor, "proxies_obstacle", lambda: "/proc does not tell")
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (99, 0))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    found = {finding.topic: finding for finding in doctor.examine()}
    for topic in TOPICS:
        if topic != "local":
            assert not found[topic].ok, topic
            assert found[topic].fix, topic
    assert found["lab"].fix == "sudo sysctl -w x=0"
    assert found["clock-skew"].detail == "local: not allowed"
    assert "Not a directory" in found["cache"].detail
    monkeypatch.delattr("os.pidfd_open")
    assert not doctor._local().ok


def test_no_engine_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    finding = doctor._docker()
    assert not finding.ok
    assert finding.detail == "there is no Docker Engine at unix:///nowhere/docker.sock (optional)"
    assert str(finding.fix).startswith("start it (sudo systemctl start docker)")


def test_an_engine_that_does_not_answer_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        monkeypatch.setattr(doctor, "DOCKER_LIMIT_S", 1.0)
        finding = doctor._docker()
    assert not finding.ok
    assert "no Docker Engine can be used" in finding.detail


@pytest.mark.docker
def test_an_engine_is_told_by_its_version() -> None:
    finding = doctor._docker()
    assert finding.detail.startswith("engine ")


def test_a_kernel_without_a_part_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = {Capability.RESET: "Operation not supported"}
    monkeypatch.setattr(doctor, "obstacle", lambda: None)
    monkeypatch.setattr(doctor, "examine_lab", lambda: Examination(lacks=lacks))
    found = doctor._links()
    assert not found.ok
    assert found.detail == "no reset: Operation not supported"
    assert "INET_DIAG_DESTROY" in str(found.fix)
