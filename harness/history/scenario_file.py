"""The scenario in a run folder: written before anything else, and read by whoever judges."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from harness.errors import ReportError

SCENARIO = "scenario.yaml"
SHA256 = "scenario_sha256"  # a fact of `run.started`


def digest_of(written: bytes) -> str:
    """Return what `run.started` notes of the scenario as it was written."""
    return hashlib.sha256(written).hexdigest()


def read_written(path: Path) -> bytes:
    """Return the scenario as it lies there; ReportError when there is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReportError(f"{path.parent} holds no run: {path.name}: {error.strerror}") from error


def find_change(written: bytes, events: Sequence[Mapping[str, Any]]) -> str | None:
    """Say so if the scenario is not what the run wrote; older runs noted no digest of it."""
    started: Mapping[str, Any] = next((one for one in events if one["kind"] == "run.started"), {})
    noted = started.get(SHA256)
    if noted is None or noted == digest_of(written):
        return None
    return (
        f"{SCENARIO} is not as the run wrote it: it was cut or changed afterwards, so nobody "
        "knows what was to be judged"
    )


def parse_scenario(path: Path, written: bytes) -> Mapping[str, Any]:
    """Return the scenario as plain data; ReportError where it is none."""
    try:
        scenario = YAML(typ="safe").load(written.decode())
    except (YAMLError, ValueError) as error:
        raise ReportError(f"{path} cannot be read as YAML") from error
    if not isinstance(scenario, dict):
        raise ReportError(f"{path} holds no scenario")
    return scenario
