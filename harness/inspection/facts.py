"""What is observed of an image, before anybody judges it: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.engine.images import Image
from harness.inspection.containers import Executed
from harness.inspection.filesystem import FileSystem
from harness.inspection.processes import Process


@dataclass(frozen=True)
class Shipped:
    """The image started as it is, nothing added.

    Attributes:
        started: whether a server came up that way. When not, the server was started from
            its own file and everything else here is of that container.
        why_not: what the image did instead, in one line.
        log: the last lines of its log.
        processes: those that ran; none when they cannot be seen.
        listening: the TCP ports it listened on; None when they cannot be seen.
        version: of the server, as it says in its greeting or its log.
    """

    started: bool = True
    why_not: str = ""
    log: tuple[str, ...] = ()
    processes: tuple[Process, ...] = ()
    listening: tuple[int, ...] | None = None
    version: str | None = None


@dataclass(frozen=True)
class StoreTrial:
    """A server asked to keep streams.

    Attributes:
        where: the store as people would say it, such as ``a fresh volume on /data``.
        asked: the flags that were added.
        enabled: whether the server keeps streams there; None when it did not say.
        said: how that was seen: monitoring or log lines.
    """

    where: str
    asked: tuple[str, ...]
    enabled: bool | None
    said: tuple[str, ...]


@dataclass(frozen=True)
class LameDuckTrial:
    """A server asked to go lame.

    Attributes:
        asked: how: a signal or a command.
        seen: the sign that it went; empty when there was none.
        executed: the command's outcome, when it was one.
        note: what happened instead.
    """

    asked: str
    seen: str
    executed: Executed | None = None
    note: str = ""


@dataclass(frozen=True)
class CipherTrial:
    """A server asked to encrypt its streams by one cipher.

    Attributes:
        cipher: ``chacha`` or ``aes``.
        started: whether it did.
        said: its last words.
    """

    cipher: str
    started: bool
    said: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """All that checks may look at.

    Attributes:
        image: what its configuration says.
        files: what is in it.
        shipped: the image started as it is.
        monitoring: the server's ``/varz`` of a container with monitoring; None when it
            could not be asked.
        stores: servers asked to keep streams.
        signalled: a server sent SIGUSR2.
        hooks: servers asked by the commands that preStop hooks use.
        ciphers: servers asked to encrypt; none when the image claims no FIPS mode.
    """

    image: Image
    files: FileSystem
    shipped: Shipped = field(default_factory=Shipped)
    monitoring: Mapping[str, Any] | None = None
    stores: tuple[StoreTrial, ...] = ()
    signalled: LameDuckTrial | None = None
    hooks: tuple[LameDuckTrial, ...] = ()
    ciphers: tuple[CipherTrial, ...] = ()

    @property
    def version(self) -> tuple[str, str] | None:
        """Return the server's version and who said so; None when nobody did."""
        if self.monitoring and self.monitoring.get("version"):
            return str(self.monitoring["version"]), "/varz"
        if self.shipped.version:
            return self.shipped.version, "its greeting or log"
        return None
