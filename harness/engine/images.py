"""Images: found on the Engine or pulled, and what their configuration says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docker.errors import ImageNotFound

from harness.engine.connection import Engine, translated
from harness.errors import EngineError

_REFERENCE = re.compile(
    r"[a-z0-9]+(?:[._:/-]+[A-Za-z0-9]+)*(?:@sha256:[0-9a-f]{64})?|sha256:[0-9a-f]{64}"
)
_ROOT = ("", "0", "root")


@dataclass(frozen=True)
class Image:
    """An image as its configuration describes it (OCI image specification, Image Configuration).

    Attributes:
        name: as the user gave it.
        id: the digest of its configuration.
        digests: the repository digests that it was pulled by; none when built here.
        architecture: such as amd64.
        user: as configured; empty means root.
        entrypoint: the program and its first arguments.
        command: the arguments that follow when none are given.
        environment: the variables, by name.
        ports: what it says it listens on, such as ``4222/tcp``.
        volumes: the paths that it declares as volumes.
        working_directory: where it starts.
        labels: its labels.
        stop_signal: what asks its program to stop; empty for SIGTERM.
    """

    name: str
    id: str
    digests: tuple[str, ...]
    architecture: str
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    working_directory: str
    labels: Mapping[str, str]
    stop_signal: str = ""

    @property
    def runs_as_root(self) -> bool:
        """Tell whether its configuration starts the program as root."""
        return self.user.partition(":")[0] in _ROOT

    @property
    def tag(self) -> str | None:
        """Return the tag in its name; None when it was named without one."""
        last = self.name.partition("@")[0].rpartition("/")[2]
        return last.partition(":")[2] or None

    def describe(self) -> dict[str, Any]:
        """Return what identifies it, for a report."""
        return {"image": self.name, "id": self.id, "digests": list(self.digests)}


def find_image(engine: Engine, name: str) -> Image:
    """Return the image called `name`, by tag or digest; pull it when the Engine has none.

    Raises:
        EngineError: there is none, it cannot be pulled, or it is for other machines.
    """
    if _REFERENCE.fullmatch(name) is None:
        raise EngineError(f"expected an image by tag or digest, found {name!r}")
    image = _local(engine, name)
    if image is None:
        _pull(engine, name)
        image = _local(engine, name)
    if image is None:
        raise EngineError(f"there is no image {name}, although it was pulled")
    if image.architecture and image.architecture != engine.architecture:
        raise EngineError(
            f"image {name} is for {image.architecture}, and the Engine runs on "
            f"{engine.architecture}"
        )
    return image


def _local(engine: Engine, name: str) -> Image | None:
    with translated(f"image {name} cannot be examined"):
        try:
            return _read(name, engine.api.inspect_image(name))  # type: ignore[no-untyped-call]  # the stubs leave it open
        except ImageNotFound:
            return None


def _pull(engine: Engine, name: str) -> None:
    whole = name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"
    with translated(f"there is no image {name} on the Engine, and it cannot be pulled"):
        engine.api.pull(whole)


def _read(name: str, found: Mapping[str, Any]) -> Image:
    config: Mapping[str, Any] = found.get("Config") or {}
    variables = (line.partition("=") for line in config.get("Env") or [])
    return Image(
        name=name,
        id=str(found["Id"]),
        digests=tuple(found.get("RepoDigests") or ()),
        architecture=str(found.get("Architecture") or ""),
        user=str(config.get("User") or ""),
        entrypoint=_words(config.get("Entrypoint")),
        command=_words(config.get("Cmd")),
        environment={key: value for key, _, value in variables},
        ports=tuple(sorted(config.get("ExposedPorts") or ())),
        volumes=tuple(sorted(config.get("Volumes") or ())),
        working_directory=str(config.get("WorkingDir") or "/"),
        labels=dict(config.get("Labels") or {}),
        stop_signal=str(config.get("StopSignal") or ""),
    )


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(word) for word in value or ())
