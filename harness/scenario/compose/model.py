"""A Compose project as data: the NATS services of a file, ready to be run.

Everything is resolved: variables substituted, commands split, paths absolute, sizes in
bytes, times in seconds. What the file says and the harness does otherwise is in `notes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from harness.scenario.compose.images import is_placeholder

SERVICE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Positive = Annotated[int, Field(strict=True, ge=1)]
ServiceName = Annotated[str, Field(pattern=SERVICE_PATTERN, max_length=63)]


class Record(BaseModel):
    """Be frozen and refuse keys that are not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Ports(Record):
    """Where the server listens inside its container; `route` is None without a cluster port."""

    client: Port
    route: Port | None = None
    monitor: Port


class Attachment(Record):
    """A network of the file that a service is on, and the further names it has there."""

    network: str
    aliases: tuple[str, ...] = ()


class Mount(Record):
    """Something in the container's file system.

    Attributes:
        kind: ``volume``: a fresh one, shared by the services that name the same `source`,
            without a `source` the service's own; ``bind``: a file or folder of this machine;
            ``tmpfs``; ``content``: a file that holds `content`, read-only.
        source: the volume's name in the file, or an absolute path.
        target: an absolute path in the container.
        size_bytes: of a tmpfs; None for no limit.
        mode: permissions of a tmpfs or a file; None for the Engine's default.
    """

    kind: Literal["volume", "bind", "tmpfs", "content"]
    source: str | None = None
    target: str
    read_only: bool = False
    size_bytes: Positive | None = None
    mode: int | None = None
    content: SecretStr | None = None


class Limits(Record):
    """What the container may use; None for no limit. `cpus` counts whole processors."""

    memory_bytes: Positive | None = None
    cpus: float | None = Field(default=None, gt=0)
    pids: int | None = None


class Ulimit(Record):
    """A resource limit of the process, such as ``nofile``; -1 is unlimited."""

    name: str
    soft: int
    hard: int


class Login(Record):
    """What a server asks of clients, as far as its command line or configuration tells."""

    user: str
    password: SecretStr


class Service(Record):
    """A NATS server of the file.

    Attributes:
        name: the service's, and the node's.
        place: where the service is written: ``file:line:column``.
        image: as written; `is_placeholder` tells whether it has to be replaced.
        command: what follows the entry point, with what the harness `added` at its end;
            None for the image's own.
        entrypoint: None for the image's own.
        stop_grace_s: None for the Engine's default.
    """

    name: ServiceName
    place: str = ""
    image: str = Field(min_length=1)
    command: tuple[str, ...] | None = Field(default=None, repr=False)
    entrypoint: tuple[str, ...] | None = Field(default=None, repr=False)
    added: tuple[str, ...] = ()
    ports: Ports
    environment: dict[str, str] = Field(default_factory=dict, repr=False)
    networks: tuple[Attachment, ...] = ()
    hostname: str | None = None
    container_name: str | None = None
    depends_on: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    user: str | None = None
    group_add: tuple[str, ...] = ()
    working_dir: str | None = None
    read_only: bool = False
    init: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    limits: Limits = Limits()
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: dict[str, str] = Field(default_factory=dict)
    shm_bytes: Positive | None = None
    stop_signal: str | None = None
    stop_grace_s: float | None = None
    labels: dict[str, str] = Field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names that other containers reach it by, its own first."""
        own = (self.name,) if self.container_name is None else (self.name, self.container_name)
        aliases = (alias for network in self.networks for alias in network.aliases)
        return tuple(dict.fromkeys((*own, *aliases)))

    @property
    def is_placeholder(self) -> bool:
        """Tell whether the image has a part such as ``<tag>`` that stands for another text."""
        return is_placeholder(self.image)


class ComposeProject(Record):
    """The NATS services of a Compose file, in its order.

    Attributes:
        source: the file, as messages name it.
        seed: the service that the others' routes name.
        login: what clients log in with; None where the servers ask for nothing that is known.
        notes: what of the file has no meaning here, or is done otherwise; one line each.
    """

    source: str = ""
    seed: ServiceName
    services: tuple[Service, ...] = Field(min_length=1)
    login: Login | None = None
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [service.name for service in self.services]
        if len(set(names)) < len(names):
            raise ValueError("two services have the same name")
        if self.seed not in names:
            raise ValueError(f"the seed {self.seed!r} is none of the services")
        return self

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the names of the services, the seed first."""
        others = (service.name for service in self.services if service.name != self.seed)
        return (self.seed, *others)

    @property
    def by_name(self) -> Mapping[str, Service]:
        """Return the services by name, in the file's order."""
        return {service.name: service for service in self.services}

    @property
    def placeholders(self) -> tuple[Service, ...]:
        """Return the services whose image has to be replaced."""
        return tuple(service for service in self.services if service.is_placeholder)

    def with_image(self, image: str) -> ComposeProject:
        """Return the project with all servers from one image."""
        services = tuple(one.model_copy(update={"image": image}) for one in self.services)
        return self.model_copy(update={"services": services})
