"""The rules about streams that span keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from harness.scenario.model import FaultStep, Scenario
from harness.scenario.problems import KeyPath, Problem, show, suggestion
from harness.scenario.schedule import possible_steps
from harness.scenario.streams import StreamSpec
from harness.scenario.subjects import Patterns, covers
from harness.scenario.system_account import obstacle
from harness.scenario.targets import FOLLOWER, META_LEADER, Led, parse_led
from harness.scenario.vocabulary import Vocabulary


def has_jetstream(scenario: Scenario) -> bool:
    """Tell whether the servers may have JetStream: so it is asked for, or not ours to say."""
    cluster = scenario.cluster
    elsewhere = cluster.compose is not None or cluster.attach is not None
    by_arguments = cluster.container is not None and cluster.container.arguments is not None
    by_config = any(str(key).lower() == "jetstream" for key in cluster.config)
    return cluster.jetstream is not False or elsewhere or by_arguments or by_config


# Keys of a server's configuration by which messages come from elsewhere, or on other subjects.
_ELSEWHERE = frozenset(
    {"accounts", "gateway", "include", "leafnodes", "mappings", "maps", "operator", "resolver"}
)


def only_workloads_publish(scenario: Scenario) -> bool:
    """Tell whether nothing is published to streams but by workloads, for certain.

    Others may on servers that run already or are configured elsewhere; so may a user's
    command, and a stream that has a source, transforms subjects or republishes.
    """
    cluster = scenario.cluster
    elsewhere = cluster.compose is not None or cluster.attach is not None
    by_arguments = cluster.container is not None and cluster.container.arguments is not None
    by_config = any(str(key).lower() in _ELSEWHERE for key in cluster.config)
    by_command = any(step.action == "command" for step in possible_steps(scenario))
    by_streams = any(stream.options for stream in scenario.streams)
    return not (elsewhere or by_arguments or by_config or by_command or by_streams)


def needs_observer(scenario: Scenario) -> bool:
    """Tell whether JetStream has to be observed: it has streams, or a fault is about it."""
    if scenario.streams or any(workload.stream_names for workload in scenario.workloads):
        return True
    return any(
        isinstance(step.target, str) and parse_led(step.target) is not None
        for step in scenario.faults
        if isinstance(step, FaultStep)
    )


def check_peer_removals(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """A peer is removed of a stream that exists, and another server can take its place."""
    servers = len(scenario.cluster.nodes)
    for index, step in enumerate(scenario.faults):
        name = getattr(step, "stream", None)
        if step.action != "peer-remove" or name is None:
            continue
        path: KeyPath = ("faults", index, "stream")
        known = stream_names(scenario)
        if name not in known:
            hint = suggestion(name, known) if known else "; the scenario has none"
            yield Problem(path, f"unknown stream {name!r}{hint}")
            continue
        spec = next((one for one in scenario.streams if one.name == name), None)
        if spec is not None and spec.replicas >= servers:
            message = (
                f"stream {name!r} has a replica on each of {servers} servers, so the server "
                "refuses to remove one: give it fewer replicas, or the cluster another server"
            )
            yield Problem(path, message)


def stream_names(scenario: Scenario) -> tuple[str, ...]:
    """Return the streams that there will be: the scenario's, and those that workloads make."""
    own = [name for one in scenario.workloads for name in one.stream_names]
    return (*(stream.name for stream in scenario.streams), *own)


def bucket_streams(scenario: Scenario) -> tuple[StreamSpec, ...]:
    """Return the streams that clients make for their buckets, as far as an audit has to know."""
    return tuple(
        StreamSpec(name=name, replicas=getattr(workload, "replicas", 1))
        for workload in scenario.workloads
        for name in workload.stream_names
    )


def group_names(scenario: Scenario) -> tuple[str, ...]:
    """Return everything that will have a leader: meta, streams and consumers."""
    consumers = [
        f"consumer:{stream}/{name}"
        for workload in scenario.workloads
        for stream, named in workload.durables().items()
        for name in named
    ]
    return ("meta", *(f"stream:{name}" for name in stream_names(scenario)), *consumers)


