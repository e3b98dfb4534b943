"""Fixtures that every part shares, and which tests this machine can run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROBE = "from harness.backends.lab.available import available; print(available() or '')"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests of the lab where it does not work; fail them where it was required.

    The lab is tried in a process of its own: it must be entered before threads exist.
    """
    marked = [item for item in items if item.get_closest_marker("lab")]
    if not marked or "lab" in os.environ.get("NATS_HARNESS_REQUIRE", "").split(","):
        return
    probe = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60, check=False
    )
    if why := (probe.stdout + probe.stderr).strip():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"the lab does not work here: {why}"))
