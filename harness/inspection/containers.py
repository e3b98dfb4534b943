"""Run an image's server for a look at it: bounded, cut off from other networks, removed after.

Nothing is installed or run in a container but what the image brings; files are laid into it
before it starts. Everything carries our labels, so that a sweep finds what a killed
inspection left.
"""

from __future__ import annotations

import io
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from docker.errors import APIError, NotFound

from harness import signals
from harness.engine.connection import Engine, explain, translated
from harness.engine.images import Image
from harness.engine.labels import RUN, labels
from harness.errors import EngineError
from harness.inspection.filesystem import FileSystem, read_export

CLIENT_PORT = 4222
MONITOR_PORT = 8222
PAUSE_S = 0.05
_ROLE = "inspect"
_MEMORY_B = 512 << 20
_PROCESSES = 256
_CORES = 2
_LOG_LINES = 200
_PUBLISHED = 16  # exposed ports, at most


@dataclass(frozen=True)
class Launch:
    """How a container is started: its entry point, which may be empty, and its command."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]

    def replaced(self, *flags: str) -> Launch:
        """Return it with flags in place of the image's own, the program kept."""
        program = () if self.entrypoint else self.command[:1]
        return replace(self, command=(*program, *flags))


@dataclass(frozen=True)
class Executed:
    """What running a command in a container gave; no code when it could not be run."""

    words: tuple[str, ...]
    code: int | None
    output: str

    @property
    def found(self) -> bool:
        """Tell whether there was such a program to run."""
        return self.code is not None


@dataclass(frozen=True)
class Container:
    """A container of the image under inspection."""

    engine: Engine
    id: str

    def state(self) -> Mapping[str, Any]:
        """Return its state as the Engine tells it: Running, Pid, ExitCode, OOMKilled, ..."""
        with translated("the container cannot be examined"):
            found: Mapping[str, Any] = self.engine.api.inspect_container(self.id)
        state: Mapping[str, Any] = found["State"]
        return state

    def address(self, port: int) -> tuple[str, int] | None:
        """Return where a port of its is published on the Engine's machine."""
        with translated("the container cannot be examined"):
            found = self.engine.api.inspect_container(self.id)
        published = (found["NetworkSettings"].get("Ports") or {}).get(f"{port}/tcp")
        return (published[0]["HostIp"], int(published[0]["HostPort"])) if published else None

    def log(self) -> tuple[str, ...]:
        """Return the last lines that it has printed."""
        with translated("the container's log cannot be read"):
            said: bytes = self.engine.api.logs(self.id, tail=_LOG_LINES)
        return tuple(said.decode("utf-8", "replace").splitlines())

    def signal(self, name: str) -> None:
        """Send a signal to its first process."""
        with translated(f"the container cannot be sent {name}"):
            self.engine.api.kill(self.id, name)

    def execute(self, *words: str) -> Executed:
        """Run a program of the image in it, without a shell, as its own user."""
        api = self.engine.api
        with translated(f"{words[0]} cannot be run in the container"):
            try:
                made = api.exec_create(self.id, list(words))
                said: bytes = api.exec_start(made["Id"])
                code: int | None = api.exec_inspect(made["Id"])["ExitCode"]
            except APIError as error:  # younger Engines say here that there is no such program
                if "executable file not found" in str(error) or "no such file" in str(error):
                    return Executed(words, None, explain(error))
                raise
        output = " ".join(said.decode("utf-8", "replace").split())
        if code in (126, 127) and ("exec failed" in output or "unable to start" in output):
            code = None
        return Executed(words, code, output)

    def top(self) -> tuple[tuple[int, int, str], ...]:
        """Return its processes as the Engine's machine sees them: id, effective user, command."""
        with translated("the container's processes cannot be listed"):
            found = self.engine.api.top(self.id, "-eo pid,euid,args")
        rows = found.get("Processes") or []
        return tuple((int(row[0]), int(row[1]), " ".join(row[2:])) for row in rows)

    def until(self, condition: Callable[[], object], limit_s: float) -> bool:
        """Wait for a condition, or for its end; tell whether the condition came true."""
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s:
            if condition():
                return True
            if not self.state()["Running"]:
                return bool(condition())
            time.sleep(PAUSE_S)
        return False


