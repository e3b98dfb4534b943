"""Servers that crash when they are asked to end: no stop, no lame duck, but a failed run."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Harness

from harness.cluster.binaries import bundled

CRASHING = """#!/bin/bash
case "$*" in *-t*|*--version*) exec {server} "$@";; esac
{server} "$@" & child=$!
trap 'kill -QUIT $child; wait $child; exit 2' TERM
trap 'kill -USR2 $child; sleep 0.3; kill -SEGV $child; wait $child; exit 2' USR2
wait $child
"""
SCENARIO = """
name: crash
seed: 7
cluster: {{servers: 2, version: {version}}}
client: {{servers: [n1], options: {{reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}}}
workloads:
  - {{name: hello, kind: core, publishers: 1, subscribers: 1, rate: 100/s}}
phases: {{warmup: 200ms, steady: 500ms, recovery: 500ms, drain: 1s}}
faults:
  - {{name: f, target: n1, {fault}}}
thresholds:
  duplicates: ["count == 0"]
"""


@pytest.mark.lab
@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        ("action: stop, duration: 500ms", "SIGTERM"),
        ("action: rolling-restart", "SIGTERM"),
        ("action: lame-duck", "SIGUSR2"),
        ("action: lame-duck, duration: 1s", "SIGUSR2"),
    ],
)
def test_a_server_that_crashes_when_asked_fails_the_run(
    harness: Harness, tmp_path: Path, fault: str, asked: str
) -> None:
    program = tmp_path / "crashing"
    program.write_text(CRASHING.format(server=bundled().path))
    program.chmod(0o755)
    text = SCENARIO.format(version=program, fault=fault)
    done = harness.run("run", harness.scenario(text, "crash"), "--backend", "lab")
    assert done.returncode == 1, done.stdout + done.stderr
    told = [one["detail"] for one in harness.report()["findings"] if one["check"] == "completion"]
    assert any(
        one.startswith("server n1 exited unasked with code 2 after ")
        and one.endswith(f"as no server does on {asked}")
        for one in told
    ), told
