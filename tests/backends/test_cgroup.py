from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_handles import BUSY

from harness.backends import cgroup, stop_and_go
from harness.errors import FaultError

FILES = {
    1: {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1"},
    2: {"cpu.max": "max 100000"},
}
STAT = "nr_periods 7\nnr_throttled 3\nthrottled_usec 12\n"


class FakeHierarchy:
    """Folders that behave as control groups do, as far as the harness can tell."""

    def __init__(self, root: Path, version: int, controlled: frozenset[Path]) -> None:
        self.root, self.version, self.controlled = root, version, controlled

    def fill(self, folder: Path) -> None:
        (folder / "cgroup.procs").write_text("")
        if folder.parent in self.controlled:
            for name, text in FILES[self.version].items():
                (folder / name).write_text(text)
            (folder / "cpu.stat").write_text(STAT)


def make_fake(
    root: Path, version: int, monkeypatch: pytest.MonkeyPatch, *, beside: bool = False
) -> Path:
    """Let the process be in ``root/slice/scope``; children get a controller there, or beside."""
    home = root / "slice" / "scope"
    home.mkdir(parents=True)
    fake = FakeHierarchy(root, version, frozenset({home.parent if beside else home}))
    for folder in (home.parent, home):
        (folder / "cgroup.procs").write_text("")
    mounts, own = root / "mountinfo", root / "own"
    kind, options = ("cgroup", "rw,cpu,cpuacct") if version == 1 else ("cgroup2", "rw")
    mounts.write_text(
        "22 1 0:5 / /proc rw - proc proc rw\n"
        f"30 22 0:29 / /elsewhere rw - cgroup cgroup rw,memory\n"
        f"31 22 0:30 /outer {root} rw,nosuid shared:5 - {kind} {kind} {options}\n"
    )
    line = "4:cpu,cpuacct:/outer/slice/scope" if version == 1 else "0::/outer/slice/scope"
    own.write_text(f"9:memory:/\n{line}\n")
    mkdir, rmdir, read = Path.mkdir, Path.rmdir, cgroup._read

    def make(self: Path, *args: Any, **options: Any) -> None:
        mkdir(self, *args, **options)
        if self.name.startswith(cgroup.PREFIX):
            fake.fill(self)

    def remove(self: Path) -> None:
        if self.name.startswith(cgroup.PREFIX):
            shutil.rmtree(self)
        else:
            rmdir(self)

    monkeypatch.setattr(Path, "mkdir", make)
    monkeypatch.setattr(Path, "rmdir", remove)
    monkeypatch.setattr(cgroup, "MOUNTS", mounts)
    monkeypatch.setattr(cgroup, "_read", lambda path: read(own if path.name == "cgroup" else path))
    return home


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_is_made_read_back_and_given_up(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_fake(tmp_path, version, monkeypatch)
    group = cgroup.limit(4711, 0.25)
    assert group.hierarchy.name == f"cgroup v{version}"
    assert group.folder.parent == home
    assert group.quota() == 0.25
    assert group.holds(4711)
    assert not group.holds(47)
    assert group.counts() == (7, 3)
    group.lift(4711)
    assert (home / "cgroup.procs").read_text() == "4711"
    assert list(home.glob(f"{cgroup.PREFIX}*")) == []


def test_version_2_makes_a_group_beside_where_it_may_not_be_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_fake(tmp_path, 2, monkeypatch, beside=True)
    group = cgroup.limit(4711, 0.25)
    assert group.folder.parent == home.parent
    group.lift(None)
    assert (home / "cgroup.procs").read_text() == ""
    assert list(tmp_path.rglob(f"{cgroup.PREFIX}*")) == []


def test_a_group_without_the_controller_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_fake(tmp_path, 2, monkeypatch)
    monkeypatch.setattr(FakeHierarchy, "fill", lambda *_: None)
    with pytest.raises(FaultError, match=r"cgroup v2: .*/scope: No such file"):
        cgroup.limit(4711, 0.25)
    assert list(tmp_path.rglob(f"{cgroup.PREFIX}*")) == []


def test_no_mounted_hierarchy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "none").write_text("22 1 0:5 / /proc rw - proc proc rw\n")
    monkeypatch.setattr(cgroup, "MOUNTS", tmp_path / "none")
    with pytest.raises(FaultError, match="no control group with a CPU controller is mounted"):
        cgroup.limit(os.getpid(), 0.25)


def test_only_what_nobody_holds_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_fake(tmp_path, 2, monkeypatch)
    group = cgroup.limit(4711, 0.25)
    left = home / f"{cgroup.PREFIX}left"
    left.mkdir()
    (home / "somebody-elses").mkdir()
    cgroup.sweep_all()
    assert not left.exists()
    assert (home / "somebody-elses").exists()
    assert group.folder.exists()
    group.lift(None)


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", BUSY]) as child:
        yield child
        child.kill()


def limit_for_real(pid: int) -> cgroup.Group:
    try:
        return cgroup.limit(pid, 0.05)
    except FaultError as error:
        pytest.skip(f"control groups may not be made here: {error}")


def test_the_kernel_holds_a_process_back_until_it_is_given_up(
    busy: subprocess.Popen[bytes],
) -> None:
    group = limit_for_real(busy.pid)
    try:
        assert group.quota() == pytest.approx(0.05)
        assert group.holds(busy.pid)
        before = stop_and_go.cpu_time_s(busy.pid)
        periods = group.counts()[0]
        while group.counts()[0] < periods + 5:
            assert busy.poll() is None
        assert stop_and_go.cpu_time_s(busy.pid) - before < 5 * 0.1 / 2
        assert group.counts()[1] > 0
    finally:
        group.lift(busy.pid)
    assert not group.folder.exists()


LEAVE = """
import os, subprocess, sys
from harness.backends import cgroup
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(cgroup.limit(child.pid, 0.2).folder, child.pid, flush=True)
os.kill(child.pid, 9)
child.wait()
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_harness_left_is_removed_by_the_next(
    busy: subprocess.Popen[bytes],
) -> None:
    limit_for_real(busy.pid).lift(busy.pid)
    argv = [sys.executable, "-c", LEAVE]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    folder = Path(done.stdout.split()[0])
    assert folder.exists()
    cgroup.sweep_all()
    assert not folder.exists()
