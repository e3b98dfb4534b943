"""A user's own type checker finds everything that the package promises."""

from __future__ import annotations

from pathlib import Path

from type_check import type_check

SNIPPET = """
import harness
from harness import Faults, HostedCluster, Report, Scenario


def gate(version: str) -> bool:
    scenario: Scenario = harness.load({"name": "x", "workloads": [{"name": "w", "kind": "core"}]})
    report: Report = harness.run(scenario, backend="local", server=version, seed=1, repeat=3)
    for finding in report.thresholds:
        if finding.margin is not None and finding.margin < 0:
            print(finding.metric, finding.condition, finding.value)
    failover = report.metrics["failover_time"].p99
    return report.passed and failover is not None and failover < 3.0


async def ask() -> str:
    report = await harness.arun("seed-failover", reports="runs", quiet=False)
    return report.verdict


def test_mine(nats_cluster: HostedCluster, nats_faults: Faults) -> None:
    with nats_faults.stop("n1", count="one") as stopped:
        names: tuple[str, ...] = stopped.targets
        print(names, stopped.proof[0].what, nats_cluster.nodes["n1"].running)


async def own() -> list[str]:
    async with harness.nats_cluster(servers=1, version="2.14.6", backend="lab") as cluster:
        async with cluster.faults.pause("n1"):
            return cluster.urls
"""
WRONG = '\nharness.run("seed-failover", backend="lap", sede=1)\nharness.nats_cluster(sevrers=3)\n'


def test_a_users_snippet_is_typed_strictly(tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(SNIPPET, encoding="utf-8")
    done = type_check(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_users_mistakes_are_seen(tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(SNIPPET + WRONG, encoding="utf-8")
    done = type_check(tmp_path)
    assert done.returncode == 1
    assert 'expected "Literal' in done.stdout
    assert '"sede"' in done.stdout
    assert '"sevrers"' in done.stdout