def check_led(target: Led, scenario: Scenario, path: KeyPath) -> Iterator[Problem]:
    """Yield what is wrong with a target or an `attach` that is about leaders."""
    if not has_jetstream(scenario):
        yield Problem(path, f"{target.kind} needs JetStream; add cluster.jetstream: true")
        return
    if target.stream is None:
        if len(scenario.cluster.nodes) == 1:
            yield Problem(path, "a server alone has no meta leader")
        return
    known = stream_names(scenario)
    if target.stream not in known:
        hint = suggestion(target.stream, known) if known else "; the scenario has none"
        yield Problem(path, f"unknown stream {target.stream!r}{hint}")
        return
    spec = next((one for one in scenario.streams if one.name == target.stream), None)
    if target.kind == FOLLOWER and spec is not None and spec.replicas == 1:
        yield Problem(path, f"stream {target.stream!r} has one replica, so nobody follows")
    if target.consumer is not None:
        durables = [
            name
            for workload in scenario.workloads
            for name in workload.durables().get(target.stream, {})
        ]
        if target.consumer not in durables:
            hint = suggestion(target.consumer, durables)
            message = f"unknown consumer {target.consumer!r} of stream {target.stream!r}{hint}"
            yield Problem(path, message)


def check_meta_step_downs(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """The meta leader steps down for the system account only, so there must be a login of it."""
    why = obstacle(scenario.cluster)
    for index, step in enumerate(scenario.faults):
        if step.action == "step-down" and getattr(step, "target", None) == META_LEADER and why:
            message = f"the meta leader steps down for the system account only, and {why}"
            yield Problem(("faults", index, "target"), message)


def check_expectations(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Only where there are leaders that somebody watches can one be expected to change."""
    if needs_observer(scenario):
        return
    for index, step in enumerate(scenario.faults):
        if getattr(step, "expect", None) is not None:
            message = "there is nothing here that has a leader; see streams"
            yield Problem(("faults", index, "expect"), message)


def check_streams(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Streams need JetStream, differ in names and subjects, and fit onto the servers."""
    if scenario.streams and not has_jetstream(scenario):
        message = "streams need JetStream; add cluster.jetstream: true"
        yield Problem(("streams",), message, at_key=True)
    names: set[str] = set()
    before: list[tuple[str, Patterns]] = []
    servers = len(scenario.cluster.nodes)
    for index, stream in enumerate(scenario.streams):
        path = ("streams", index)
        if stream.name in names:
            yield Problem((*path, "name"), f"another stream is called {show(stream.name)} already")
        names.add(stream.name)
        if stream.replicas > servers:
            message = f"{stream.replicas} replicas need as many servers, the cluster has {servers}"
            yield Problem((*path, "replicas"), message)
        for other, taken in before:
            pairs = ((mine, taken.overlapping(mine)) for mine in stream.filters)
            for mine, theirs in islice((pair for pair in pairs if pair[1] is not None), 1):
                message = f"stream {other!r} takes {theirs!r}, which {mine!r} overlaps"
                yield Problem((*path, "subjects" if stream.subjects else "name"), message)
        before.append((stream.name, Patterns(stream.filters)))


def check_stream_users(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Workloads use streams as these can be used, and none by accident.

    What a core or request workload sends is fenced by probes and end markers, which a stream
    would keep, and answered by the stream.
    """
    for index, workload in enumerate(scenario.workloads):
        for path, message in workload.impossibilities(scenario):
            yield Problem(("workloads", index, *path), message)
        if workload.kind not in ("core", "request"):
            continue
        subject = workload.subject_among(scenario.streams) or workload.name
        for stream in scenario.streams:
            if any(covers(one, subject) for one in stream.filters):
                message = (
                    f"stream {stream.name!r} takes subject {subject!r}; "
                    "publish to a stream with kind: jetstream"
                )
                at = "subject" if "subject" in workload.model_fields_set else "name"
                yield Problem(("workloads", index, at), message)


def check_stores(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Workloads that make streams need JetStream, names of their own and enough servers."""
    taken = {stream.name: "streams" for stream in scenario.streams}
    servers = len(scenario.cluster.nodes)
    for index, workload in enumerate(scenario.workloads):
        path = ("workloads", index)
        if workload.stream_names and not has_jetstream(scenario):
            message = f"a {workload.kind} workload needs JetStream; add cluster.jetstream: true"
            yield Problem((*path, "kind"), message)
        for name in workload.stream_names:
            if (other := taken.setdefault(name, workload.name)) != workload.name:
                where = "streams has" if other == "streams" else f"workload {other!r} makes"
                message = f"its bucket is kept in the stream {name!r}, which {where} already"
                yield Problem((*path, "name"), message)
        replicas = getattr(workload, "replicas", 1) if workload.stream_names else 1
        if replicas > servers:
            message = f"{replicas} replicas need as many servers, the cluster has {servers}"
            yield Problem((*path, "replicas"), message)
