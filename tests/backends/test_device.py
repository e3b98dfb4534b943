"""The device whose power is cut: a real file system, real processes, and nothing left behind."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loop_devices import loops_of
from synced import CASES
from watched_disk import HEAD, watched_disk

from harness.backends.disk import device as devices
from harness.backends.disk import trees
from harness.backends.disk.device import Device, keep_mounts_apart, mounted
from harness.cluster.disks import Loss
from harness.errors import CapabilityError, FaultError, ServerError

LIMIT_S = 10.0


class Disk:
    """A device with a store on it, for processes of ours to write to."""

    def __init__(self, place: Path) -> None:
        self.device = Device(place)
        self.store = place / "store"
        self.store.mkdir()
        self.device.sync()

    def run(self, code: str) -> str:
        argv = [sys.executable, "-I", "-S", "-c", HEAD + code, str(self.store)]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def lose(self, limit_s: float = LIMIT_S) -> Loss:
        return self.device.cut_power(self.store, limit_s)

    def left(self) -> dict[str, bytes]:
        return {name: path.read_bytes() for name, path in trees.files_below(self.store).items()}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    keep_mounts_apart()
    disk = Disk(tmp_path / "disk")
    try:
        yield disk
    finally:
        disk.device.close()
    assert loops_of(tmp_path) == []


pytestmark = pytest.mark.device


@pytest.mark.parametrize("case", CASES)
def test_a_real_file_system_leaves_what_the_shadow_says(case: str, disk: Disk) -> None:
    code, left = CASES[case]
    disk.run(code)
    disk.lose()
    assert disk.left() == left


ANYHOW: dict[str, tuple[str, dict[str, bytes], dict[str, bytes]]] = {
    "a-sync-that-has-nothing-to-commit": (
        "f = make('a'); os.write(f, b'one'); os.fsync(f); g = make('b'); os.fsync(f)",
        {"a": b"one", "b": b""},
        {"a": b"one"},
    ),
    "fdatasync-after-overwriting": (
        (
            "f = make('a'); os.write(f, b'one'); os.fsync(f); g = make('b')\n"
            "os.pwrite(f, b'O', 0); os.fdatasync(f)"
        ),
        {"a": b"One", "b": b""},
        {"a": b"One"},
    ),
    "a-length-that-was-set": (
        "f = make('a'); os.fsync(f); os.ftruncate(f, 3); g = make('b'); os.fsync(g)",
        {"a": b"", "b": b""},
        {"a": bytes(3), "b": b""},
    ),
}


@pytest.mark.parametrize("case", ANYHOW)
def test_where_a_real_file_system_and_the_shadow_differ(
    case: str, disk: Disk, tmp_path: Path
) -> None:
    code, shadow, real = ANYHOW[case]
    disk.run(code)
    disk.lose()
    assert disk.left() == real
    with watched_disk(tmp_path) as other:
        other.run(code)
        assert other.lose() == shadow


def test_what_is_lost_is_counted(disk: Disk) -> None:
    disk.run(
        "f = make('a'); os.write(f, b'x' * 10_000); os.fsync(f); os.pwrite(f, b'y', 5000)\n"
        "g = make('b'); os.write(g, b'12345')"
    )
    assert disk.lose() == Loss(2, 4096 + 5)
    assert disk.lose() == Loss(0, 0)


def test_what_was_made_to_last_outlives_a_cut(disk: Disk) -> None:
    disk.run("f = make('a'); os.write(f, b'one')")
    disk.device.sync()
    assert disk.lose() == Loss(0, 0)
    assert disk.left() == {"a": b"one"}


def test_a_device_in_use_is_not_cut_half_way_for_ever(disk: Disk) -> None:
    held = os.open(disk.store, os.O_RDONLY)
    try:
        with pytest.raises(OSError) as raised:
            disk.lose(0.1)
        assert raised.value.errno == errno.EBUSY
    finally:
        os.close(held)


@pytest.mark.anyio
async def test_one_that_stays_mounted_is_told_and_keeps_no_other_from_being_freed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_mounts_apart()
    monkeypatch.setattr(devices, "UNMOUNT_LIMIT_S", 0.1)
    disks = mounted(tmp_path, ["n1", "n2", "n3"])
    made = await disks.__aenter__()
    assert list(made) == ["n1", "n2", "n3"]
    assert len(loops_of(tmp_path)) == 3
    held = os.open(tmp_path / "n2", os.O_RDONLY)
    with pytest.raises(ServerError, match="n2 stays mounted: Device or resource busy"):
        await disks.__aexit__(None, None, None)
    assert len(loops_of(tmp_path)) == 1
    os.close(held)
    made["n2"]._unmount(LIMIT_S)
    assert loops_of(tmp_path) == []


def test_one_that_cannot_be_shut_down_is_unmounted_all_the_same(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, request: int, argument: bytes) -> None:
        raise OSError(errno.EIO, "as said")

    with monkeypatch.context() as broken:
        broken.setattr(fcntl, "ioctl", refuse)
        disk.device.close()
    assert loops_of(tmp_path) == []


@pytest.mark.anyio
async def test_a_node_that_gets_none_is_named_and_the_others_are_freed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_mounts_apart()
    (tmp_path / "n2").write_text("in the way")
    with pytest.raises(ServerError, match=r"n2 gets no disk of its own: .*File exists"):
        async with mounted(tmp_path, ["n1", "n2"]):
            pytest.fail("there is one too few")
    assert loops_of(tmp_path) == []


def test_no_other_file_system_is_ever_shut_down(disk: Disk) -> None:
    """Where the device is not mounted the folder is on the disk that this machine runs from."""
    disk.device._unmount(LIMIT_S)
    disk.store.mkdir()
    try:
        for act in (disk.lose, disk.device.sync, disk.device._shut_down):
            with pytest.raises(OSError, match="the disk is not mounted there"):
                act()
        (disk.store / "still").write_bytes(b"writable")
    finally:
        trees.remove(disk.store)
        disk.device._mount()


def test_one_that_others_take_first_is_left_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_mounts_apart()
    configure, refused = devices._configure, [errno.EBUSY, errno.ENOENT]

    def race(path: str, config: bytes) -> int:
        if refused:
            raise OSError(refused.pop(0), "as said")
        return configure(path, config)

    monkeypatch.setattr(devices, "_configure", race)
    disk = Disk(tmp_path / "disk")
    assert len(loops_of(tmp_path)) == 1
    disk.device.close()
    assert refused == []
    assert loops_of(tmp_path) == []


def test_when_all_tries_fail_the_kernel_has_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, config: bytes) -> int:
        raise OSError(errno.EBUSY, "taken")

    keep_mounts_apart()
    monkeypatch.setattr(devices, "_configure", refuse)
    monkeypatch.setattr(devices, "TRY_S", 0.0)
    with pytest.raises(OSError, match="taken"):
        Device(tmp_path / "disk")


def test_without_a_program_to_format_it_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_mounts_apart()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(devices, "PROGRAM_PATHS", str(tmp_path))
    with pytest.raises(FaultError, match=r"there is no mkfs\.ext4 here \(e2fsprogs\)"):
        Device(tmp_path / "disk")
    assert loops_of(tmp_path) == []


def test_a_mount_that_others_would_see_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_apart", False)
    with pytest.raises(CapabilityError, match="mounts are not kept apart"):
        Device(tmp_path / "disk")
    assert not (tmp_path / "disk").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [("sync", "of 'synced' and 'not' was left"), ("no-such-option", "Invalid argument")],
    ids=["too-much-is-left", "not-mounted"],
)
def test_a_device_that_does_not_serve_is_found_when_it_is_tried(
    options: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(devices, "OPTIONS", options)
    assert devices.main(["device", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err
    assert loops_of(tmp_path) == []
