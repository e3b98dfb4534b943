"""Small reports with planted metrics, for what is made of reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import EXIT_INTERRUPTED
from harness.report.model import (
    EXIT_CODES,
    SEVERITY,
    Client,
    Environment,
    Finding,
    Iteration,
    IterationMetric,
    Metric,
    Rate,
    Report,
    Server,
    VerdictName,
)
from harness.report.write import write_report

SCENARIO = {
    "name": "planted",
    "cluster": {"servers": 3, "version": "bundled"},
    "faults": [{"name": "kill", "action": "kill", "at": "0s"}],
    "workloads": [{"name": "hello", "rate": "500/s", "publishers": 2}],
    "thresholds": {},
}


def report(
    metrics: Sequence[dict[str, IterationMetric]],
    run_id: str = "r1",
    *,
    scenario: dict[str, Any] | None = None,
    server: str = "2.14.0",
    options: dict[str, Any] | None = None,
    findings: Sequence[Finding] = (),
    **facts: Any,
) -> Report:
    """Return a report whose iterations have these metrics; its verdict is that of its findings."""
    verdict: VerdictName = max(
        (one.verdict for one in findings), key=SEVERITY.index, default="pass"
    )
    interrupted = facts.get("interrupted", False)
    known: dict[str, Any] = {
        "run_id": run_id,
        "started_at": f"2026-01-01T00:00:00Z {run_id}",
        "nats_harness_version": "0.1.0",
        "verdict": verdict,
        "exit_code": EXIT_INTERRUPTED if interrupted else EXIT_CODES[verdict],
        "scenario": {**SCENARIO, **(scenario or {})},
        "seed": 42,
        "reproduce": "nats-harness run planted",
        "environment": Environment(
            backend="lab",
            client=Client(adapter="nats-py", version="2.16.0", options=options or {}),
            servers=[Server(name="n1", version=server, versions=[server])],
        ),
        "iterations": [_iteration(index, one) for index, one in enumerate(metrics)],
        "metrics": {"lost": Metric(kind="counter", unit="messages", n=1, count=0)},
        "findings": list(findings),
    }
    return Report(**{**known, **facts})


def finding(check: str, verdict: str, iteration: int, detail: str = "so it was") -> Finding:
    return Finding.model_validate(
        {"check": check, "verdict": verdict, "value": None, "limit": None, "margin": None,
         "detail": detail, "iteration": iteration}
    )  # fmt: skip


def store(folder: Path, report: Report) -> Path:
    """Write a report as a run folder would hold it; return the run folder."""
    run_folder = folder / f"planted-{report.run_id}"
    run_folder.mkdir(parents=True)
    write_report(report, run_folder / "report.json")
    return run_folder


def _iteration(index: int, metrics: dict[str, IterationMetric]) -> Iteration:
    return Iteration(
        index=index, verdict="pass", faults=[], messages=None, clients=[], watchdog=[],
        rate=Rate(start=0, width=0.1, delivered=[]), metrics=metrics, timeline=[],
    )  # fmt: skip
