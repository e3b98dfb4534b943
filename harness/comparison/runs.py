"""What a comparison needs of a run: its iterations' metrics, and what they were measured on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from harness.comparison.metrics import find_resolutions
from harness.errors import ReportError
from harness.report.model import Iteration, IterationMetric, Part, Report, VerdictName

Trust = Literal["all", "guarantees", "none"]

CUT = "completion"
THRESHOLDS = "thresholds"
UNUSED = {"min", "p90", "p95"}


class RunIteration(Part):
    """An iteration as a comparison sees it.

    `trust` says which of its metrics count: all; ``guarantees`` when something made it
    inconclusive, so that neither its times nor its rates can be trusted, while a message that
    was found lost is lost; none when it was cut off. `why` says what it was, if anything.
    """

    seed: str
    trust: Trust
    why: str | None = None
    metrics: dict[str, IterationMetric]


class Run(Part):
    """A run as a comparison sees it; `resolution` is in seconds, by metric.

    `measured` are all metrics that its harness looked for, also those without a value; null in
    a baseline that was stored before these were kept.
    """

    source: str
    run_id: str
    started_at: str
    nats_harness_version: str
    verdict: VerdictName
    name: str
    scenario: dict[str, Any]
    backend: str | None = None
    clients_via: str | None = None
    host: Any = None
    client: str
    client_options: dict[str, Any]
    servers: list[str]
    disturbed: int = 0
    resolution: dict[str, float] = Field(default_factory=dict)
    measured: list[str] | None = None
    iterations: list[RunIteration]


def see_run(report: Report, source: str) -> Run:
    """Return what a comparison needs of a report.

    Raises:
        ReportError: the report was written before iterations had metrics of their own.
    """
    if report.metrics and report.iterations and not any(one.metrics for one in report.iterations):
        raise ReportError(
            f"{source}: written by a nats-harness that did not keep the metrics of each iteration, "
            "which are what is compared: run it again"
        )
    environment = report.environment
    client = environment.client
    return Run(
        source=source,
        run_id=report.run_id,
        started_at=report.started_at,
        nats_harness_version=report.nats_harness_version,
        verdict=report.verdict,
        name=str(report.scenario.get("name", "unnamed")),
        scenario=report.scenario,
        backend=environment.backend,
        clients_via=environment.clients_via,
        host=environment.host,
        client=" ".join(filter(None, (client.adapter, client.version))) or "unknown",
        client_options=client.options,
        servers=sorted(
            {
                version
                for server in environment.servers
                for version in (server.versions or [server.version or "unknown"])
            }
        ),
        disturbed=sum("disturbed" in text or "late sender" in text for text in report.warnings),
        resolution=find_resolutions(report),
        measured=sorted({name for one in report.iterations for name in one.metrics}),
        iterations=[_see_iteration(report, one) for one in report.iterations],
    )


def _see_iteration(report: Report, iteration: Iteration) -> RunIteration:
    trust, why = _judge_trust(report, iteration)
    first = int(report.scenario.get("first_iteration") or 0)
    return RunIteration(
        seed=f"{report.seed}/{first + iteration.index}",
        trust=trust,
        why=why,
        metrics={} if trust == "none" else {name: _trim(one) for name, one in _kept(iteration)},
    )


def _kept(iteration: Iteration) -> Iterator[tuple[str, IterationMetric]]:
    for name, metric in iteration.metrics.items():
        if metric.n or metric.count:
            yield name, metric


def _trim(metric: IterationMetric) -> IterationMetric:
    """Leave what is compared, to a nanosecond, which no measurement here is better than."""

    def tidy(value: Any) -> Any:
        if isinstance(value, list):
            return [tidy(one) for one in value]
        return round(value, 9) if isinstance(value, float) else value

    facts = metric.model_dump(exclude=UNUSED)
    return IterationMetric(**{key: tidy(value) for key, value in facts.items()})


def _judge_trust(report: Report, iteration: Iteration) -> tuple[Trust, str | None]:
    """Say what of an iteration counts, and why not all of it.

    Thresholds are about whether the values are good, not about whether they are true.
    """
    own = [one for one in report.findings if one.iteration == iteration.index]
    ends = [one for one in own if one.check == CUT]
    broken = [one.detail for one in ends if one.verdict != "pass"]
    if broken:
        return "none", broken[0]
    last = iteration.index == max(one.index for one in report.iterations)
    if report.interrupted and last and not ends:
        return "none", "interrupted"
    doubts = [
        f"{one.check}: {one.detail}"
        for one in own
        if one.verdict == "inconclusive" and one.check != THRESHOLDS
    ]
    return ("guarantees", doubts[0]) if doubts else ("all", None)
