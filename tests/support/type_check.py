"""What a user's type checker says of a user's code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def type_check(folder: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Check the modules in a folder strictly, with what is installed for `python`."""
    options = ["--strict", "--python-executable", python, "--config-file="]
    paths = sorted(str(path) for path in folder.glob("*.py"))
    return subprocess.run(
        [sys.executable, "-P", "-m", "mypy", *options, *paths],
        cwd=folder,  # in a checkout it would check the checkout
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
