"""The rules that span keys: each yields a problem for every place that breaks it.

Rules about faults are in `fault_rules`, about repetition and draws in `schedule_rules`,
about thresholds in `threshold_rules`, about how much traffic there is in `traffic_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.scenario.attach_rules import check_attach_keys, check_attach_names
from harness.scenario.client_options import parse_option
from harness.scenario.cluster_rules import (
    SPREAD,
    check_cluster_joints,
    check_cluster_names,
    check_cluster_sizes,
)
from harness.scenario.compose_rules import check_compose_keys, check_compose_names
from harness.scenario.fault_rules import (
    check_fault_doors,
    check_fault_names,
    check_fault_overlaps,
    check_fault_pasts,
    check_fault_places,
    check_fault_targets,
    check_fault_windows,
)
from harness.scenario.model import SEED, Scenario
from harness.scenario.problems import KeyPath, Problem, suggestion
from harness.scenario.releases import misread_version
from harness.scenario.schedule import certain_fault_s
from harness.scenario.schedule_rules import (
    check_draws,
    check_holds,
    check_occurrence_names,
    check_random_steps,
    check_repeats,
)
from harness.scenario.store_rules import check_stored_data
from harness.scenario.stream_rules import (
    check_expectations,
    check_led,
    check_meta_step_downs,
    check_peer_removals,
    check_stores,
    check_stream_users,
    check_streams,
)
from harness.scenario.targets import LED_FORMS, parse_led
from harness.scenario.threshold_rules import check_thresholds
from harness.scenario.traffic_rules import (
    check_clients,
    check_load,
    check_messages,
    check_payloads,
    check_rates,
)
from harness.scenario.vocabulary import Vocabulary

DEFAULT_VERSION = "default"


@dataclass(frozen=True)
class Rule:
    """A check and the sections of the scenario it reads; it runs only if these are sound."""

    check: Callable[[Scenario, Vocabulary], Iterator[Problem]]
    reads: frozenset[str]


def check_versions(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Versions are ``bundled``, a release or a path, and a map names nodes."""
    path: KeyPath = ("cluster", "version")
    version = scenario.cluster.version
    if isinstance(version, str):
        yield from _check_version(version, path)
        return
    known = (*scenario.cluster.nodes, DEFAULT_VERSION)
    for node, text in version.items():
        if node not in known:
            yield Problem(
                (*path, node), f"unknown node {node!r}{suggestion(node, known)}", at_key=True
            )
        yield from _check_version(text, (*path, node))


def _check_version(text: str, path: KeyPath) -> Iterator[Problem]:
    if (message := misread_version(text)) is not None:
        yield Problem(path, message)


