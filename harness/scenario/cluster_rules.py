"""Rules about clusters of clusters: their sizes, and names that mean one thing only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.scenario.model import HUB, MAX_SERVERS, SEED, Scenario
from harness.scenario.problems import KeyPath, Problem
from harness.scenario.sites import OBSERVER
from harness.scenario.targets import SELECTIONS
from harness.scenario.vocabulary import Vocabulary

SPREAD = "spread"

_NODE = re.compile(r"n[0-9]+")
_RESERVED = frozenset((SEED, SPREAD, *SELECTIONS, OBSERVER))


def check_cluster_sizes(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Clusters have the servers that `servers` says, and no more in all than there may be."""
    spec = scenario.cluster
    key = "clusters" if spec.clusters is not None else "leafnodes"
    if spec.clusters is not None and len(spec.clusters) < 2:  # noqa: PLR2004 - a word for it is "two"
        message = f"expected two clusters or more, found {len(spec.clusters)}; for one, say servers"
        yield Problem(("cluster", "clusters"), message)
        return
    if (total := len(spec.nodes)) > MAX_SERVERS:
        message = f"expected at most {MAX_SERVERS} servers in all, found {total}"
        yield Problem(("cluster", key), message)
        return
    own = sum(members.servers for members in (spec.clusters or {}).values())
    if spec.clusters is not None and spec.servers != own:
        message = f"the clusters have {own} servers in all; remove the key"
        yield Problem(("cluster", "servers"), message, at_key=True)


def check_cluster_joints(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Nothing is asked of joined clusters that the harness could not keep its word on."""
    spec = scenario.cluster
    if spec.clusters is not None and spec.leafnodes:
        message = (
            "a server with gateways takes leaf nodes only beside a system account, which "
            "a scenario cannot have; remove clusters or leafnodes"
        )
        yield Problem(("cluster", "leafnodes"), message, at_key=True)
    if spec.jetstream is not False and len(spec.sites.every) > 1:
        message = (
            "JetStream across gateways and leaf nodes needs placement and domains, which "
            "a scenario cannot have yet; remove the key, or clusters and leafnodes"
        )
        yield Problem(("cluster", "jetstream"), message, at_key=True)


def check_cluster_names(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """A cluster's name is nobody else's: neither a node's, a keyword's nor a workload's."""
    spec = scenario.cluster
    named: list[tuple[str, KeyPath, bool]] = [
        (name, ("cluster", "clusters", name), True) for name in spec.clusters or ()
    ]
    named += [
        (leaf.name, ("cluster", "leafnodes", index, "name"), False)
        for index, leaf in enumerate(spec.leafnodes)
    ]
    groups = {
        f"{workload.name}-{role}" for workload in scenario.workloads for role in workload.roles
    }
    workloads = {workload.name for workload in scenario.workloads}
    taken = {HUB: "the cluster that leaf nodes connect to"} if spec.leafnodes else {}
    for name, path, at_key in named:
        if name in taken:
            yield Problem(path, f"{name!r} is the name of {taken[name]} already", at_key=at_key)
        elif _NODE.fullmatch(name) or name in _RESERVED:
            message = f"{name!r} has a meaning of its own where nodes are named; choose another"
            yield Problem(path, message, at_key=at_key)
        elif name in workloads or name in groups:
            kind = "workload" if name in workloads else "client group"
            message = f"a {kind} is called {name!r} too; choose another"
            yield Problem(path, message, at_key=at_key)
        taken.setdefault(name, "another cluster")
