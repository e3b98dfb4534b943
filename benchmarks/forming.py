"""Time to a formed cluster: from the call of `form` until every server sees all others."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import anyio
from figure import Figure

from harness.backends.local import LocalBackend
from harness.cluster.protocols import Cluster
from harness.scenario.model import ClusterSpec

AIM_S = 0.5
LIMIT_S = 30.0
SERVERS = 3
METHOD = (
    "backend local, three servers of the bundled release without JetStream: from the call of "
    "Cluster.form (nothing runs yet) until every /varz names two remotes and every /healthz is ok"
)


def measure_forming(folder: Path, runs: int) -> Figure:
    """Form `runs` clusters one after the other."""
    values = anyio.run(_form_all, folder, runs)
    return Figure("cluster of 3 formed", "s", AIM_S, "lower", METHOD, values)


async def _form_all(folder: Path, runs: int) -> list[float]:
    values = []
    for index in range(runs):
        place = folder / f"forming-{index}"
        place.mkdir()
        async with LocalBackend().cluster(
            ClusterSpec(servers=SERVERS), groups=(), folder=place, record=_forget
        ) as cluster:
            before_s = time.perf_counter()
            await cluster.form(LIMIT_S)
            values.append(time.perf_counter() - before_s)
            await anyio.to_thread.run_sync(_require_formed, cluster)
    return values


def _require_formed(cluster: Cluster) -> None:
    """Ask every server itself for its routes; raise when one lacks a peer."""
    for node in cluster.nodes.values():
        monitor = node.endpoints.monitor
        connection = HTTPConnection(monitor.host, monitor.port, timeout=LIMIT_S)
        try:
            connection.request("GET", "/routez")
            routes = json.load(connection.getresponse())["routes"]
        finally:
            connection.close()
        peers = {route["remote_id"] for route in routes}
        if len(peers) != SERVERS - 1:
            raise RuntimeError(f"{node.name} was called formed with {len(peers)} peer(s)")


def _forget(kind: str, *, at_ns: int | None = None, **facts: Mapping[str, Any]) -> None:
    del kind, at_ns, facts
