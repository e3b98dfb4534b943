"""Releases of client libraries beside the installed one, each in a folder of its own.

A worker that is to use one puts its folder first on its import path; nothing else of the
environment changes, and what is installed stays as it is.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from harness.cluster.binaries import default_cache, writable
from harness.cluster.package_index import install, order
from harness.errors import BinaryError
from harness.scenario.model import INSTALLED, ClientSpec
from harness.scratch import lasting_scratch

# The oldest release of each that its adapter is tested with.
OLDEST: Mapping[str, str] = MappingProxyType({"nats-py": "2.11.0"})


@functools.cache
def resolve_library(adapter: str, version: str, cache: Path | None = None) -> Path | None:
    """Return the folder to import a library's release from; None for the installed one.

    Call it before anything is started: a release may have to be downloaded.

    Args:
        adapter: the library's name, which is that of its distribution.
        version: ``installed``, or a release.
        cache: where downloaded releases are kept; beside those of servers when not given.

    Raises:
        BinaryError: the release is too old, unknown or out of reach.
    """
    if version == INSTALLED or version == metadata.version(adapter):
        return None
    if order(version) < order(OLDEST[adapter]):
        raise BinaryError(
            f"{adapter} {version}: its adapter knows releases from {OLDEST[adapter]} on"
        )
    cache = cache or default_cache().parent / "clients"
    place = cache / f"{adapter}-{version}"
    if place.is_dir():  # it came there in one step, so it is whole
        return place
    if writable(cache) is not None:
        cache = lasting_scratch()
        place = cache / place.name
    with tempfile.TemporaryDirectory(dir=cache, prefix=".new-") as work:
        made = Path(work) / place.name
        install(adapter, adapter, version, made)
        try:
            made.rename(place)
        except OSError as error:
            if not place.is_dir():  # another process was not quicker
                raise BinaryError(f"{adapter} {version} cannot be kept in {cache}") from error
    return place


def library_of(client: ClientSpec) -> Path | None:
    """Return the folder to import the clients' library from; see `resolve_library`."""
    return resolve_library(client.adapter, client.version)
