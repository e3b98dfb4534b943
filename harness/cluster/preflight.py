"""Let the server itself check a configuration before anything is started."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.cluster.binaries import Binary
from harness.cluster.command import run_bounded
from harness.cluster.config import NodeConfig
from harness.errors import BinaryError, UsageError

CHECK_LIMIT_S = 10.0

_PROBLEM = re.compile(r"^(?:nats-server: )?\S*?:(\d+):\d+: (.+)$", re.MULTILINE)
_VARIABLE = re.compile(r"variable reference for '(\w+)' on line (\d+) can not be found")


def check(binary: Binary, config: NodeConfig, path: Path, free: Mapping[str, Any]) -> None:
    """Run ``nats-server -t`` on the configuration at `path`.

    Args:
        binary: the server that will read it.
        config: what was written to `path`.
        path: the file.
        free: the scenario's `cluster.config`, to tell its keys from the harness's.

    Raises:
        UsageError: the server refuses it; one line a problem, each with its key.
        BinaryError: the server could not be asked.
    """
    try:
        done = run_bounded(
            [binary.path, "-t", "-c", path],
            CHECK_LIMIT_S,
            env={**os.environ, **config.environment},
        )
    except OSError as error:  # TimeoutError is one
        raise BinaryError(f"{binary.path} cannot check a configuration: {error}") from error
    if done.returncode != 0:
        raise UsageError("\n".join(_explain(binary, config, done.output, free)))


def _explain(binary: Binary, config: NodeConfig, output: str, free: Mapping[str, Any]) -> list[str]:
    server = f"nats-server {binary.version}"
    if (missing := _VARIABLE.search(output)) is not None:
        key = _key(config, int(missing[2]), free)
        return [f"{key}: the environment has no variable {missing[1]}"]
    problems = [(int(line), said) for line, said in _PROBLEM.findall(output)]
    if not problems:
        said = " ".join(output.split())[:300] or "no reason given"
        return [f"cluster.config: {server} refuses the configuration: {said}"]
    return [f"{_key(config, line, free)}: {server} refuses it: {said}" for line, said in problems]


def _key(config: NodeConfig, line: int, free: Mapping[str, Any]) -> str:
    """Return the scenario's key behind a line of the file."""
    if not 1 <= line <= len(config.keys):
        return "cluster.config"
    path = config.keys[line - 1]
    top = path.partition(".")[0]
    if top in {str(key).lower() for key in free}:
        return f"cluster.config.{path}"
    return f"cluster.{path}" if top in ("authorization", "jetstream") else path
