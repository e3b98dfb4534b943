"""Clusters for a user's own clients, as a library without pytest."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import pytest
from command_line import MARKER, Harness, eventually

import harness as package
from harness.errors import FaultError, ServerError, UsageError


@pytest.fixture
def marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    found = Harness(tmp_path)
    monkeypatch.setenv(MARKER, found.marker)
    return found


def test_faults_overlap_and_come_from_any_thread(marked: Harness) -> None:
    with package.nats_cluster(servers=2) as cluster:
        folder = cluster.folder
        down = threading.Event()

        def stop() -> None:
            with cluster.faults.stop("n2"):
                down.set()
                assert up.wait(60)

        up = threading.Event()
        other = threading.Thread(target=stop)
        other.start()
        assert down.wait(60)
        with cluster.faults.pause("n1") as paused:
            assert not cluster.nodes["n2"].running
            with pytest.raises(FaultError, match="under the fault stop-1 already"):
                cluster.faults.kill("n2").__enter__()
        up.set()
        other.join()
        assert [one.kind for one in paused.proof] == ["hit", "effect", "held", "undo"]
        with pytest.raises(UsageError, match="entered once"):
            paused.__enter__()
        assert (folder / "n1.log").exists()
        cluster.faults.stop("n1")
        with pytest.raises(UsageError, match=r"nothing happened: .*with faults.stop\("):
            cluster.check()
    assert not folder.exists()
    assert marked.leftovers() == []
    with pytest.raises(UsageError, match="does not run"):
        cluster.check()


@pytest.mark.anyio
async def test_a_time_limit_of_asyncio_around_the_start_leaves_nothing(marked: Harness) -> None:
    cluster = package.nats_cluster(servers=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), cluster:
            pytest.fail("no server starts that quickly")
    assert marked.leftovers() == []
    assert not cluster.folder.exists()


@pytest.mark.anyio
async def test_entering_again_is_refused_and_leaves_the_cluster_running(marked: Harness) -> None:
    async with package.nats_cluster(servers=1) as cluster:
        with pytest.raises(UsageError, match="started already"):
            await cluster.__aenter__()
        assert cluster.nodes["n1"].running
    assert marked.leftovers() == []


def test_its_process_may_open_as_many_files_as_the_machine_allows() -> None:
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, most - 1), most))
    try:
        with package.nats_cluster(servers=1) as cluster:
            host = cluster.remote._process.pid
            assert resource.prlimit(host, resource.RLIMIT_NOFILE) == (most, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def test_a_folder_that_is_not_there_is_told(marked: Harness) -> None:
    with (
        pytest.raises(UsageError, match=r"^folder: cannot write into /no/such/dir: No such file"),
        package.nats_cluster(servers=1, folder="/no/such/dir"),
    ):
        pytest.fail("it cannot start")
    assert marked.leftovers() == []


@pytest.mark.anyio
async def test_cancellation_amid_an_injection_heals_it(marked: Harness) -> None:
    async with package.nats_cluster(servers=3) as cluster:
        with anyio.move_on_after(0.3) as scope:
            # It takes longer than that to restart three servers, one after the other.
            async with cluster.faults.rolling_restart("all", interval="1s"):
                pass
        assert scope.cancelled_caught
        assert all(node.running for node in cluster.nodes.values())
        async with cluster.faults.restart("all"):
            pass
    assert marked.leftovers() == []


def test_a_host_that_is_killed_is_told_of(marked: Harness) -> None:
    cluster = package.nats_cluster(servers=1).start()
    host = next(one for one in marked.leftovers() if "harness.hosting" in one)
    os.kill(int(host.split()[0]), signal.SIGKILL)
    with pytest.raises(ServerError, match="the process that ran the cluster has ended"):
        cluster.faults.pause("n1").__enter__()
    with pytest.raises(ServerError, match="the process that ran the cluster has ended"):
        cluster.close()
    assert eventually(lambda: marked.leftovers() == [])


def test_a_start_that_fails_says_why_and_leaves_nothing(marked: Harness, tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="max_pyload"),
        package.nats_cluster(servers=1, config={"max_pyload": 1}, folder=tmp_path),
    ):
        pass
    assert marked.leftovers() == []


@pytest.mark.parametrize("backend", ["local", pytest.param("lab", marks=pytest.mark.lab)])
@pytest.mark.parametrize("moment", ["forming", "running"])
def test_a_killed_script_leaves_nothing_running(
    backend: str, moment: str, marked: Harness, tmp_path: Path
) -> None:
    script = f"""
import harness, time
with harness.nats_cluster(backend={backend!r}, folder=".") as cluster, cluster.faults.pause("n1"):
    open("running", "w").close()
    time.sleep(100)
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path) as process:
        sign = tmp_path / ("n1.conf" if moment == "forming" else "running")
        assert eventually(sign.exists, 60)
        process.kill()
    assert eventually(lambda: marked.leftovers() == []), marked.leftovers()
