"""One container, and a way to call the SDK from an event loop without blocking it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from docker.errors import DockerException, NotFound
from docker.types import Mount

from harness.engine.connection import Engine, translated
from harness.engine.images import Image
from harness.engine.labels import labels
from harness.errors import EngineError, FaultError, HarnessError

T = TypeVar("T")
CONFIG_FOLDER = PurePosixPath("/nats-harness")
STORE = PurePosixPath("/data")
_LOG_BYTES = 64 << 20
_CHILD_LIMIT_S = 2.0


async def in_thread(
    call: Callable[[], T], what: str, error: type[HarnessError], *, abandon: bool = True
) -> T:
    """Return what a blocking call returns; its errors become `error`, beginning with `what`.

    Cancelled, it goes on without anybody waiting. What makes something that is to be removed
    later must not `abandon` it: it is waited for, and known by then.
    """

    def guarded() -> T:
        with translated(what, error):
            return call()

    return await anyio.to_thread.run_sync(guarded, abandon_on_cancel=abandon)


@dataclass(frozen=True)
class ContainerSpec:
    """What a container is made from.

    Attributes:
        name: the node's name, which is also its host name.
        image: what it runs.
        arguments: what follows the image's entry point.
        address: its fixed IPv4 address; None where the Engine chooses.
        aliases: other names by which containers of its network find it.
        environment: variables beside the image's own; secrets are among them.
        files: what is put into it before it starts, by absolute path.
        volume: the volume of its JetStream data, at `STORE`; None for none.
        entrypoint: replaces the image's; None leaves it.
        options: further options of the host configuration, as the SDK names them.
        published: the port of the host for each port of the container.
        mounts: further mounts.
        owned: folders that are made the user's own, such as where volumes are mounted.
        settings: further options of the container, as the SDK names them.
        labels: beside the harness's own.
        hostname: None for the node's name.
    """

    name: str
    image: Image
    arguments: Sequence[str]
    address: str | None
    aliases: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    files: Mapping[PurePosixPath, bytes] = field(default_factory=dict, repr=False)
    volume: str | None = None
    entrypoint: Sequence[str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[int, int] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    owned: Sequence[PurePosixPath] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    hostname: str | None = None

    @property
    def folders(self) -> tuple[PurePosixPath, ...]:
        """Return the folders that are made the user's own."""
        return tuple(self.owned) if self.volume is None else (*self.owned, STORE)


