"""See that all that a scenario uses can be had: abilities of the backend, releases of the server.

Every release is fetched, and says what it has against its configuration.

All before anything is started: a lab has no way out, and a key that a release does not know
would else be found in the midst of a run, when an upgrade comes to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.backends.choose import require
from harness.cluster.binaries import Binary, resolve
from harness.cluster.preflight import Objection, object_all
from harness.cluster.protocols import Backend, Capability
from harness.errors import BinaryError, CapabilityError, UsageError
from harness.faults.base import Fault
from harness.faults.upgrade import Upgrade
from harness.scenario.load import Loaded
from harness.scenario.model import ClusterSpec, Scenario
from harness.scenario.problems import KeyPath
from harness.scenario.random_step import RandomStep
from harness.scenario.targets import Nodes, TargetError, parse_target


def require_faults(loaded: Loaded, backend: Backend) -> None:
    """Raise CapabilityError where the backend cannot do what a fault needs; one line a reason."""
    sites = loaded.scenario.cluster.sites
    tried: set[frozenset[Capability]] = set()
    problems: dict[str, str] = {}
    for path, step in _faults(loaded.scenario):
        needed = step.needed_among(sites)
        if needed in tried:
            continue
        tried.add(needed)
        try:
            require(needed, backend)
        except CapabilityError as error:
            problems.setdefault(str(error), loaded.line(path, str(error)))
    if problems:
        raise CapabilityError("\n".join(problems.values()))


def _faults(scenario: Scenario) -> Iterator[tuple[KeyPath, Fault]]:
    """Yield every fault that a run may carry out, and where it is written."""
    for index, step in enumerate(scenario.faults):
        path: KeyPath = ("faults", index)
        if isinstance(step, RandomStep):
            for number, action in enumerate(step.actions):
                if isinstance(action, Fault):
                    yield (*path, "actions", number), action
        elif isinstance(step, Fault):
            yield (*path, "action"), step


def prepare_releases(loaded: Loaded, spec: ClusterSpec) -> None:
    """Have every release that the servers of `spec` will be at some time, and its consent.

    Args:
        loaded: the scenario, with the places of its keys.
        spec: its cluster, with what the command line replaced.

    Raises:
        BinaryError: a release cannot be had.
        UsageError: a release refuses its configuration; one line a key, with its place.
    """
    releases: dict[str, list[Binary]] = {
        node: [_resolve(loaded, spec, node)] for node in spec.nodes
    }
    for index, step in enumerate(loaded.scenario.faults):
        if not isinstance(step, Upgrade):
            continue
        try:
            binary = resolve(step.to)
        except BinaryError as error:
            raise BinaryError(loaded.line(("faults", index, "to"), str(error))) from error
        for node in _reached(step, spec):
            if binary not in releases[node]:
                releases[node].append(binary)
    try:
        objections = object_all(spec, releases)
    except BinaryError:
        raise
    except UsageError as error:  # of what the harness must choose: key and reason
        key, _, reason = str(error).partition(": ")
        raise UsageError(_line(loaded, Objection(key, reason))) from error
    if objections:
        raise UsageError("\n".join(_line(loaded, one) for one in objections))


def _resolve(loaded: Loaded, spec: ClusterSpec, node: str) -> Binary:
    """Return what a node is started as; what cannot be had is told where it is written."""
    try:
        return resolve(spec.version_of(node))
    except BinaryError as error:
        if spec.version != loaded.scenario.cluster.version:
            raise  # the command line says so
        path: KeyPath = ("cluster", "version")
        if not isinstance(spec.version, str):
            path = (*path, node if node in spec.version else "default")
        raise BinaryError(loaded.line(path, str(error))) from error


def _reached(step: Upgrade, spec: ClusterSpec) -> tuple[str, ...]:
    """Return the nodes that an upgrade may come to."""
    try:
        target = parse_target(step.target, step.count, spec.nodes, spec.sites.names)
    except TargetError:
        return spec.nodes
    return target.names if isinstance(target, Nodes) else spec.nodes


def _line(loaded: Loaded, one: Objection) -> str:
    path: KeyPath = tuple(one.key.split("."))
    line = loaded.line(path, one.message, at_key=True)
    return line if path[0] == "cluster" else loaded.line(("cluster",), f"{one.key}: {one.message}")
