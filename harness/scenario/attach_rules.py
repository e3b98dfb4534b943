"""Rules about clusters that run already: what cannot be asked of them, and their names."""

from __future__ import annotations

from collections.abc import Iterator

from harness.scenario.cluster_rules import SPREAD
from harness.scenario.model import SEED, ClusterSpec, Scenario
from harness.scenario.problems import KeyPath, Problem
from harness.scenario.sites import OBSERVER
from harness.scenario.targets import SELECTIONS
from harness.scenario.vocabulary import Vocabulary

ATTACHED_KEYS = frozenset({"attach", "authorization"})

_RESERVED = frozenset((SEED, SPREAD, *SELECTIONS, OBSERVER))


def check_attach_keys(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Nothing is said of how to start servers that run already."""
    spec = scenario.cluster
    if spec.attach is None:
        return
    for key in ClusterSpec.model_fields:
        counted = key == "servers" and spec.clusters is not None  # not the user's own
        if key in spec.model_fields_set - ATTACHED_KEYS and not counted:
            message = (
                "says how servers are to be started, and those of cluster.attach run already; "
                "remove the key"
            )
            yield Problem(("cluster", key), message, at_key=True)


def check_attach_names(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """An attached server's name is nobody else's: neither a keyword's nor a workload's."""
    groups = {
        f"{workload.name}-{role}" for workload in scenario.workloads for role in workload.roles
    }
    workloads = {workload.name for workload in scenario.workloads}
    urls: dict[str, str] = {}
    for name, server in (scenario.cluster.attach or {}).items():
        path: KeyPath = ("cluster", "attach", name)
        if name in _RESERVED:
            message = f"{name!r} has a meaning of its own where nodes are named; choose another"
            yield Problem(path, message, at_key=True)
        elif name in workloads or name in groups:
            kind = "workload" if name in workloads else "client group"
            yield Problem(path, f"a {kind} is called {name!r} too; choose another", at_key=True)
        for key in ("client", "monitor"):
            url = getattr(server, key)
            if (other := urls.setdefault(url, name)) != name:
                yield Problem((*path, key), f"{other!r} has this URL already")
