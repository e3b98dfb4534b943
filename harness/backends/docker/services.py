"""What each container of a cluster is made from: the scenario's image, arguments and limits."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from harness.backends.docker.arguments import MONITOR_PORT, complete
from harness.backends.docker.compose_services import compose_services, project_volumes, question
from harness.backends.docker.container import CONFIG_FOLDER, STORE, ContainerSpec
from harness.backends.docker.service import Service
from harness.cluster.config import NodeConfig, render
from harness.cluster.protocols import Address, Endpoints
from harness.engine.images import Image
from harness.errors import UsageError
from harness.scenario.dump import redact
from harness.scenario.model import ClusterSpec, ContainerOptions

SEED_ALIAS = "nats"  # what the guides call the first server
OFFICIAL = "nats"


@dataclass(frozen=True)
class Question:
    """How an image is asked for its server's version; without an entry point, by its own."""

    image: str
    entrypoint: tuple[str, ...] | None
    arguments: tuple[str, ...]


def image_names(spec: ClusterSpec) -> Mapping[str, str]:
    """Return the image of every node: as given, else the official one of its release.

    Raises:
        UsageError: a node's version is a path, of which there is no image.
    """
    return {node: spec.image_of(node) or _official(spec.version_of(node)) for node in spec.nodes}


def _official(version: str) -> str:
    if version == "bundled":
        from harness.cluster.binaries import bundled  # noqa: PLC0415 - it may not be installed

        return f"{OFFICIAL}:{bundled().version}"
    if "/" in version:
        raise UsageError(
            f"containers run images, not programs such as {version}; give cluster.image"
        )
    return f"{OFFICIAL}:{version.removeprefix('v')}"


def version_questions(spec: ClusterSpec) -> Mapping[str, Question]:
    """Return how the server in each node's image is asked for its version.

    Raises:
        UsageError: a node's version is a path, of which there is no image.
    """
    asked: dict[str, Question] = {}
    for node, image in image_names(spec).items():
        if spec.compose is None:
            asked[node] = Question(image, None, ("--version",))
        else:
            asked[node] = Question(image, *question(spec.compose.by_name[node]))
    return asked


def volume_keys(spec: ClusterSpec) -> Sequence[str]:
    """Return what volumes are known by: the nodes that have one each, or those of the file."""
    if spec.compose is not None:
        return project_volumes(spec.compose)
    return () if spec.jetstream is False else spec.nodes


def services(
    spec: ClusterSpec,
    images: Mapping[str, Image],
    endpoints: Mapping[str, Endpoints],
    volumes: Mapping[str, str],
    *,
    here: bool,
) -> Mapping[str, Service]:
    """Return what each node's container is made from.

    Args:
        spec: the servers.
        images: the image of each node.
        endpoints: where each node will listen.
        volumes: the Engine's name of each volume, by its key; see `volume_keys`.
        here: whether the Engine sees this machine's files.

    Raises:
        EngineError: the Engine cannot see a file that is to be mounted.
        UsageError: a command line does not end within its quotes.
    """
    if spec.compose is not None:
        return compose_services(spec.compose, images, endpoints, volumes, here=here)
    own = spec.container or ContainerOptions()
    made = {}
    for index, node in enumerate(spec.nodes):
        given = own.arguments_of(node)
        if given is None and own.read_only:
            raise UsageError(
                "cluster.container.read_only: the harness's configuration cannot be put into a "
                "container that nobody writes into; give cluster.container.arguments"
            )
        if given is None:
            config = render(spec, node, _inside(endpoints), Path(STORE))
            path = CONFIG_FOLDER / f"{node}.conf"
            arguments: Sequence[str] = ("-c", str(path))
            files = {path: config.text.encode()}
        else:
            arguments = complete(_words(given), node)
            config = shown(arguments)
            files = dict[PurePosixPath, bytes]()
        container = ContainerSpec(
            name=node,
            image=images[node],
            arguments=arguments,
            address=endpoints[node].route.host,
            aliases=(node, SEED_ALIAS) if index == 0 else (node,),
            environment=config.environment,
            files=files,
            volume=volumes.get(node),
            options=_limits(own),
            published=_published(endpoints[node]),
        )
        made[node] = Service(container, config)
    return made


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:  # the line itself is not shown: secrets may be in it
        raise UsageError(f"cluster.container.arguments: {error}") from error


def _inside(endpoints: Mapping[str, Endpoints]) -> Mapping[str, Endpoints]:
    """Return where servers listen in their containers, wherever they are reached."""
    return {
        node: one
        if one.server is None
        else replace(one, monitor=Address(one.route.host, MONITOR_PORT))
        for node, one in endpoints.items()
    }


def _published(one: Endpoints) -> Mapping[int, int]:
    """Return the port of the Engine's machine for each port of the container; mostly none."""
    if one.server is None:
        return {}
    return {one.server.port: one.client.port, MONITOR_PORT: one.monitor.port}


def shown(arguments: Sequence[str]) -> NodeConfig:
    """Return a server's arguments as a configuration to show: credentials are replaced."""
    return NodeConfig("", environment={}, keys=(), effective={"arguments": redact(list(arguments))})


def _limits(own: ContainerOptions) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if own.memory is not None:
        options["mem_limit"] = options["memswap_limit"] = own.memory
    if own.cpus is not None:
        options["nano_cpus"] = round(own.cpus * 1e9)
    if own.read_only:
        options["read_only"] = True
    return options
