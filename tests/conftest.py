"""Fixtures that every part shares, and which tests this machine can run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROBES = {
    "lab": "from harness.backends.lab.available import available; print(available() or '')",
    "device": """
from harness.backends.trials import attempt
from harness.cluster.protocols import Capability
print(attempt("local", Capability.DEVICE).lack or "")
""",
    "docker": """
from harness.engine.connection import engine
from harness.errors import EngineError
try:
    with engine():
        pass
except EngineError as error:
    print(error)
""",
    "browser": """
import sys
sys.path.insert(0, "tests/support")
from chromium import NAMES, find_chromium
print("" if find_chromium() else f"none of {', '.join(NAMES)} is installed")
""",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests of what does not work here; fail them where it was required.

    Each is tried in a process of its own: the lab must be entered before threads exist.
    """
    required = os.environ.get("NATS_HARNESS_REQUIRE", "").split(",")
    for name, probe in PROBES.items():
        marked = [item for item in items if item.get_closest_marker(name)]
        if not marked or name in required:
            continue
        done = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=False
        )
        if why := (done.stdout + done.stderr).strip():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=f"no {name} here: {why}"))
