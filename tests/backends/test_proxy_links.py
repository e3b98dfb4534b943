"""Clients' links through real proxies, before real servers: cut, refused, reset, seen."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness.backends.local import LocalBackend
from harness.backends.proxy.links import ProxyLinks
from harness.backends.proxy.shaper import ProxyShaper
from harness.backends.server_cluster import ServerCluster
from harness.cluster.links import Answer, Link, Passage
from harness.cluster.shapes import Shape, Trial
from harness.errors import FaultError, ServerError, leading_error
from harness.scenario.model import ClusterSpec

pytestmark = pytest.mark.anyio

LIMIT_S = 20.0
GROUPS = ("load-publishers", "load-subscribers")
OPEN, SHUT = Passage(3, 3), Passage(3, 0)
CLIENT = """
import socket, sys
one = socket.create_connection((sys.argv[1], int(sys.argv[2])))
channel = socket.socket(fileno=0)
while data := one.recv(65536):
    channel.sendall(data)
"""
STRAY = """
import socket, sys, time
one = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print("connected", flush=True)
time.sleep(60)
"""


def both_ways(group: str, node: str) -> frozenset[Link]:
    return frozenset((Link(group, node), Link(node, group)))


P1, S1, P2 = (both_ways(*one) for one in ((GROUPS[0], "n1"), (GROUPS[1], "n1"), (GROUPS[0], "n2")))


@asynccontextmanager
async def stage(folder: Path, *, formed: bool = True) -> AsyncIterator[tuple[Any, list[str]]]:
    told: list[str] = []
    backend = LocalBackend(proxied=True)
    spec = ClusterSpec(servers=2)
    async with backend.cluster(
        spec, groups=GROUPS, folder=folder, record=lambda kind, **_: told.append(kind)
    ) as cluster:
        if formed:
            await cluster.form(LIMIT_S)
        yield cluster, told


def links_of(cluster: ServerCluster) -> ProxyLinks:
    assert isinstance(cluster.links, ProxyLinks)
    return cluster.links


@asynccontextmanager
async def client(cluster: ServerCluster, group: str, node: str, log: Path) -> AsyncIterator[Any]:
    """Start a process of the group that connects to the node; yield a reader of what it hears."""
    ours, theirs = socket.socketpair()
    at = cluster.nodes[node].endpoints.client
    with ours:
        with theirs:
            argv = [sys.executable, "-c", CLIENT, at.host, str(at.port)]
            cluster.spawn_client(group, argv, theirs, log)
        ours.setblocking(False)

        async def hears(limit_s: float) -> bytes:
            with anyio.move_on_after(limit_s):
                await anyio.wait_readable(ours)
                return ours.recv(65536)
            return b""

        yield hears


async def test_a_cut_closes_its_links_and_no_others(tmp_path: Path) -> None:
    async with stage(tmp_path) as (cluster, told):
        links = links_of(cluster)
        assert "proxies.started" in told
        assert links.via == "proxy"
        assert len(links.usable) == 8
        assert set((await links.probe(links.usable, 3, LIMIT_S)).values()) == {OPEN}
        links.cut(P1)
        links.cut(P1 | P2)
        seen = await links.probe(links.usable, 3, 0.3)
        assert {link for link, one in seen.items() if one == SHUT} == P1 | P2 == links.severed
        assert {link for link, one in seen.items() if one == OPEN} == links.usable - P1 - P2
        knocks = await links.knock([Link(group, "n1") for group in GROUPS], 0.3)
        assert list(knocks.values()) == [Answer.SILENCE, Answer.ACCEPTED]
        links.heal(P1 | P2)
        assert links.severed == P1
        assert set((await links.probe(P2, 3, LIMIT_S)).values()) == {OPEN}
        assert set((await links.probe(P1, 3, 0.2)).values()) == {SHUT}
        links.heal(P1)
        assert set((await links.probe(links.usable, 3, LIMIT_S)).values()) == {OPEN}
        assert links.changes == 4


async def test_what_proxies_cannot_do_honestly_is_an_error(tmp_path: Path) -> None:
    async with stage(tmp_path, formed=False) as (cluster, _):
        links, shaper = links_of(cluster), cluster.shaper
        assert isinstance(shaper, ProxyShaper)
        with pytest.raises(FaultError, match="both ways or none: n1->load-publishers alone"):
            links.cut({Link("n1", GROUPS[0])})
        between = {Link("n1", "n2"), Link("n2", "n1")}
        with pytest.raises(FaultError, match="only what passes between clients and servers"):
            links.cut(between)
        with pytest.raises(FaultError, match="only what passes between clients and servers"):
            await links.probe(between, 3, 0.1)
        with pytest.raises(FaultError, match="refuse all clients of a node or none"):
            links.refuse({Link(GROUPS[0], "n1")})
        for shape in (Shape(loss=0.1), Shape(delay_s=0.1, reorder=0.1), Shape(duplicate=0.1)):
            with pytest.raises(FaultError, match="see no packets"):
                async with shaper.shaped({Link("n1", GROUPS[0]): shape}, 1):
                    pytest.fail("shaped")
        assert not links.severed


async def test_a_connection_belongs_to_the_group_whose_process_made_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as (cluster, _):
        links = links_of(cluster)
        links.cut(P1)
        async with (
            client(cluster, GROUPS[0], "n1", tmp_path / "p.log") as publisher,
            client(cluster, GROUPS[1], "n1", tmp_path / "s.log") as subscriber,
        ):
            said = await subscriber(LIMIT_S)
            assert said.startswith(b"INFO ")
            door = cluster.nodes["n1"].endpoints.client
            assert f'"port":{door.port}'.encode() in said
            assert await publisher(0.2) == b""
            assert {one.place for one in links.streams("n1", GROUPS)} == {"n1"}
            assert [one.peer for one in links.streams("n1", GROUPS)] == [GROUPS[1]]
            links.heal(P1)
            assert (await publisher(LIMIT_S)).startswith(b"INFO ")
            near, far = links.streams("n1", GROUPS), links.streams(GROUPS[0], ["n1", "n2"])
            assert {one.peer for one in near} == set(GROUPS)
            assert {(one.peer_port, one.port) for one in far} <= {
                (one.port, one.peer_port) for one in near
            }
            links.reset([one for one in near if one.peer == GROUPS[0]])
            assert {one.peer for one in links.streams("n1", GROUPS)} == {GROUPS[1]}
            assert not links.streams(GROUPS[0], ["n1", "n2"])


async def test_a_client_that_goes_past_the_proxies_is_found_out(tmp_path: Path) -> None:
    async with stage(tmp_path) as (cluster, _):
        links, server = links_of(cluster), cluster.nodes["n1"].endpoints.server
        argv = [sys.executable, "-c", STRAY, server.host, str(server.port)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as stray:  # noqa: ASYNC220 - it only hangs
            assert stray.stdout is not None
            assert stray.stdout.readline() == b"connected\n"
            with pytest.raises(FaultError, match="not every client goes through the proxies: 127"):
                await links.probe(S1, 3, LIMIT_S)
            with pytest.raises(FaultError, match="not every client goes through"):
                await cluster.shaper.probe(S1, Trial(3, 0.001))
            assert set((await links.probe(P2, 3, LIMIT_S)).values()) == {OPEN}
            stray.kill()
        with socket.create_connection((server.host, server.port)):  # the harness itself may
            assert set((await links.probe(S1, 3, LIMIT_S)).values()) == {OPEN}


async def test_refusals_add_up_and_strike_new_connections_only(tmp_path: Path) -> None:
    async with stage(tmp_path) as (cluster, _):
        links = links_of(cluster)
        doors = [Link(group, node) for node in ("n1", "n2") for group in GROUPS]
        async with client(cluster, GROUPS[0], "n1", tmp_path / "p.log") as publisher:
            assert (await publisher(LIMIT_S)).startswith(b"INFO ")
            existing = links.streams("n1", GROUPS)
            for _ in range(2):
                links.refuse(doors[:2])
            links.accept(doors[:2])
            answers = [(await links.knock(doors, 1.0))[door] for door in doors]
            assert answers == [Answer.REFUSED] * 2 + [Answer.ACCEPTED] * 2
            assert links.streams("n1", GROUPS) == existing != frozenset()
            links.accept(doors[:2])
            assert set((await links.knock(doors, LIMIT_S)).values()) == {Answer.ACCEPTED}
            await cluster.nodes["n1"].kill(LIMIT_S)
            assert (await links.knock(doors, 1.0))[doors[0]] is Answer.SILENCE


async def test_shapes_add_up_on_their_links_only(tmp_path: Path) -> None:
    async with stage(tmp_path, formed=False) as (cluster, _):
        shaper, trial = cluster.shaper, Trial(10, 0.002, patience_s=5.0)
        slow, free = Link(GROUPS[0], "n1"), Link("n1", GROUPS[0])
        shape = Shape(delay_s=0.02)
        async with shaper.shaped({slow: shape}, 1) as via, shaper.shaped({slow: shape}, 2):
            assert via == {slow: "proxy"}
            samples = await shaper.probe([slow, free], trial)
            assert min(one.delay_s for one in samples[slow].arrivals) >= 0.04
            assert samples[free].delay() < 0.02
            assert [one.number for one in samples[slow].arrivals] == list(range(10))
        assert shaper.effective(slow).plain
        assert (await shaper.probe([slow], trial))[slow].delay() < 0.02


async def test_proxies_that_end_break_the_run_off(tmp_path: Path) -> None:
    async def outlive_them() -> None:
        async with stage(tmp_path, formed=False) as (cluster, _):
            links_of(cluster).proxies._process.send_signal(9)
            await anyio.sleep(LIMIT_S)

    with pytest.raises(BaseExceptionGroup) as caught:
        await outlive_them()
    error = leading_error(caught.value)
    assert isinstance(error, ServerError)
    assert "the proxies ended" in str(error)


async def test_proxies_that_stood_still_say_from_when_to_when(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    def record(kind: str, **facts: Any) -> None:
        told.append({"kind": kind, **facts})

    async with LocalBackend(proxied=True).cluster(
        ClusterSpec(servers=1), groups=GROUPS, folder=tmp_path, record=record
    ) as cluster:
        pid = links_of(cluster).proxies._process.pid
        os.kill(pid, signal.SIGSTOP)
        await anyio.sleep(0.4)
        os.kill(pid, signal.SIGCONT)
    lags = [one for one in told if one["kind"] == "proxies.lagged"]
    longest = max(lags, key=lambda one: float(one["max_lag_s"]))
    assert longest["max_lag_s"] > 0.3
    assert longest["from_ns"] < longest["at_ns"] <= time.monotonic_ns()
