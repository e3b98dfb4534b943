"""Build the report from a history and what the judges say of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from harness.checks.judgement import IterationJudgement, Judgement
from harness.history.facts import FaultWindow, Iteration, Probing
from harness.history.model import History
from harness.history.views import find_changes
from harness.report import model
from harness.report.metrics import list_values, name_metrics, summarise
from harness.stats.labelled import Wanted

MAX_HAPPENINGS = 1000
UNSHOWN = frozenset(
    {
        "audit.read",
        "audit.state",
        "client.attempt",
        "client.discovered",
        "command.ended",
        "fault.damaged",
        "consumer.created",
        "consumer.state",
        "fault.probed",
        "faults.scheduled",
        "jetstream.sampled",
        "load.planned",
        "server.described",
        "server.sampled",
        "server.unanswered",
        "subscription.confirmed",
        "worker.ready",
        "worker.done",
    }
)


def build(history: History, judgement: Judgement) -> model.Report:
    """Return the report; pure, so judging a run folder again gives an equal one."""
    started = history.started
    named = name_metrics(history, judgement)
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
            _build_iteration(told, judged, named)
            for told, judged in zip(history.iterations, judgement.iterations, strict=True)
        ],
        metrics={
            text: model.Metric(**summarise(name, judgement.metrics[name].select(labels)))
            for text, (name, labels) in named.items()
        },
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
    servers: dict[str, Mapping[str, Any]] = {}
    for event in history.of_kind("server.described"):
        servers.setdefault(event["name"], event)
    return model.Environment(
        backend=started.get("backend"),
        clients_via=next((one.get("via") for one in history.of_kind("proxies.started")), None),
        host=tame(host),
        cores=host.get("cores") if isinstance(host, Mapping) else None,
        python=started.get("python"),
        client=model.Client(
            adapter=adapter.get("name"),
            version=adapter.get("version"),
            options=tame(adapter.get("options") or {}),
        ),
        servers=[
            model.Server(
                name=name,
                version=event.get("version"),
                versions=_versions_of(name, history),
                config=tame(event.get("config")),
            )
            for name, event in servers.items()
        ],
    )


def _versions_of(name: str, history: History) -> list[str]:
    """Return the releases that a server was, each once, the first first."""
    described = history.of_kind("server.described")
    told = [str(one["version"]) for one in described if one["name"] == name and one.get("version")]
    return list(dict.fromkeys(told))


def _build_iteration(
    told: Iteration, judged: IterationJudgement, named: Mapping[str, tuple[str, Wanted]]
) -> model.Iteration:
    disconnects = judged.facts.get("disconnects", {})
    noticed = judged.facts.get("noticed", {})
    proven = judged.facts.get("proven", {})
    happenings = list(_happenings(told))
    start, width, delivered = judged.rate
    metrics = {}
    for text, (name, labels) in named.items():
        own = judged.metrics[name].select(labels)
        metrics[text] = model.IterationMetric(**summarise(name, own), **list_values(own))
    return model.Iteration(
        index=told.index,
        verdict=judged.verdict.value,
        schedule=[tame(step) for step in told.schedule or ()],
        faults=[
            _build_fault(told, window, noticed.get(window.name, ()), proven=proven.get(window.name))
            for window in told.faults
        ],
        messages=_build_messages(judged.messages),
        named=[model.NamedMessage.model_validate(one) for one in judged.facts.get("named", ())],
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
        streams=list(_build_streams(judged.facts)),
        rate=model.Rate(start=start, width=width, delivered=delivered),
        metrics=metrics,
        disturbance=model.Disturbance(
            lag=max(judged.facts.get("lags", {}).values(), default=0.0),
            late_senders=judged.facts.get("late_senders", []),
        ),
        timeline=happenings[:MAX_HAPPENINGS],
        timeline_left_out=max(0, len(happenings) - MAX_HAPPENINGS),
    )


def _build_streams(facts: Mapping[str, Any]) -> Iterator[model.Stream]:
    """Yield the streams that could be judged; where a check crashed, its part is zero."""
    places = facts.get("stream_places", {})
    consumers = facts.get("stream_consumers", {})
    for name, loss in facts.get("stream_losses", {}).items():
        unknown = {"duplicates": 0, "sequence_conflicts": 0}
        replicas = [model.StreamReplica(**one) for one in loss["replicas"]]
        yield model.Stream(
            name=name,
            **{**unknown, **places.get(name, {}), **loss, "replicas": replicas},
            consumers=[model.StreamConsumer(**one) for one in consumers.get(name, ())],
        )


def _first_server(told: Iteration, client: str) -> str | None:
    events = (one for one in told.of_kind("client.connected") if one["client"] == client)
    return next((one.get("server") for one in events), None)


def _build_fault(
    told: Iteration,
    window: FaultWindow,
    noticed: Iterable[Mapping[str, Any]],
    *,
    proven: bool | None,
) -> model.Fault:
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
        proven=proven,
        noticed=[model.Notice(**one) for one in noticed],
        late_s=window.late_s,
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
                via=link.via,
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
    shown = [one for one in told.events if one["kind"] not in UNSHOWN]
    for event in sorted([*shown, *find_changes(told)], key=lambda one: int(one["at_ns"])):
        facts = {
            key: tame(value)
            for key, value in event.items()
            if key not in ("at_ns", "kind", "iteration", "at", "start_ns", "stop_ns")
        }
        yield model.Happening(at=told.relative_s(event["at_ns"]), kind=event["kind"], **facts)
