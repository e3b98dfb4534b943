"""Skewed clocks and limited CPU time, end to end: proven, refused, and nothing left behind."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from command_line import SHORT, Harness, eventually

from harness.backends import cgroup

BACKENDS = [pytest.param("lab", marks=pytest.mark.lab), "local"]
SCHEMA = Path(__file__).parents[2] / "reports" / "schema" / "report-v1.json"
KILL = "{{name: kill-seed, action: kill, target: seed, duration: 500ms}}"
FAILOVER = '  failover_time: ["censored == 0"]\n'
SKEW = "{{name: skew, action: clock-skew, skew: -2h, target: seed, duration: %s}}"
LIMIT = "{{name: squeeze, action: cpu-limit, cpus: 20%%, target: n2, duration: %s}}"
# A control group has to hold the server back, so it needs work, and little time for it.
BUSY = "rate: 1000/s, payload: 128B"
SQUEEZE = "{{name: squeeze, action: cpu-limit, cpus: 5%%, target: seed, duration: %s}}"
NO_SKEW = "from harness.backends import vdso\nvdso.skew = lambda pid, skew_s: vdso.Skew()\n"
NO_UNDO = "from harness.backends import vdso\nvdso.restore = lambda pid, given: None\n"
# Where control groups may be made, they would be used instead.
NO_GROUPS = """
from harness.backends import cgroup
from harness.errors import FaultError
def refuse(pid, cpus):
    raise FaultError("none")
cgroup.limit = refuse
"""
NO_LIMIT = f"""{NO_GROUPS}
import sys
from harness.backends import server_cpu
code = "import os, sys, time; os.kill(int(sys.argv[1]), 19); time.sleep(.05)"
code += "; os.kill(int(sys.argv[1]), 18); time.sleep(60)"
server_cpu.stop_and_go_argv = lambda pid, cpus: [sys.executable, "-c", code, str(pid)]
"""
# What is tried before a run would find the planted misfortunes at once.
BLIND = """
from harness.backends import choose, trials
choose.attempt = lambda backend, capability: trials.Attempt(means="not tried")
"""


def with_faults(*steps: str) -> str:
    return SHORT.replace(KILL, "\n  - ".join(steps)).replace(FAILOVER, "")


def groups() -> set[Path]:
    return {
        folder
        for hierarchy in cgroup.hierarchies()
        for parent in hierarchy.parents
        for folder in parent.glob(f"{cgroup.PREFIX}*")
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_are_proven_at_once_and_nobody_is_disconnected(backend: str, harness: Harness) -> None:
    skew = (SKEW % "1s").replace("seed", "n2")
    text = with_faults(skew, SQUEEZE % "1s").replace("rate: 200/s, payload: 128B", BUSY)
    result = harness.run("run", harness.scenario(text), "--backend", backend)
    assert result.returncode == 0, result.stdout + result.stderr
    report = harness.report()
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    (iteration,) = report["iterations"]
    assert [client["disconnects"] for client in iteration["clients"]] == [[]] * 6
    assert iteration["messages"]["lost"] == 0
    proofs = {fault["name"]: fault["proof"] for fault in iteration["faults"]}
    assert [one["kind"] for one in proofs["skew"]] == ["hit", "effect", "held", "undo"]
    assert "2 other servers not touched" in proofs["skew"][1]["what"]
    assert [one["kind"] for one in proofs["squeeze"]] == ["hit", "effect", "held", "undo"]
    assert proofs["squeeze"][1]["what"].startswith("limited by ")
    assert "held back in 0 of" not in proofs["squeeze"][2]["what"]


def test_a_server_that_wants_less_than_its_share_was_under_no_limit(harness: Harness) -> None:
    idle = LIMIT.replace("20%%", "80%%") % "1s"
    result = harness.run("run", harness.scenario(with_faults(idle)), "--backend", "local")
    report = harness.report()
    (squeeze,) = report["iterations"][0]["faults"]
    if "stop-and-go" in squeeze["proof"][1]["what"]:  # which holds back whatever it stops
        assert (result.returncode, squeeze["proven"]) == (0, True), result.stdout
    else:
        assert (result.returncode, squeeze["proven"]) == (3, False), result.stdout
        (proof,) = (one for one in report["findings"] if one["check"] == "proof")
        assert "n2 was held back in none of" in proof["detail"]


@pytest.mark.parametrize(
    ("backend", "planted", "step", "said"),
    [
        pytest.param("lab", NO_SKEW, SKEW, "effect: the clock of n1 is", marks=pytest.mark.lab),
        ("local", NO_UNDO, SKEW, r"undo: the clock of n1 is 7(200|199\.\d+) s behind"),
        ("local", NO_LIMIT, LIMIT, "effect: the limit of n2 is not as asked for: it was stopped"),
    ],
    ids=["no-skew", "no-undo", "no-limit"],
)
def test_what_does_not_work_is_inconclusive(
    backend: str, planted: str, step: str, said: str, harness: Harness
) -> None:
    path = harness.scenario(with_faults(step % "200ms"))
    result = harness.run("run", path, "--backend", backend, planted=BLIND + planted)
    assert result.returncode == 3, result.stdout + result.stderr
    report = harness.report()
    (proof,) = (one for one in report["findings"] if one["check"] == "proof")
    assert proof["verdict"] == report["verdict"] == "inconclusive"
    assert re.search(said, proof["detail"])


def abandoned(group: Path) -> bool:
    """Tell whether nobody holds the lock of a group; those of other tests are held."""
    try:
        folder = os.open(group, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(folder)
    return True


@pytest.mark.parametrize(
    ("backend", "planted", "step"),
    [
        pytest.param("lab", "", SKEW, marks=pytest.mark.lab),
        pytest.param("lab", "", LIMIT, marks=pytest.mark.lab),
        pytest.param("lab", NO_GROUPS, LIMIT, marks=pytest.mark.lab),
        ("local", NO_GROUPS, LIMIT),
    ],
    ids=["clock-skew", "cpu-limit", "stop-and-go", "stop-and-go-local"],
)
def test_sigkill_meanwhile_leaves_nothing_stopped_or_behind(
    backend: str, planted: str, step: str, harness: Harness
) -> None:
    before = groups()
    path = harness.scenario(with_faults(step % "30s"))
    with harness.start("run", path, "--backend", backend, planted=planted) as process:
        assert process.stdout is not None
        assert any("effect observed" in line for line in process.stdout)
        process.kill()
        process.communicate()
    assert eventually(lambda: not harness.leftovers()), harness.leftovers()
    cgroup.sweep_all()  # as the next run does
    assert not [group for group in groups() - before if abandoned(group)]


def test_a_machine_that_cannot_do_it_refuses_before_anything_starts(
    make_harness: Callable[[str], Harness],
) -> None:
    planted = "import platform\nplatform.machine = lambda: 'riscv64'\n"
    for backend in ("local", "lab"):
        harness = make_harness(backend)
        path = harness.scenario(with_faults(SKEW % "1s"))
        result = harness.run("run", path, "--backend", backend, planted=planted)
        assert result.returncode == 2, result.stdout + result.stderr
        assert "cannot skew-clocks here: only known for x86_64, and this is" in result.stderr
        assert harness.reports() == []