@dataclass(frozen=True)
class Bench:
    """Where containers of one image are made, on a bridge of their own."""

    engine: Engine
    image: Image
    run: str

    def clear(self) -> None:
        """Remove all of this inspection, also what an interrupt cut off from its own removal."""
        api = self.engine.api
        ours = {"label": f"{RUN}={self.run}"}
        with translated("what the inspection made cannot be removed"):
            for one in api.containers(all=True, filters=ours):
                self._remove(one["Id"])
            for one in (api.volumes(filters=ours) or {}).get("Volumes") or []:
                api.remove_volume(one["Name"], force=True)
            for one in api.networks(filters=ours):
                api.remove_network(one["Id"])

    def read_files(self) -> FileSystem:
        """Read the image's files from a container that is made and never started."""
        with self._created({"entrypoint": ["nothing"]}) as container:
            with translated("the image's files cannot be exported"):
                pieces = self.engine.api.export(container.id, chunk_size=1 << 20)
            return read_export(iter(pieces))

    @contextmanager
    def running(
        self,
        launch: Launch,
        *,
        volume: str | None = None,
        scratch: str | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Iterator[Container]:
        """Start a container; remove it on leaving.

        Args:
            launch: what it runs.
            volume: where a fresh named volume is mounted.
            scratch: where an empty folder for all is mounted, as an emptyDir of Kubernetes.
            files: laid into its root folder before it starts, by name.

        Raises:
            EngineError: it cannot be made or started.
        """
        host: dict[str, Any] = {}
        if volume is not None:
            host["binds"] = [f"{self._volume()}:{volume}"]
        if scratch is not None:
            host["tmpfs"] = {scratch: "mode=1777"}
        options = {
            "entrypoint": list(launch.entrypoint) or None,
            "command": list(launch.command) or None,
        }
        with self._created(options, host) as container:
            with translated(f"image {self.image.name} does not start"):
                if files:
                    self.engine.api.put_archive(container.id, "/", _packed(files))
                self.engine.api.start(container.id)
            yield container

    @contextmanager
    def _created(
        self, options: Mapping[str, Any], host: Mapping[str, Any] | None = None
    ) -> Iterator[Container]:
        api = self.engine.api
        exposed = exposed_ports(self.image)[:_PUBLISHED]
        ports = sorted({CLIENT_PORT, MONITOR_PORT, *exposed})
        with translated(f"no container of image {self.image.name} can be made"), signals.held():
            made = api.create_container(
                self.image.id,
                name=f"nats-harness-{self.run}-{uuid.uuid4().hex[:6]}",
                labels=dict(labels(self.run, _ROLE)),
                ports=ports,
                host_config=api.create_host_config(
                    network_mode=self._network,
                    port_bindings=dict.fromkeys(ports, ("127.0.0.1", None)),
                    mem_limit=_MEMORY_B,
                    nano_cpus=_CORES * 10**9,
                    pids_limit=_PROCESSES,
                    **(host or {}),
                ),
                **options,
            )
        try:
            yield Container(self.engine, made["Id"])
        finally:
            self._remove(made["Id"])

    def _remove(self, container: str) -> None:
        with translated("a container of the inspection cannot be removed"):
            try:
                self.engine.api.remove_container(container, force=True, v=True)
            except NotFound:
                return

    def _volume(self) -> str:
        name = f"nats-harness-{self.run}-{uuid.uuid4().hex[:6]}"
        with translated("no volume can be made"), signals.held():
            self.engine.api.create_volume(name, labels=dict(labels(self.run, _ROLE)))
        return name

    @property
    def _network(self) -> str:
        return f"nats-harness-{self.run}"


@contextmanager
def bench(engine: Engine, image: Image) -> Iterator[Bench]:
    """Make a bridge for containers of an image; remove all of it on leaving, whatever happens.

    The bridge does not masquerade: the containers reach nobody outside.
    """
    made = Bench(engine, image, f"inspect-{uuid.uuid4().hex[:8]}")
    try:
        with translated("no network can be made for the inspection"), signals.held():
            engine.api.create_network(
                f"nats-harness-{made.run}",
                driver="bridge",
                labels=dict(labels(made.run, _ROLE)),
                options={"com.docker.network.bridge.enable_ip_masquerade": "false"},
            )
        yield made
    finally:
        made.clear()


def exposed_ports(image: Image) -> tuple[int, ...]:
    """Return the TCP ports that an image says it listens on.

    Raises:
        EngineError: what it says is no port.
    """
    found = []
    for port in image.ports:
        number, _, protocol = port.partition("/")
        if not number.isdecimal():
            raise EngineError(f"image {image.name} exposes {port!r}; expected a port")
        if protocol in ("", "tcp"):
            found.append(int(number))
    return tuple(found)


def _packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def last_lines(log: Sequence[str], count: int = 3) -> tuple[str, ...]:
    """Return the last lines of a log that say something."""
    return tuple(line.strip() for line in log if line.strip())[-count:]