@dataclass(frozen=True)
class Seat:
    """A container's place on a network: its fixed address, and the names it is found by."""

    network: str
    address: str | None
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class Container:
    """A container of the Engine, made but not necessarily started."""

    engine: Engine
    id: str
    name: str
    seat: Seat | None = None
    init: bool = False  # whether the Engine's own program is its first process, not the server

    async def start(self) -> int:
        """Start it and return its process id, as the Engine's machine numbers it.

        Raises:
            EngineError: the Engine cannot start it, such as when there is no such program.
        """
        api = self.engine.api
        await in_thread(lambda: api.start(self.id), f"{self.name} cannot be started", EngineError)
        pid = int((await self.state()).get("Pid") or 0)
        return await self._child_of(pid) if pid and self.init and self.engine.here else pid

    async def _child_of(self, pid: int) -> int:
        """Return the process that the Engine's own first process has started."""
        children = anyio.Path(f"/proc/{pid}/task/{pid}/children")
        with anyio.move_on_after(_CHILD_LIMIT_S):
            while True:
                try:
                    if found := (await children.read_text(encoding="ascii")).split():
                        return int(found[0])
                except OSError:
                    break  # it has ended already, which others notice
                await anyio.sleep(0.005)
        return pid

    async def signal(self, number: int, error: type[HarnessError] = HarnessError) -> None:
        """Send a signal to its first process; nothing is run inside it."""
        api = self.engine.api
        await in_thread(
            lambda: api.kill(self.id, signal=number),
            f"{self.name} cannot be sent signal {number}",
            error,
        )

    async def freeze(self, error: type[HarnessError], *, frozen: bool) -> None:
        """Freeze or thaw all its processes (cgroup freezer)."""
        api = self.engine.api
        call = api.pause if frozen else api.unpause
        verb = "paused" if frozen else "unpaused"
        await in_thread(lambda: call(self.id), f"{self.name} cannot be {verb}", error)

    async def inspect(self) -> dict[str, Any]:
        """Return what the Engine knows of it."""
        api = self.engine.api
        found: dict[str, Any] = await in_thread(
            lambda: api.inspect_container(self.id), f"{self.name} cannot be examined", EngineError
        )
        return found

    async def state(self) -> dict[str, Any]:
        """Return its state: Status, Running, Paused, Pid, ExitCode, OOMKilled, Error, ..."""
        state: dict[str, Any] = (await self.inspect())["State"]
        return state

    async def disconnect(self) -> str:
        """Take it off its network; return what the Engine then shows."""
        seat, api = self._seat(), self.engine.api
        await in_thread(
            lambda: api.disconnect_container_from_network(self.id, seat.network),
            f"{self.name} cannot be disconnected",
            FaultError,
        )
        networks = await self._networks()
        if seat.network in networks:
            raise FaultError(f"the Engine still shows {self.name} on {seat.network}")
        return f"on no network ({', '.join(networks) or 'none left'})"

    async def connected(self) -> bool:
        """Tell whether the Engine shows it on its network."""
        return self._seat().network in await self._networks()

    async def connect(self) -> str:
        """Put it back on its network, address and aliases with it; return what shows it.

        The Engine remembers neither of them; without both, the node would come back as
        another one.
        """
        seat, api = self._seat(), self.engine.api
        if seat.network not in await self._networks():
            await in_thread(
                lambda: api.connect_container_to_network(
                    self.id, seat.network, ipv4_address=seat.address, aliases=list(seat.aliases)
                ),
                f"{self.name} cannot be connected",
                FaultError,
            )
        found = (await self._networks()).get(seat.network) or {}
        address, aliases = found.get("IPAddress"), set(found.get("Aliases") or ())
        if (seat.address or address) != address or not set(seat.aliases) <= aliases:
            raise FaultError(
                f"{self.name} came back as {address} ({', '.join(sorted(aliases))}); expected "
                f"{seat.address} ({', '.join(seat.aliases)})"
            )
        return f"on {seat.network} as {address} ({', '.join(seat.aliases)})"

    async def _networks(self) -> dict[str, Any]:
        networks: dict[str, Any] = (await self.inspect())["NetworkSettings"]["Networks"] or {}
        return networks

    def _seat(self) -> Seat:
        if self.seat is None:
            raise FaultError(f"{self.name} has no network")
        return self.seat

    async def log(self) -> bytes:
        """Return what it has written to its output since it was made."""
        api = self.engine.api
        said = await in_thread(
            lambda: api.logs(self.id), f"the log of {self.name} cannot be read", EngineError
        )
        return bytes(said)[-_LOG_BYTES:]

    def remove(self) -> None:
        """Remove it, running or not, with its anonymous volumes. Blocks."""
        with suppress(NotFound):
            self.engine.api.remove_container(self.id, force=True, v=True)


