"""What each container of a Compose project is made from: its service, as the file has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from docker.types import Mount as EngineMount
from docker.types import Ulimit

from harness.backends.docker.arguments import complete
from harness.backends.docker.container import ContainerSpec
from harness.backends.docker.service import Service, Stopping, read_signal
from harness.cluster.config import NodeConfig
from harness.cluster.protocols import Endpoints
from harness.engine.images import Image
from harness.errors import EngineError
from harness.scenario.compose import model
from harness.scenario.compose.flags import read_flags, runs_server
from harness.scenario.compose.redaction import plain_service

GRACE_S = 10.0  # Docker's own, from the stop signal to SIGKILL


def volume_of(service: model.Service, mount: model.Mount) -> str:
    """Return what a project calls a volume: services that name one by its source share it."""
    return mount.source or f"{service.name}:{mount.target}"


def project_volumes(project: model.ComposeProject) -> tuple[str, ...]:
    """Return the volumes of a project, each once."""
    return tuple(
        dict.fromkeys(
            volume_of(service, mount)
            for service in project.services
            for mount in service.mounts
            if mount.kind == "volume"
        )
    )


def question(service: model.Service) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return the entry point (None: the image's) and arguments that ask a server's version.

    A program that the service names is asked itself, unless a shell would start it.
    """
    entrypoint, command = service.entrypoint, service.command or ()
    if entrypoint and runs_server(entrypoint[:1]):
        return entrypoint[:1], ("--version",)
    if command and runs_server(command[:1]):
        return entrypoint, (command[0], "--version")
    return None, ("--version",)


def compose_services(
    project: model.ComposeProject,
    images: Mapping[str, Image],
    endpoints: Mapping[str, Endpoints],
    volumes: Mapping[str, str],
    *,
    here: bool,
) -> Mapping[str, Service]:
    """Return what each node's container is made from, the seed's first.

    Args:
        project: the services.
        images: the image of each.
        endpoints: where each will listen.
        volumes: the Engine's name of each volume; see `project_volumes`.
        here: whether the Engine sees this machine's files.

    Raises:
        EngineError: a file of this machine is to be mounted by an Engine that is elsewhere.
    """
    services = project.by_name
    return {
        node: Service(
            _container(services[node], images[node], endpoints[node], volumes, here=here),
            _shown(services[node], images[node]),
            _stopping(services[node], images[node]),
        )
        for node in project.nodes
    }


def _container(
    service: model.Service,
    image: Image,
    endpoints: Endpoints,
    volumes: Mapping[str, str],
    *,
    here: bool,
) -> ContainerSpec:
    mounts: list[EngineMount] = []
    files: dict[PurePosixPath, bytes] = {}
    owned: list[PurePosixPath] = []
    for mount in service.mounts:
        target = PurePosixPath(mount.target)
        if mount.kind == "content":
            assert mount.content is not None, "a file without content"
            files[target] = mount.content.get_secret_value().encode()
            continue
        if mount.kind == "bind" and not here:
            raise EngineError(
                f"{service.place}: services.{service.name}: {mount.source} of this machine cannot "
                "be mounted by an Engine that is elsewhere"
            )
        if mount.kind == "volume" and not mount.read_only:
            owned.append(target)
        mounts.append(_mount(service, mount, volumes))
    return ContainerSpec(
        name=service.name,
        image=image,
        arguments=(*_arguments(service, image), *_advertised(service, endpoints)),
        address=endpoints.route.host,
        aliases=service.names,
        environment=service.environment,
        files=files,
        entrypoint=service.entrypoint,
        options=_options(service),
        mounts=tuple(mounts),
        owned=tuple(owned),
        settings=_settings(service),
        labels=service.labels,
        hostname=service.hostname,
        published=_published(service, endpoints),
    )


def _mount(service: model.Service, mount: model.Mount, volumes: Mapping[str, str]) -> EngineMount:
    if mount.kind == "tmpfs":
        return EngineMount(
            mount.target,
            None,
            type="tmpfs",
            read_only=mount.read_only,
            tmpfs_size=mount.size_bytes,
            tmpfs_mode=mount.mode,
        )
    if mount.kind == "bind":
        return EngineMount(mount.target, mount.source, type="bind", read_only=mount.read_only)
    volume = volumes[volume_of(service, mount)]
    return EngineMount(mount.target, volume, type="volume", read_only=mount.read_only)


def _arguments(service: model.Service, image: Image) -> Sequence[str]:
    """Return the service's command; the image's own is completed as those of the file are."""
    if service.command is not None:
        return service.command
    if service.entrypoint is not None:
        return ()
    own = (*image.entrypoint, *image.command)
    return (*image.command, *complete(own, service.name)[len(own) :])


def _advertised(service: model.Service, endpoints: Endpoints) -> tuple[str, ...]:
    """Return what makes a server tell clients where it is published, if it is."""
    if endpoints.server is None:
        return ()
    flags = read_flags(service.entrypoint, service.command)
    if flags is not None and not flags.open_ended:
        return ()
    return ("--client_advertise", str(endpoints.client))


def _published(service: model.Service, endpoints: Endpoints) -> Mapping[int, int]:
    """Return the port of the Engine's machine for each port of the container; mostly none."""
    if endpoints.server is None:
        return {}
    ports = service.ports
    return {ports.client: endpoints.client.port, ports.monitor: endpoints.monitor.port}


def _settings(service: model.Service) -> dict[str, Any]:
    """Return what of a service concerns its process, as the SDK names it."""
    given = {
        "user": service.user,
        "working_dir": service.working_dir,
        "stop_signal": service.stop_signal,
    }
    return {key: value for key, value in given.items() if value is not None}


def _options(service: model.Service) -> dict[str, Any]:
    """Return what of a service concerns its host, as the SDK names it."""
    limits = service.limits
    given: dict[str, Any] = {
        "mem_limit": limits.memory_bytes,
        "nano_cpus": None if limits.cpus is None else round(limits.cpus * 1e9),
        "pids_limit": limits.pids,
        "shm_size": service.shm_bytes,
        "read_only": service.read_only or None,
        "init": service.init or None,
        "cap_add": list(service.cap_add),
        "cap_drop": list(service.cap_drop),
        "security_opt": [_security(option) for option in service.security_opt],
        "group_add": list(service.group_add),
        "sysctls": dict(service.sysctls),
        "ulimits": [Ulimit(name=one.name, soft=one.soft, hard=one.hard) for one in service.ulimits],
    }
    return {key: value for key, value in given.items() if value not in (None, [], {})}


def _security(option: str) -> str:
    """Return an option as the Engine wants it: with ``=`` where Compose files have ``:`` too."""
    return option if "=" in option else option.replace(":", "=", 1)


def _shown(service: model.Service, image: Image) -> NodeConfig:
    """Return what a report shows of a service: nothing that a login could be made of."""
    effective = {**plain_service(service), **image.describe()}
    return NodeConfig("", environment={}, keys=(), effective=effective)


def _stopping(service: model.Service, image: Image) -> Stopping:
    name = service.stop_signal or image.stop_signal or "SIGTERM"
    grace_s = GRACE_S if service.stop_grace_s is None else service.stop_grace_s
    try:
        return Stopping(read_signal(name), grace_s)
    except ValueError as error:
        place = f"{service.place}: services.{service.name}.stop_signal"
        raise EngineError(f"{place}: {error}") from error
