"""Build the report from a history and what the judges say of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from harness.checks.judgement import IterationJudgement, Judgement
from harness.history.facts import FaultWindow, Iteration, Probing
from harness.history.model import History
from harness.report import model
from harness.scenario.metrics import DISTRIBUTION_STATISTICS, METRICS
from harness.scenario.thresholds import parse_selector
from harness.stats.distribution import Distribution
from harness.stats.labelled import Count, PooledSamples, PooledTally

MAX_HAPPENINGS = 1000
UNSHOWN = frozenset(
    {
        "client.attempt",
        "client.discovered",
        "fault.probed",
        "load.planned",
        "server.described",
        "subscription.confirmed",
        "worker.ready",
        "worker.done",
    }
)


def build(history: History, judgement: Judgement) -> model.Report:
    """Return the report; pure, so judging a run folder again gives an equal one."""
    started = history.started
    return model.Report(
        run_id=str(started.get("run_id", "unknown")),
        started_at=str(started.get("started_at", "unknown")),
        nats_harness_version=str(started.get("nats_harness_version", "unknown")),
        verdict=judgement.verdict.value,
        exit_code=judgement.exit_code,
        interrupted=judgement.interrupted,
        scenario=tame(history.scenario),
        seed=started.get("seed", history.scenario.get("seed")),
        reproduce=str(started.get("reproduce", "")),
        environment=_describe_environment(history),
        warnings=list(judgement.notes),
        iterations=[
            _build_iteration(told, judged)
            for told, judged in zip(history.iterations, judgement.iterations, strict=True)
        ],
        metrics=_build_metrics(history, judgement),
        findings=[model.Finding(**_plain(asdict(one))) for one in judgement.findings],
    )


def tame(value: Any) -> Any:
    """Return plain data that JSON can hold: no NaN, no infinity, text for what is foreign."""
    if isinstance(value, Mapping):
        return {str(key): tame(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [tame(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tame(value) for key, value in facts.items()}


def _describe_environment(history: History) -> model.Environment:
    started = history.started
    host = started.get("host")
    ready = next(iter(history.of_kind("worker.ready")), {})
    adapter = ready.get("adapter") or {}
    servers = {event["name"]: event for event in history.of_kind("server.described")}
    return model.Environment(
        backend=started.get("backend"),
        host=tame(host),
        cores=host.get("cores") if isinstance(host, Mapping) else None,
        python=started.get("python"),
        client=model.Client(
            adapter=adapter.get("name"),
            version=adapter.get("version"),
            options=tame(adapter.get("options") or {}),
        ),
        servers=[
            model.Server(name=name, version=event.get("version"), config=tame(event.get("config")))
            for name, event in servers.items()
        ],
    )


def _build_iteration(told: Iteration, judged: IterationJudgement) -> model.Iteration:
    disconnects = judged.facts.get("disconnects", {})
    happenings = list(_happenings(told))
    start, width, delivered = judged.rate
    return model.Iteration(
        index=told.index,
        verdict=judged.verdict.value,
        faults=[_build_fault(told, window) for window in told.faults],
        messages=_build_messages(judged.messages),
        clients=[
            model.ClientStory(
                name=client.name,
                role=client.role,
                workload=client.workload,
                server=_first_server(told, client.name),
                disconnects=[model.Disconnect(**one) for one in disconnects.get(client.name, ())],
            )
            for client in told.clients
        ],
        watchdog=[
            model.Outage(name=name, **facts)
            for name, facts in judged.facts.get("watchdog", {}).items()
        ],
        rate=model.Rate(start=start, width=width, delivered=delivered),
        timeline=happenings[:MAX_HAPPENINGS],
        timeline_left_out=max(0, len(happenings) - MAX_HAPPENINGS),
    )


def _first_server(told: Iteration, client: str) -> str | None:
    events = (one for one in told.of_kind("client.connected") if one["client"] == client)
    return next((one.get("server") for one in events), None)


def _build_fault(told: Iteration, window: FaultWindow) -> model.Fault:
    def at(at_ns: int | None) -> float | None:
        return None if at_ns is None else told.relative_s(at_ns)

    proof = [(hit.at_ns, hit.node, "hit", hit.how) for hit in window.hits]
    proof += [(seen.at_ns, seen.node, seen.edge, seen.what) for seen in window.observations]
    shown = [
        model.Proof(at=told.relative_s(at_ns), node=node, kind=kind, what=what)
        for at_ns, node, kind, what in sorted(proof)
    ]
    shown += [
        model.Proof(at=told.relative_s(one.at_ns), node=None, kind="failure", what=one.message)
        for one in window.failures
    ]
    shown += [_build_probing(told, one) for one in window.probings]
    return model.Fault(
        name=window.name,
        action=window.action,
        targets=list(window.targets),
        inject_start=at(window.inject_started_ns),
        inject_done=at(window.injected_ns),
        heal_start=at(window.heal_started_ns),
        heal_done=at(window.healed_ns),
        proof=shown,
    )


def _build_probing(told: Iteration, look: Probing) -> model.Proof:
    passed = sum(link.received == link.sent for link in look.links)
    return model.Proof(
        at=told.relative_s(look.at_ns),
        node=None,
        kind="probes",
        what=f"{look.edge}: all probes passed over {passed} of {len(look.links)} links",
        links=[
            model.ProbedLink(
                source=link.source,
                target=link.target,
                cut=link.cut,
                sent=link.sent,
                received=link.received,
            )
            for link in look.links
        ],
    )


def _build_messages(counts: Mapping[str, Mapping[str, int]]) -> model.Messages | None:
    if not counts:
        return None
    phases = {
        phase: model.PhaseMessages(**one)
        for phase, one in counts.items()
        if phase != "all" and one["intended"]
    }
    return model.Messages(**counts["all"], by_phase=phases)


def _happenings(told: Iteration) -> Iterator[model.Happening]:
    for event in sorted(told.events, key=lambda one: int(one["at_ns"])):
        if event["kind"] in UNSHOWN:
            continue
        facts = {
            key: tame(value)
            for key, value in event.items()
            if key not in ("at_ns", "kind", "iteration", "at", "start_ns", "stop_ns")
        }
        yield model.Happening(at=told.relative_s(event["at_ns"]), kind=event["kind"], **facts)


def _build_metrics(history: History, judgement: Judgement) -> dict[str, model.Metric]:
    """Return every metric, and those with labels that thresholds name."""
    metrics = {
        name: _build_metric(name, judgement.metrics[name], {})
        for name in METRICS
        if name in judgement.metrics
    }
    for text in history.scenario.get("thresholds") or {}:
        try:
            selector = parse_selector(text)
        except ValueError:
            continue  # the check of thresholds has said so
        if selector.labels and selector.metric in judgement.metrics:
            found = judgement.metrics[selector.metric]
            metrics[text] = _build_metric(selector.metric, found, selector.labels)
    return metrics


def _build_metric(
    name: str, values: PooledSamples | PooledTally, labels: Mapping[str, str]
) -> model.Metric:
    metric = METRICS[name]
    found = values.select(labels)
    if isinstance(found, Count):
        ratio = found.count / found.of if found.of else None
        return model.Metric(
            kind="counter", unit=metric.unit, n=found.of, count=found.count, ratio=ratio
        )
    return model.Metric(kind="distribution", unit=metric.unit, **_summarise(found))


def _summarise(found: Distribution) -> dict[str, Any]:
    summary: dict[str, Any] = {"n": found.n, "censored": found.censored}
    bounds = []
    for name in DISTRIBUTION_STATISTICS:
        interval = found.statistic(name)
        if name in summary or interval is None:
            continue
        summary[name] = interval.lower
        if not interval.exact:
            bounds.append(name)
    return {**summary, "lower_bounds": bounds}
