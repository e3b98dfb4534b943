"""SIGKILL of the harness at any moment leaves no process, namespace, interface or mount."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from command_line import lab_interfaces
from loop_devices import loops_of
from namespaces import namespaces_of, still_used

from harness.backends.disk.device import SIZE_BYTES
from harness.cluster.binaries import bundled

LIMIT_S = 20.0
MOMENTS = 6

RUN = """
import os, socket, sys
from pathlib import Path
import anyio
from harness.backends.lab.backend import LabBackend
from harness.backends.local import LocalBackend
from harness.scenario.model import ClusterSpec

backend = {"lab": LabBackend(), "local": LocalBackend(mounting=True)}[sys.argv[1]]
folder = Path(sys.argv[2])

def record(kind, **facts):
    pass

async def run():
    spec = ClusterSpec(version=sys.argv[3], jetstream=sys.argv[5] == "devices")
    places = {"groups": ["load"], "folder": folder, "record": record}
    if spec.jetstream:
        places["on_devices"] = spec.nodes
    while True:
        async with backend.cluster(spec, **places) as cluster:
            ours, theirs = socket.socketpair()
            argv = [sys.executable, "-c", "import time; time.sleep(600)", str(folder)]
            cluster.spawn_client("load", argv, theirs, folder / "client.log")
            await cluster.form(20)
            print("formed", flush=True)
            await cluster.nodes["n2"].pause(5)
            if sys.argv[4] == "stay":
                await anyio.sleep(600)
            ours.close()
            theirs.close()

def main():
    anyio.run(run)
    return 0

sys.exit(backend.host(main))
"""


def of_this_run(mark: str) -> list[str]:
    """Return what is left: processes whose command line has `mark`, but no zombies."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            line = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if mark.encode() in line:
            found.append(f"{folder.name} {line!r}")
    return found


def wait_until(holds: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, what()


def start(
    backend: str, folder: Path, mode: str, stores: str = "folders"
) -> subprocess.Popen[bytes]:
    binary = folder / "nats-server-copy"
    if not binary.exists():
        shutil.copy2(bundled().path, binary)
    argv = [sys.executable, "-c", RUN, backend, str(folder / "run"), str(binary), mode, stores]
    return subprocess.Popen(argv, stdout=subprocess.PIPE)


@pytest.mark.parametrize("backend", ["local", pytest.param("lab", marks=pytest.mark.lab)])
def test_a_killed_harness_leaves_nothing(backend: str, tmp_path: Path) -> None:
    with start(backend, tmp_path, "stay") as harness:
        assert harness.stdout is not None
        assert harness.stdout.readline() == b"formed\n"
        running = of_this_run(str(tmp_path))
        # The harness, three servers and a client; the lab adds its door, init and inside.
        assert len(running) == (5 if backend == "local" else 8), running
        harness.kill()
    wait_until(lambda: not of_this_run(str(tmp_path)), lambda: of_this_run(str(tmp_path)))
    assert lab_interfaces() == []


@pytest.mark.parametrize("backend", ["local", pytest.param("lab", marks=pytest.mark.lab)])
def test_it_leaves_nothing_whenever_it_is_killed(backend: str, tmp_path: Path) -> None:
    dice = random.Random(7)
    for _ in range(MOMENTS):
        with start(backend, tmp_path, "again") as harness:
            try:
                harness.wait(dice.uniform(0.15, 0.8))
            except subprocess.TimeoutExpired:
                harness.kill()
            assert harness.wait() == -9
        wait_until(lambda: not of_this_run(str(tmp_path)), lambda: of_this_run(str(tmp_path)))


@pytest.mark.device
@pytest.mark.parametrize("backend", ["local", pytest.param("lab", marks=pytest.mark.lab)])
def test_a_killed_harness_leaves_no_mount_and_no_loop_device(backend: str, tmp_path: Path) -> None:
    with start(backend, tmp_path, "stay", "devices") as harness:
        assert harness.stdout is not None
        assert harness.stdout.readline() == b"formed\n"
        assert len(loops_of(tmp_path)) == 3
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
        harness.kill()
    wait_until(lambda: not loops_of(tmp_path), lambda: loops_of(tmp_path))
    assert of_this_run(str(tmp_path)) == []
    assert not [one for one in tmp_path.rglob("*") if one.stat().st_size >= SIZE_BYTES]


@pytest.mark.device
@pytest.mark.parametrize("backend", ["local", pytest.param("lab", marks=pytest.mark.lab)])
def test_it_leaves_no_loop_device_whenever_it_is_killed(backend: str, tmp_path: Path) -> None:
    dice = random.Random(11)
    for _ in range(MOMENTS):
        with start(backend, tmp_path, "again", "devices") as harness:
            try:
                harness.wait(dice.uniform(0.3, 2.0))
            except subprocess.TimeoutExpired:
                harness.kill()
            assert harness.wait() == -9
        wait_until(lambda: not loops_of(tmp_path), lambda: loops_of(tmp_path))


@pytest.mark.lab
def test_a_killed_link_of_the_labs_line_takes_the_rest_with_it(tmp_path: Path) -> None:
    for link in range(1, 4):  # door, init, inside
        with start("lab", tmp_path, "stay") as harness:
            assert harness.stdout is not None
            assert harness.stdout.readline() == b"formed\n"
            pid = harness.pid
            for _ in range(link):
                pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
            made = namespaces_of(one.split()[0] for one in of_this_run(str(tmp_path)))
            assert made
            os.kill(pid, 9)
            assert harness.wait(LIMIT_S) == 137
        wait_until(lambda: not of_this_run(str(tmp_path)), lambda: of_this_run(str(tmp_path)))
        wait_until(partial(lambda used: not still_used(used), made), partial(still_used, made))
