"""Resilience harness for NATS: real servers, real faults, every message accounted for.

    import harness
    report = harness.run("seed-failover")
    print(report.verdict)

What these need loads when they are first called, so that worker processes start quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import BackendName
    from harness.errors import (
        BinaryError,
        CapabilityError,
        FaultError,
        HarnessError,
        ReportError,
        ScenarioError,
        ServerError,
        UsageError,
    )
    from harness.hosting.cluster import HostedBackend, HostedCluster
    from harness.hosting.faults import ActiveFault, Faults
    from harness.report.model import Report
    from harness.scenario.model import Scenario

__version__ = "0.1.0"
__all__ = [
    "ActiveFault",
    "BinaryError",
    "CapabilityError",
    "FaultError",
    "Faults",
    "HarnessError",
    "HostedCluster",
    "Report",
    "ReportError",
    "Scenario",
    "ScenarioError",
    "ServerError",
    "UsageError",
    "__version__",
    "arun",
    "check",
    "load",
    "nats_cluster",
    "run",
]

_HOMES = {
    "ActiveFault": "harness.hosting.faults",
    "Faults": "harness.hosting.faults",
    "HostedCluster": "harness.hosting.cluster",
    "Report": "harness.report.model",
    "Scenario": "harness.scenario.model",
    **dict.fromkeys(
        (
            "BinaryError",
            "CapabilityError",
            "FaultError",
            "HarnessError",
            "ReportError",
            "ScenarioError",
            "ServerError",
            "UsageError",
        ),
        "harness.errors",
    ),
}

# The function `load` below and a package share their name. Imported first, the
# package stays what `from harness.load.x import y` finds, and `harness.load(...)` is the function.
import_module("harness.load")


def load(source: Scenario | Mapping[str, Any] | str | Path) -> Scenario:
    """Return the scenario at a path, the shipped one of that name, or the one in plain data.

    A `Scenario` that was built from models is checked as if it had been read.

    Raises:
        UsageError: there is none; ScenarioError: it is wrong, one problem a line.
    """
    from harness import api

    return api.load(source)


def check(run_folder: str | Path) -> Report:
    """Judge a stored run again from its history; ReportError when there is none."""
    from harness import api

    return api.check(run_folder)


def run(
    scenario: Scenario | Mapping[str, Any] | str | Path,
    *,
    backend: BackendName = "auto",
    server: str | None = None,
    image: str | None = None,
    seed: int | None = None,
    repeat: int | None = None,
    reports: str | Path = "reports",
    allow_attached: bool = False,
    quiet: bool = True,
) -> Report:
    """Run a scenario in a process of its own, wait for it, and return its report.

    An interrupt (KeyboardInterrupt) ends the run and everything it started before it goes on;
    what was measured until then is in the run folder.

    Args:
        scenario: a path, the name of a shipped one, plain data, or a `Scenario`.
        backend: where to run.
        server: server for all nodes: ``bundled``, a release or a path.
        image: image for all nodes, by tag or digest; runs them in Docker.
        seed: instead of the scenario's.
        repeat: instead of the scenario's.
        reports: the folder that the run folder is made in.
        allow_attached: whether servers that run already (`cluster.attach`) may be tested.
        quiet: whether nothing is printed; else it is what the command line prints.

    Raises:
        ScenarioError: the scenario is wrong, one problem a line.
        UsageError: what was asked for cannot be done.
        HarnessError: no report came of it.
    """
    from harness import api

    options = api.RunOptions(backend, server, image, seed, repeat, reports, allow_attached, quiet)
    return api.run(scenario, options)


async def arun(
    scenario: Scenario | Mapping[str, Any] | str | Path,
    *,
    backend: BackendName = "auto",
    server: str | None = None,
    image: str | None = None,
    seed: int | None = None,
    repeat: int | None = None,
    reports: str | Path = "reports",
    allow_attached: bool = False,
    quiet: bool = True,
) -> Report:
    """Do what `run` does without blocking the event loop, asyncio's or trio's.

    Cancellation ends the run and everything it started before it goes on.
    """
    from harness import api

    options = api.RunOptions(backend, server, image, seed, repeat, reports, allow_attached, quiet)
    return await api.arun(scenario, options)


def nats_cluster(
    *,
    servers: int = 3,
    version: str | Mapping[str, str] = "bundled",
    jetstream: bool | Mapping[str, Any] = False,
    config: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
    backend: HostedBackend = "auto",
    seed: int = 1,
    disks: bool = False,
    folder: str | Path | None = None,
) -> HostedCluster:
    """Return a real cluster for your own clients: it runs while a block does.

        with harness.nats_cluster(jetstream=True) as cluster:
            client = connect(cluster.urls)
            with cluster.faults.stop("n1"):
                ...

    Args:
        servers: how many; they are called n1, n2, ...
        version: ``bundled``, a release or a path, for all or by node.
        jetstream: whether it is on, or its settings as in a scenario.
        config: merged into each server's configuration.
        spec: other keys of a scenario's `cluster`, such as `authorization` or `clusters`.
        backend: ``local`` (which is ``auto``), or ``lab``, where every fault of links is real.
        seed: what every random choice of faults comes from.
        disks: whether faults of disks are wanted; servers start under a filter for that.
        folder: where logs go; by default one that goes with the cluster.

    Raises:
        UsageError: it cannot be as asked, one problem a line.
    """
    __tracebackhide__ = True  # pytest would show the passwords that it was given
    from harness.hosting.cluster import HostedCluster, describe

    described = describe(servers, version, jetstream, config, spec)
    return HostedCluster(
        described, backend, seed, disks=disks, folder=None if folder is None else Path(folder)
    )


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
