"""Rules about clusters from Compose files: what does not go with them, and their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.scenario.model import SEED, Scenario
from harness.scenario.problems import Problem
from harness.scenario.sites import OBSERVER
from harness.scenario.targets import SELECTIONS
from harness.scenario.vocabulary import Vocabulary

COMPOSE_KEYS = ("compose", "services")

_COMMAND = "the services' own commands and configuration files say it"
_IMAGES = "the services' images say it, or --image on the command line"
_EXCLUDED: Mapping[str, str] = {
    "servers": "its services are the servers",
    "clusters": "its services are the servers",
    "leafnodes": "its services are the servers",
    "version": _IMAGES,
    "image": _IMAGES,
    "container": "the services' own keys say it",
    "attach": "its services are the servers",
    **dict.fromkeys(
        ("config", "jetstream", "authorization", "route_authorization"),
        _COMMAND,
    ),
}
_RESERVED = frozenset((SEED, "spread", *SELECTIONS, OBSERVER))


def check_compose_keys(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """What the Compose file says is not said again beside it."""
    spec = scenario.cluster
    if spec.compose is None:
        if spec.services is not None:
            message = "this names services of a Compose file, but cluster.compose is missing"
            yield Problem(("cluster", "services"), message, at_key=True)
        return
    for key, why in _EXCLUDED.items():
        if key in spec.model_fields_set:
            message = f"remove this key: with cluster.compose, {why}"
            yield Problem(("cluster", key), message, at_key=True)


def check_compose_names(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """A service's name means that service only, wherever a scenario names nodes."""
    spec = scenario.cluster
    if spec.compose is None:
        return
    groups = {
        f"{workload.name}-{role}" for workload in scenario.workloads for role in workload.roles
    }
    workloads = {workload.name for workload in scenario.workloads}
    for name in spec.nodes:
        if name in _RESERVED and not name == SEED == spec.seed:
            message = f"a service called {name!r} cannot be told from the keyword; rename it"
            yield Problem(("cluster", "compose"), message)
        elif name in workloads or name in groups:
            kind = "workload" if name in workloads else "client group"
            message = f"a service and a {kind} are called {name!r}; rename the workload"
            yield Problem(("cluster", "compose"), message)
