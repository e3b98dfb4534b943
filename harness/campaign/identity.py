"""What decides a run beside its scenario: the programs that take part in it."""

from __future__ import annotations

import functools
import hashlib
from importlib import metadata
from pathlib import Path

import harness
from harness.cluster.binaries import resolve, resolve_all
from harness.faults.upgrade import Upgrade
from harness.scenario.model import Scenario


@functools.cache
def harness_digest() -> str:
    """Return a digest of the harness's own sources, so that a changed checkout is another one."""
    root = Path(harness.__file__).parent
    found = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(str(path.relative_to(root)).encode())
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def programs_of(scenario: Scenario, backend: str) -> tuple[str, ...]:
    """Return digests of the harness and of the servers, and the client library's release.

    What an image's name stands for is the Engine's to know: only the name counts there.

    Raises:
        BinaryError: a release cannot be had.
    """
    client = scenario.client
    found = [harness_digest(), f"{client.adapter} {metadata.version(client.adapter)}"]
    if backend in ("lab", "local"):
        servers = set(resolve_all(scenario.cluster).values())
        servers.update(resolve(step.to) for step in scenario.faults if isinstance(step, Upgrade))
        found += sorted(one.sha256 for one in servers)
    return tuple(found)