def check_client_servers(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Clients bootstrap from nodes that exist, each named once."""
    servers = scenario.client.servers
    yield from _check_nodes(servers, ("client", "servers"), scenario.cluster.nodes)


def _check_nodes(names: Sequence[str], path: KeyPath, nodes: Sequence[str]) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name not in nodes:
            hint = f" (the seed is {nodes[0]!r})" if name == SEED else suggestion(name, nodes)
            yield Problem((*path, index), f"unknown node {name!r}{hint}")
        elif name in names[:index]:
            yield Problem((*path, index), f"node {name!r} is named twice")


def check_client_options(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Client options exist in the library and have values of their kind."""
    for name, raw in scenario.client.options.items():
        try:
            parse_option(scenario.client.adapter, name, raw)
        except ValueError as error:
            unknown = str(error).startswith("unknown")
            yield Problem(("client", "options", name), str(error), at_key=unknown)


def check_workload_names(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Workloads have different names and different subjects, so that messages tell them apart."""
    names: set[str] = set()
    subjects: dict[str, str] = {}
    for index, workload in enumerate(scenario.workloads):
        if workload.name in names:
            message = f"another workload is called {workload.name!r} already"
            yield Problem(("workloads", index, "name"), message)
            continue
        names.add(workload.name)
        subject = workload.subject_among(scenario.streams)
        if subject is None:
            continue
        if (other := subjects.setdefault(subject, workload.name)) != workload.name:
            message = f"workload {other!r} uses subject {subject!r} already"
            yield Problem(("workloads", index, "subject"), message)


def check_attachments(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Attachments map roles of the workload to nodes, clusters and leaders that exist."""
    nodes = scenario.cluster.nodes
    known = (*nodes, *scenario.cluster.sites.names, SEED, SPREAD)
    for index, workload in enumerate(scenario.workloads):
        for role, where in workload.attach.items():
            path: KeyPath = ("workloads", index, "attach", role)
            if role not in workload.roles:
                message = f"workload {workload.name!r} has no role {role!r}"
                hint = suggestion(role, workload.roles)
                yield Problem(path, message + hint, at_key=True)
            if not isinstance(where, str):
                if not where:
                    yield Problem(path, "expected at least one node, found an empty list")
                yield from _check_nodes(where, path, nodes)
            elif where not in known:
                if (led := parse_led(where)) is not None:
                    yield from check_led(led, scenario, path)
                else:
                    hint = suggestion(where, (*known, *LED_FORMS))
                    yield Problem(path, f"unknown node {where!r}{hint}")


def check_due_times(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """What is to happen at a stated time of a phase fits into that phase."""
    fault_s = certain_fault_s(scenario)
    for index, workload in enumerate(scenario.workloads):
        for path, message in workload.untimely(scenario.phases, fault_s):
            yield Problem(("workloads", index, *path), message)


RULES = (
    Rule(check_attach_keys, frozenset({"cluster"})),
    Rule(check_attach_names, frozenset({"cluster", "workloads"})),
    Rule(check_cluster_sizes, frozenset({"cluster"})),
    Rule(check_cluster_joints, frozenset({"cluster"})),
    Rule(check_cluster_names, frozenset({"cluster", "workloads"})),
    Rule(check_compose_keys, frozenset({"cluster"})),
    Rule(check_compose_names, frozenset({"cluster", "workloads"})),
    Rule(check_versions, frozenset({"cluster"})),
    Rule(check_client_servers, frozenset({"cluster", "client"})),
    Rule(check_client_options, frozenset({"client"})),
    Rule(check_workload_names, frozenset({"streams", "workloads"})),
    Rule(check_stream_users, frozenset({"cluster", "streams", "workloads"})),
    Rule(check_clients, frozenset({"workloads"})),
    Rule(check_rates, frozenset({"workloads"})),
    Rule(check_load, frozenset({"phases", "faults"})),
    Rule(check_messages, frozenset({"workloads", "phases", "faults"})),
    Rule(check_payloads, frozenset({"cluster", "workloads"})),
    Rule(check_attachments, frozenset({"cluster", "streams", "workloads"})),
    Rule(check_streams, frozenset({"cluster", "streams"})),
    Rule(check_due_times, frozenset({"workloads", "phases", "faults"})),
    Rule(check_peer_removals, frozenset({"cluster", "streams", "workloads", "faults"})),
    Rule(check_meta_step_downs, frozenset({"cluster", "faults"})),
    Rule(check_expectations, frozenset({"cluster", "streams", "workloads", "faults"})),
    Rule(check_stores, frozenset({"cluster", "streams", "workloads"})),
    Rule(check_fault_names, frozenset({"faults"})),
    Rule(check_fault_targets, frozenset({"cluster", "streams", "workloads", "faults"})),
    Rule(check_fault_places, frozenset({"cluster", "workloads", "faults"})),
    Rule(check_stored_data, frozenset({"cluster", "faults"})),
    Rule(check_fault_windows, frozenset({"phases", "faults"})),
    Rule(check_fault_pasts, frozenset({"phases", "faults"})),
    Rule(check_fault_overlaps, frozenset({"cluster", "phases", "faults"})),
    Rule(check_fault_doors, frozenset({"cluster", "phases", "faults"})),
    Rule(check_occurrence_names, frozenset({"faults"})),
    Rule(check_holds, frozenset({"faults"})),
    Rule(check_repeats, frozenset({"phases", "faults"})),
    Rule(check_random_steps, frozenset({"cluster", "workloads", "phases", "faults"})),
    Rule(check_draws, frozenset({"cluster", "workloads", "phases", "faults"})),
    Rule(check_thresholds, frozenset({"workloads", "phases", "faults", "thresholds"})),
)


def check_rules(
    scenario: Scenario, vocabulary: Vocabulary, unsound: frozenset[str] = frozenset()
) -> Iterator[Problem]:
    """Yield what breaks a rule.

    Args:
        scenario: the scenario, with stand-ins for its unsound sections.
        vocabulary: the names that exist.
        unsound: top-level keys that have problems of their own; rules that read one
            of them would only repeat these in other words.
    """
    for rule in RULES:
        if not rule.reads & unsound:
            yield from rule.check(scenario, vocabulary)
