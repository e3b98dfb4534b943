"""The rules that span keys: each yields a problem for every place that breaks it.

Rules about faults are in `fault_rules`, rules about thresholds in `threshold_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.scenario.client_options import parse_option
from harness.scenario.fault_rules import (
    check_fault_names,
    check_fault_overlaps,
    check_fault_places,
    check_fault_targets,
    check_fault_windows,
)
from harness.scenario.model import SEED_NODE, Scenario
from harness.scenario.problems import KeyPath, Problem, nearest, show, suggestion
from harness.scenario.targets import SEED
from harness.scenario.threshold_rules import check_thresholds
from harness.scenario.vocabulary import Vocabulary
from harness.units import format_size

MAX_RATE_PER_S = 1_000_000
DEFAULT_MAX_PAYLOAD_BYTES = 1024 * 1024
SPREAD = "spread"
BUNDLED = "bundled"
DEFAULT_VERSION = "default"

_RELEASE = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}")


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
    if text == BUNDLED or "/" in text or _RELEASE.fullmatch(text):
        return
    meant = nearest(text, (BUNDLED,))
    if text[:1] in ("v", "V") and _RELEASE.fullmatch(text[1:]):
        meant = text[1:]
    hint = f" (did you mean {meant!r}?)" if meant else ""
    expected = f"{BUNDLED!r}, a release such as '2.12.1' or a path with a '/'"
    yield Problem(path, f"expected {expected}, found {show(text)}{hint}")


def check_client_servers(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Clients bootstrap from nodes that exist, each named once."""
    servers = scenario.client.servers
    yield from _check_nodes(servers, ("client", "servers"), scenario.cluster.nodes)


def _check_nodes(names: Sequence[str], path: KeyPath, nodes: Sequence[str]) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name not in nodes:
            hint = f" (the seed is {SEED_NODE!r})" if name == SEED else suggestion(name, nodes)
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
        subject = getattr(workload, "subject", None) or workload.name
        if (other := subjects.setdefault(subject, workload.name)) != workload.name:
            message = f"workload {other!r} uses subject {subject!r} already"
            yield Problem(("workloads", index, "subject"), message)


def check_rates(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Rates are within what a machine can be asked for at all."""
    for index, workload in enumerate(scenario.workloads):
        rate = getattr(workload, "rate", None)
        if rate is not None and rate > MAX_RATE_PER_S:
            message = f"no machine can meet this rate; expected at most {MAX_RATE_PER_S}/s"
            yield Problem(("workloads", index, "rate"), message)


def check_payloads(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Payloads are not larger than what the servers take (NATS docs, max_payload)."""
    limit = scenario.cluster.config.get("max_payload", DEFAULT_MAX_PAYLOAD_BYTES)
    if not isinstance(limit, int):
        return  # with a unit, or wrong: for the server to read
    for index, workload in enumerate(scenario.workloads):
        payload = getattr(workload, "payload", 0)
        if payload > limit:
            message = (
                f"the servers take at most {format_size(limit)}; "
                "set cluster.config.max_payload, in bytes, to allow more"
            )
            yield Problem(("workloads", index, "payload"), message)


def check_attachments(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Attachments map roles of the workload to nodes that exist."""
    nodes = scenario.cluster.nodes
    known = (*nodes, SEED, SPREAD)
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
                if where.startswith(
                    ("stream-leader", "consumer-leader", "meta-leader", "follower")
                ):
                    message = f"{where!r} needs streams, which a scenario cannot have yet"
                else:
                    message = f"unknown node {where!r}{suggestion(where, known)}"
                yield Problem(path, message)


RULES = (
    Rule(check_versions, frozenset({"cluster"})),
    Rule(check_client_servers, frozenset({"cluster", "client"})),
    Rule(check_client_options, frozenset({"client"})),
    Rule(check_workload_names, frozenset({"workloads"})),
    Rule(check_rates, frozenset({"workloads"})),
    Rule(check_payloads, frozenset({"cluster", "workloads"})),
    Rule(check_attachments, frozenset({"cluster", "workloads"})),
    Rule(check_fault_names, frozenset({"faults"})),
    Rule(check_fault_targets, frozenset({"cluster", "workloads", "faults"})),
    Rule(check_fault_places, frozenset({"cluster", "workloads", "faults"})),
    Rule(check_fault_windows, frozenset({"phases", "faults"})),
    Rule(check_fault_overlaps, frozenset({"cluster", "faults"})),
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
