"""How a server may end depends on what the harness sent it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from fake_nodes import Events

from harness.backends.endings import is_asked
from harness.backends.local import LocalBackend
from harness.backends.process_node import ProcessNode
from harness.errors import FaultError, ServerError
from harness.scenario.model import ClusterSpec

LIMIT_S = 20.0
STUBBORN = """#!/bin/sh
if [ "$1" = --version ]; then echo "nats-server: v2.99.0"; exit 0; fi
trap '{on_term}' TERM
trap : USR2
echo ready
while :; do sleep 0.02; done
"""


@pytest.mark.parametrize(
    ("asked", "returncodes"),
    [
        ([signal.SIGTERM], {0, 1, -15, 143}),
        ([signal.SIGINT], {0, 1, -2, 130}),
        ([signal.SIGUSR2], {0, 1}),
        ([signal.SIGKILL], {-9}),
        ([signal.SIGQUIT], {2, -3}),
        ([signal.SIGTERM, signal.SIGKILL], {0, 1, -15, 143, -9}),
        ([], set()),
    ],
)
def test_each_signal_has_its_own_ends(asked: list[int], returncodes: set[int]) -> None:
    assert {code for code in range(-31, 256) if is_asked(code, asked)} == returncodes


@asynccontextmanager
async def one_server(folder: Path, events: Events) -> AsyncIterator[ProcessNode]:
    async with LocalBackend().cluster(
        ClusterSpec(servers=1), groups=(), folder=folder / "servers", record=events
    ) as cluster:
        node = cluster.nodes["n1"]
        assert isinstance(node, ProcessNode)
        yield node


async def start(node: ProcessNode, folder: Path, on_term: str) -> None:
    program = folder / "stubborn"
    program.write_text(STUBBORN.format(on_term=on_term))
    program.chmod(0o755)
    await node.change_release(str(program))
    await node.start()
    log = folder / "servers" / "n1.log"
    with anyio.fail_after(LIMIT_S):
        while "ready" not in log.read_text():
            await anyio.sleep(0.01)


def exits(events: Events) -> list[dict[str, Any]]:
    told = zip(events.kinds, events.facts, strict=True)
    return [facts for kind, facts in told if kind == "server.exited"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("on_term", "said"),
    [
        ("exit 2", "n1 exited with status 2, as no server does on SIGTERM"),
        ("kill -SEGV $$", "n1 was ended by SIGSEGV, as no server does on SIGTERM"),
        ("kill -KILL $$", "n1 was ended by SIGKILL, as no server does on SIGTERM"),
    ],
)
async def test_a_server_that_crashes_when_it_is_asked_to_stop_has_not_stopped(
    tmp_path: Path, on_term: str, said: str
) -> None:
    events = Events()
    async with one_server(tmp_path, events) as node:
        await start(node, tmp_path, on_term)
        with pytest.raises(FaultError, match=said):
            await node.stop(LIMIT_S)
        assert node.ended_unasked
    (ended,) = exits(events)
    assert (ended["expected"], ended["asked"]) == (False, ["SIGTERM"])


@pytest.mark.anyio
async def test_a_crash_while_it_is_asked_to_stop_is_seen_by_who_watches(tmp_path: Path) -> None:
    async with LocalBackend().cluster(
        ClusterSpec(servers=1), groups=(), folder=tmp_path / "servers", record=Events()
    ) as cluster:
        node = cluster.nodes["n1"]
        assert isinstance(node, ProcessNode)
        await start(node, tmp_path, "exit 2")
        with pytest.raises(FaultError):
            await node.stop(LIMIT_S)
        with pytest.raises(ServerError, match="n1 exited with status 2"):
            await cluster.watch()


@pytest.mark.anyio
@pytest.mark.parametrize("on_term", ["exit 0", "exit 1"])
async def test_both_codes_with_which_releases_stop_are_fine(tmp_path: Path, on_term: str) -> None:
    events = Events()
    async with one_server(tmp_path, events) as node:
        await start(node, tmp_path, on_term)
        await node.stop(LIMIT_S)
        assert not node.ended_unasked
        await start(node, tmp_path, on_term)
    assert [one["expected"] for one in exits(events)] == [True, True]


@pytest.mark.anyio
async def test_a_stop_that_takes_too_long_may_end_by_the_kill_that_follows(tmp_path: Path) -> None:
    events = Events()
    async with one_server(tmp_path, events) as node:
        await start(node, tmp_path, ":")
        with pytest.raises(FaultError, match=r"n1 has not exited within 0\.1 s"):
            await node.stop(0.1)
        await node.end_now(0.1)
        assert not node.ended_unasked
    (ended,) = exits(events)
    assert (ended["returncode"], ended["expected"]) == (-9, True)
    assert ended["asked"] == ["SIGTERM", "SIGTERM", "SIGKILL"]


@pytest.mark.anyio
async def test_a_crash_at_the_very_end_of_a_run_is_told(tmp_path: Path) -> None:
    events = Events()
    async with one_server(tmp_path, events) as node:
        await start(node, tmp_path, "kill -SEGV $$")
    (ended,) = exits(events)
    assert (ended["returncode"], ended["expected"]) == (-11, False)


@pytest.mark.anyio
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT, signal.SIGSEGV])
async def test_a_lame_duck_that_is_killed_by_somebody_else_ended_unasked(
    tmp_path: Path, number: signal.Signals
) -> None:
    events = Events()
    async with one_server(tmp_path, events) as node:
        await start(node, tmp_path, "exit 0")  # a server without clients would end at once
        await node.lame_duck()
        assert node.pid is not None
        os.kill(node.pid, number)
        with pytest.raises(FaultError, match="as no server does on SIGUSR2"):
            await node.wait_exit(LIMIT_S)
        assert node.ended_unasked


@pytest.mark.anyio
async def test_a_server_is_asked_anew_in_each_life(tmp_path: Path) -> None:
    events = Events()
    async with one_server(tmp_path, events) as node:
        await start(node, tmp_path, "exit 0")
        await node.stop(LIMIT_S)
        await start(node, tmp_path, "exit 0")
        assert node.pid is not None
        os.kill(node.pid, signal.SIGKILL)
        with pytest.raises(FaultError, match="n1 was ended by SIGKILL, unasked"):
            await node.wait_exit(LIMIT_S)
    assert [one["asked"] for one in exits(events)] == [["SIGTERM"], []]


@pytest.mark.anyio
async def test_a_frozen_server_that_is_killed_by_somebody_else_ended_unasked(
    tmp_path: Path,
) -> None:
    async with one_server(tmp_path, Events()) as node:
        await start(node, tmp_path, "exit 0")
        await node.pause(LIMIT_S)
        assert node.pid is not None
        os.kill(node.pid, signal.SIGKILL)
        await node.gone()
        assert node.ended_unasked
