"""The public functions: what the command line does, from Python."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from harness.errors import (
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_INTERRUPTED,
    EXIT_PASS,
    HarnessError,
    ReportError,
    UsageError,
)
from harness.report.model import Report
from harness.scenario.dump import dump_yaml
from harness.scenario.load import load as load_path
from harness.scenario.model import Scenario
from harness.shipped import find_scenario
from harness.vocabulary import VOCABULARY

JUDGED = (EXIT_PASS, EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED)


def load(source: str | Path) -> Scenario:
    """Return the scenario at a path, or the shipped one of that name.

    Raises:
        UsageError: there is none; ScenarioError: it is wrong, one problem a line.
    """
    return load_path(find_scenario(str(source)), VOCABULARY).scenario


def run(
    scenario: Scenario | str | Path,
    *,
    backend: str = "auto",
    reports: str | Path = "reports",
) -> Report:
    """Run a scenario in a process of its own and return its report.

    A process of its own, because the lab must be entered before any thread exists.

    Args:
        scenario: a scenario, its path, or the name of a shipped one.
        backend: ``auto``, ``lab`` or ``local``.
        reports: the folder that the run folder is made in.

    Raises:
        UsageError: what was asked for cannot be done; HarnessError: no report came of it.
    """
    with tempfile.TemporaryDirectory(prefix="nats-harness-") as scratch:
        if isinstance(scenario, Scenario):
            path = Path(scratch) / f"{scenario.name}.yaml"
            path.write_text(dump_yaml(scenario), encoding="utf-8")
        else:
            path = find_scenario(str(scenario))
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "harness",
                "run",
                str(path),
                "--quiet",
                "--backend",
                backend,
                "--reports",
                str(reports),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in JUDGED:
        raise UsageError(done.stderr.strip().removeprefix("nats-harness: "))
    folder = _run_folder(done.stdout)
    if folder is None:
        raise HarnessError(done.stderr.strip() or "the run left no report")
    try:
        return Report.model_validate_json((folder / "report.json").read_bytes())
    except OSError as error:
        raise ReportError(f"{folder / 'report.json'}: {error.strerror}") from error


def _run_folder(output: str) -> Path | None:
    """Return the run folder that the last line of a run names."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return Path(lines[-1]).parent if lines and lines[-1].endswith("report.json") else None
