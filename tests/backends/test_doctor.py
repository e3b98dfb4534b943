"""What the doctor finds on a good machine and what it says on a bad one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.backends import doctor
from harness.backends.lab.available import Examination, Obstacle
from harness.cluster.protocols import Capability
from harness.errors import BinaryError

TOPICS = [
    "python",
    "nats-server",
    "lab",
    "links",
    "shaping",
    "local",
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
    monkeypatch.setattr(doctor, "default_cache", lambda: blocked / "cache")
    monkeypatch.setattr(doctor, "ENOUGH_CORES", 100_000)
    monkeypatch.setattr(doctor, "COARSE_CLOCK_S", 0.0)
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (99, 0))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {finding.topic: finding for finding in doctor.examine()}
    for topic in TOPICS:
        if topic != "local":
            assert not found[topic].ok, topic
            assert found[topic].fix, topic
    assert found["lab"].fix == "sudo sysctl -w x=0"
    assert "Not a directory" in found["cache"].detail
    monkeypatch.delattr("os.pidfd_open")
    assert not doctor._local().ok


@pytest.mark.parametrize(
    ("script", "ok", "detail"),
    [
        ("echo 20.10.1", True, "engine 20.10.1"),
        ("echo Cannot connect; exit 1", False, "reaches no engine (optional): Cannot connect"),
        ("exit 1", False, "no reason given"),
        ("sleep 60", False, "does not answer"),
    ],
)
def test_docker_is_looked_at_without_waiting_long(
    script: str, ok: bool, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(doctor.shutil, "which", lambda _: str(program))
    monkeypatch.setattr(doctor, "DOCKER_LIMIT_S", 0.3 if "sleep" in script else 10.0)
    finding = doctor._docker()
    assert finding.ok is ok
    assert detail in finding.detail


def test_a_kernel_without_a_part_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = {Capability.RESET: "Operation not supported"}
    monkeypatch.setattr(doctor, "obstacle", lambda: None)
    monkeypatch.setattr(doctor, "examine_lab", lambda: Examination(lacks=lacks))
    found = doctor._links()
    assert not found.ok
    assert found.detail == "no reset: Operation not supported"
    assert "INET_DIAG_DESTROY" in str(found.fix)
