"""Let the server itself check a configuration before anything is started."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cluster.binaries import Binary
from harness.cluster.command import run_bounded
from harness.cluster.config import NodeConfig, render
from harness.cluster.protocols import Address, Endpoints
from harness.errors import BinaryError, UsageError
from harness.scenario.model import ClusterSpec
from harness.scratch import scratch

CHECK_LIMIT_S = 10.0

_PROBLEM = re.compile(r"^(?:nats-server: )?\S*?:(\d+):\d+: (.+)$", re.MULTILINE)
_VARIABLE = re.compile(r"variable reference for '(\w+)' on line (\d+) can not be found")


@dataclass(frozen=True)
class Objection:
    """What a server has against a configuration, and the scenario's key behind it, dotted.

    `message` goes on after the server's name, unless it is `whole`.
    """

    key: str
    message: str
    whole: bool = False

    def told_by(self, server: str) -> str:
        """Return the message as a sentence."""
        return self.message if self.whole else f"{server} {self.message}"


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
    found = object_to(binary, config, path, free)
    if found:
        server = f"nats-server {binary.version}"
        raise UsageError("\n".join(f"{one.key}: {one.told_by(server)}" for one in found))


def object_to(
    binary: Binary, config: NodeConfig, path: Path, free: Mapping[str, Any]
) -> list[Objection]:
    """Return what the server has against a configuration; arguments and errors as in `check`."""
    try:
        done = run_bounded(
            [binary.path, "-t", "-c", path],
            CHECK_LIMIT_S,
            env={**os.environ, **config.environment},
        )
    except OSError as error:  # TimeoutError is one
        raise BinaryError(f"{binary.path} cannot check a configuration: {error}") from error
    return [] if done.returncode == 0 else _explain(config, done.output, free)


def object_all(spec: ClusterSpec, releases: Mapping[str, Sequence[Binary]]) -> list[Objection]:
    """Return what the releases that a scenario uses have against their nodes' configurations.

    Nothing is started, and no port has to be free: where nodes will listen is made up.

    Args:
        spec: the servers.
        releases: all that each node will be at some time.

    Raises:
        UsageError: `spec.config` sets what the harness must choose.
        BinaryError: a server could not be asked.
    """
    sites = spec.sites
    endpoints = {node: _make_up(index) for index, node in enumerate(spec.nodes)}
    objections: dict[tuple[Objection, str], list[str]] = {}
    asked: dict[tuple[Path, str, bool], list[Objection]] = {}
    with scratch() as folder:
        for node in spec.nodes:
            config = render(spec, node, endpoints, folder / "store")
            path = folder / f"{node}.conf"
            path.write_text(config.text, encoding="utf-8")
            for binary in releases[node]:
                site = sites.of(node)
                alike = (binary.path, site.name, node == site.seed)  # else only addresses differ
                if alike not in asked:
                    asked[alike] = object_to(binary, config, path, spec.config)
                for one in asked[alike]:
                    objections.setdefault((one, binary.version), []).append(node)
    return [
        Objection(
            one.key, one.told_by(f"nats-server {version} ({', '.join(dict.fromkeys(nodes))})")
        )
        for (one, version), nodes in objections.items()
    ]


def _make_up(index: int) -> Endpoints:
    """Return where a node could listen; no two nodes at the same."""
    client, route, monitor, gateway, leafnode = (
        Address("127.0.0.1", first + index) for first in range(10_000, 15_000, 1000)
    )
    return Endpoints(client, route, monitor, gateway=gateway, leafnode=leafnode)


def _explain(config: NodeConfig, output: str, free: Mapping[str, Any]) -> list[Objection]:
    if (missing := _VARIABLE.search(output)) is not None:
        key = _key(config, int(missing[2]), free)
        return [Objection(key, f"the environment has no variable {missing[1]}", whole=True)]
    problems = [(int(line), said) for line, said in _PROBLEM.findall(output)]
    if not problems:
        said = " ".join(output.split())[:300] or "no reason given"
        return [Objection("cluster.config", f"refuses the configuration: {said}")]
    return [Objection(_key(config, line, free), f"refuses it: {said}") for line, said in problems]


def _key(config: NodeConfig, line: int, free: Mapping[str, Any]) -> str:
    """Return the scenario's key behind a line of the file."""
    if not 1 <= line <= len(config.keys):
        return "cluster.config"
    path = config.keys[line - 1]
    top = path.partition(".")[0]
    if top in {str(key).lower() for key in free}:
        return f"cluster.config.{path}"
    return f"cluster.{path}" if top in ("authorization", "jetstream") else path
