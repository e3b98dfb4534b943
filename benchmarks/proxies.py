"""What a proxy adds to the latency of a client on `local`."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import anyio
from figure import Figure

from harness.backends.local import LocalBackend
from harness.backends.proxy.links import ProxyLinks
from harness.scenario.model import ClusterSpec

AIM_S = 0.0003
LIMIT_S = 30.0
GROUP = "bench-clients"
ROUNDS = 300
METHOD = (
    "backend local with proxies, one server: the median of 300 PING/PONG round trips through the "
    "proxy, less the median of 300 straight to the server, in turn"
)


def measure_proxies(folder: Path, runs: int) -> Figure:
    """Compare `runs` times on one cluster."""
    straight, values = anyio.run(_compare, folder, runs)
    details = {"straight_s": [round(one, 6) for one in straight]}
    return Figure("added by a proxy, there and back", "s", AIM_S, "lower", METHOD, values, details)


async def _compare(folder: Path, runs: int) -> tuple[list[float], list[float]]:
    async with LocalBackend(proxied=True).cluster(
        ClusterSpec(servers=1), groups=(GROUP,), folder=folder, record=_forget
    ) as cluster:
        await cluster.form(LIMIT_S)
        links, endpoints = cluster.links, cluster.nodes["n1"].endpoints
        assert isinstance(links, ProxyLinks)
        assert endpoints.server is not None
        straight, added = [], []
        with _open() as through, _open() as direct:
            links.proxies.announce(through.getsockname()[1], GROUP, None)
            through.connect((endpoints.client.host, endpoints.client.port))
            direct.connect((endpoints.server.host, endpoints.server.port))
            for one in (through, direct):
                one.recv(1 << 16)
                one.sendall(b'CONNECT {"verbose":false}\r\n')
            for _ in range(runs):
                took = {
                    one: median(_round_trip(one) for _ in range(ROUNDS))
                    for one in (direct, through)
                }
                straight.append(took[direct])
                added.append(took[through] - took[direct])
        return straight, added


def _open() -> socket.socket:
    one = socket.socket()
    one.settimeout(LIMIT_S)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.bind(("127.0.0.1", 0))
    return one


def _round_trip(one: socket.socket) -> float:
    began_s = time.perf_counter()
    one.sendall(b"PING\r\n")
    said = b""
    while not said.endswith(b"PONG\r\n"):
        said += one.recv(1 << 12)
    return time.perf_counter() - began_s


def _forget(kind: str, *, at_ns: int | None = None, **facts: Mapping[str, Any]) -> None:
    del kind, at_ns, facts