def make_container(
    engine: Engine, spec: ContainerSpec, network: str | None, run: str, name: str
) -> Container:
    """Make a container and put its files into it; it is not started. Blocks.

    Args:
        engine: where.
        spec: what.
        network: the name of the network it is attached to; None for none at all.
        run: the run that it belongs to, for its labels.
        name: what the Engine calls it.

    Raises:
        EngineError: the Engine refuses.
    """
    api = engine.api
    with translated(f"{spec.name} cannot be made from {spec.image.name}"):
        mounts = list(spec.mounts)
        if spec.volume:
            mounts.append(Mount(str(STORE), spec.volume, type="volume"))
        host = api.create_host_config(
            network_mode=network or "none",
            mounts=mounts,
            port_bindings=dict(spec.published.items()) or None,
            **spec.options,
        )
        networking = None
        if network is not None:
            endpoint = api.create_endpoint_config(
                ipv4_address=spec.address, aliases=list(spec.aliases)
            )
            networking = api.create_networking_config(
                {network: endpoint}  # type: ignore[arg-type]  # the stubs take it for one endpoint
            )
        made = api.create_container(
            spec.image.id,
            command=list(spec.arguments),
            entrypoint=None if spec.entrypoint is None else list(spec.entrypoint),
            name=name,
            hostname=spec.hostname or spec.name,
            environment=dict(spec.environment),
            host_config=host,
            networking_config=networking,
            ports=list(spec.published) or None,
            labels={**spec.labels, **labels(run, f"node {spec.name}")},
            **spec.settings,
        )
        seat = None
        if network is not None:
            seat = Seat(network, spec.address, tuple(spec.aliases))
        init = bool(spec.options.get("init"))
        container = Container(engine, made["Id"], spec.name, seat, init)
        user = str(spec.settings.get("user", spec.image.user))
        owner = owner_of(engine, container.id, user)
        apart = bool(spec.folders and spec.options.get("read_only"))
        if apart:
            _settle_volumes(engine, spec, run, name)
        if spec.files or (spec.folders and not apart):
            try:
                api.put_archive(container.id, "/", _pack(spec, owner))
            except DockerException:
                api.remove_container(container.id, force=True, v=True)
                raise
    return container


def _settle_volumes(engine: Engine, spec: ContainerSpec, run: str, name: str) -> None:
    """Give the folders of volumes to the user, by a container that is never started.

    The Engine lets nobody write into one whose own file system is read-only, and gives an
    empty volume to whom the image says whenever a container is made: this comes after it.
    """
    options = {key: value for key, value in spec.options.items() if key != "read_only"}
    other = replace(spec, options=options, files={})
    made = make_container(engine, other, None, run, f"{name}-volumes")
    engine.api.remove_container(made.id, force=True)


def owner_of(engine: Engine, container: str, user: str) -> tuple[int, int]:
    """Return the numbers of an image's user and group; names are looked up in its files."""
    name, _, group = user.partition(":")
    if not name:
        return 0, 0
    own, own_group = (int(name), 0) if name.isdigit() else _look_up(engine, container, name)
    if not group:
        return own, own_group or (own if name.isdigit() else 0)
    return own, int(group) if group.isdigit() else own_group


def _look_up(engine: Engine, container: str, user: str) -> tuple[int, int]:
    for line in _read_file(engine, container, "/etc/passwd").decode(errors="replace").splitlines():
        fields = line.split(":")
        if fields[0] == user and len(fields) > 3:  # noqa: PLR2004 - name, password, user, group
            return int(fields[2]), int(fields[3])
    raise EngineError(f"the image's user {user!r} is not in its /etc/passwd")


def _read_file(engine: Engine, container: str, path: str) -> bytes:
    try:
        chunks, _ = engine.api.get_archive(container, path)
    except NotFound:
        return b""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = next(iter(archive.getmembers()))
        found = archive.extractfile(member)
        return found.read() if found is not None else b""


def _pack(spec: ContainerSpec, owner: tuple[int, int]) -> bytes:
    """Return the container's files, and its store as the image's user owns it, as a tar file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add = partial(_add, archive)
        if any(path.parent == CONFIG_FOLDER for path in spec.files):
            add(CONFIG_FOLDER, None, 0o755, (0, 0))  # the Engine makes others that are missing
        for path, content in spec.files.items():
            add(path, content, 0o644, (0, 0))
        for folder in spec.folders:
            add(folder, None, 0o750, owner)
    return buffer.getvalue()


def _add(
    archive: tarfile.TarFile,
    path: PurePosixPath,
    content: bytes | None,
    mode: int,
    owner: tuple[int, int],
) -> None:
    info = tarfile.TarInfo(str(path).lstrip("/"))
    info.mode, (info.uid, info.gid) = mode, owner
    if content is None:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    else:
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
