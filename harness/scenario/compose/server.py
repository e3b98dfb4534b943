"""What a service's server will do: where it listens, whom it knows, who may log in.

Flags on the command line win over the configuration file (NATS docs, Configuration).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import SecretStr

from harness.scenario.compose.context import Context
from harness.scenario.compose.environment import exists, read_text
from harness.scenario.compose.flags import Flags, read_flags
from harness.scenario.compose.hosts import HostPort, split_listen, split_url, to_port
from harness.scenario.compose.logins import UnknownLoginError, find_login
from harness.scenario.compose.model import Login, Mount, Ports, Service
from harness.scenario.compose.mounts import Placed
from harness.scenario.compose.server_config import ConfigurationError, parse_configuration
from harness.scenario.compose.service import Draft
from harness.scenario.problems import KeyPath

CLIENT_PORT, ROUTE_PORT, MONITOR_PORT = 4222, 6222, 8222
_NAMED = "--name, with the service's name, is added: by it the others' routes are told apart"
_DEFAULT_STORE = "/tmp/nats"  # noqa: S108 - where the server keeps its data, in its container


@dataclass(frozen=True)
class Wired:
    """A service, the routes it is given, and what it asks of clients.

    `known` tells whether all its settings could be read; some may be in the image.
    """

    service: Service
    routes: tuple[HostPort, ...]
    login: Login | None
    known: bool


@dataclass(frozen=True)
class Settings:
    """The configuration file of a server; `known` tells whether it could be read."""

    values: Mapping[str, Any] = field(default_factory=dict)
    known: bool = True

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a block of it; empty where there is none."""
        value = self.values.get(name)
        return value if isinstance(value, Mapping) else {}


def wire(context: Context, draft: Draft) -> Wired | None:
    """Return the service as it will run; None, and problems, where that cannot be told."""
    path: KeyPath = ("services", draft.name)
    command, entrypoint = draft.fields.get("command"), draft.fields.get("entrypoint")
    if "image" not in draft.fields:
        return None
    if command is None and entrypoint is None:
        message = (
            f"the image's own command is taken to listen on {CLIENT_PORT} for clients, "
            f"{ROUTE_PORT} for routes and {MONITOR_PORT} for monitoring, as the official image "
            f"does; {_NAMED}"
        )
        context.note(draft.position, path, message)
        ports = Ports(client=CLIENT_PORT, route=ROUTE_PORT, monitor=MONITOR_PORT)
        service = _service(context, draft, ports, (), _DEFAULT_STORE)
        return Wired(service, (), None, known=False)
    flags = read_flags(entrypoint, command)
    if flags is None:
        message = (
            "the flags of nats-server cannot be told from this command; write them plainly, "
            "such as [--cluster_name, NATS, --http_port, '8222']"
        )
        context.refuse(draft.command_position, (*path, "command"), message)
        return None
    settings = _read_settings(context, draft, flags)
    before = len(context.problems)
    found, added = _find_ports(context, draft, flags, settings)
    if len(context.problems) == before:
        added += _find_name(context, draft, flags, settings)
    routes = flags.routes if flags.routes is not None else tuple(_routes_of(settings))
    login = _find_login(context, draft, flags, settings)
    if found is None or len(context.problems) > before:
        return None
    store = flags.values.get("sd") or settings.section("jetstream").get("store_dir")
    service = _service(context, draft, found, added, str(store or _DEFAULT_STORE))
    return Wired(service, routes, login, settings.known)


def _service(
    context: Context, draft: Draft, ports: Ports, added: tuple[str, ...], store: str
) -> Service:
    fields = dict(draft.fields)
    if added:
        fields["command"] = (*(fields.get("command") or ()), *added)
    place = f"{context.source}:{draft.position.line}:{draft.position.column}"
    mounts = tuple(
        _spare(context, placed, store, read_only=bool(fields.get("read_only")))
        for placed in draft.mounts
    )
    return Service(**fields, name=draft.name, place=place, ports=ports, added=added, mounts=mounts)


def _find_name(context: Context, draft: Draft, flags: Flags, settings: Settings) -> tuple[str, ...]:
    """Return the flags that name a server which has no name that is known: its service's.

    Without one it has another name after each start, and nobody could tell whose route
    it is that comes back.
    """
    if "n" in flags.values or "server_name" in settings.values:
        return ()
    path: KeyPath = ("services", draft.name, "command")
    if flags.open_ended:
        context.note(draft.command_position, path, _NAMED)
        return ("--name", draft.name)
    if settings.known:
        message = f"without a name a server cannot be told from others; add --name {draft.name}"
        context.refuse(draft.command_position, path, message)
    return ()


def _spare(context: Context, placed: Placed, store: str, *, read_only: bool) -> Mount:
    """Return a mount by which the server can change nothing of this machine."""
    mount = placed.mount
    if mount.kind == "content" and read_only:
        message = "nothing can be put into a container that is read_only; use `file` instead"
        context.refuse(placed.node, placed.path, message)
    if mount.kind != "bind" or mount.source is None:
        return mount
    source = Path(mount.source)
    fresh = Mount(kind="volume", target=mount.target)
    if not exists(source):
        if mount.read_only:
            context.refuse(placed.node, placed.path, "the file or folder does not exist")
            return mount
        context.note(placed.node, placed.path, "does not exist; a fresh volume takes its place")
        return fresh
    if mount.read_only:
        return mount
    if source.is_dir() and (_holds(mount.target, store) or _is_empty(source)):
        message = "a fresh volume takes its place, so that nothing of yours is changed"
        context.note(placed.node, placed.path, message)
        return fresh
    context.note(placed.node, placed.path, "mounted read-only, so that nothing of yours is changed")
    return mount.model_copy(update={"read_only": True})


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except OSError:
        return False  # who may not look may not write either


def _holds(folder: str, path: str) -> bool:
    return PurePosixPath(posixpath.normpath(path)).is_relative_to(folder)


def _read_settings(context: Context, draft: Draft, flags: Flags) -> Settings:
    """Return the configuration file that the flags name, if it is mounted and readable."""
    name = flags.values.get("c")
    if name is None:
        return Settings()
    path: KeyPath = ("services", draft.name, "command")
    inside = posixpath.normpath(posixpath.join(draft.fields.get("working_dir") or "/", name))
    text: str | None = None
    mounts = [placed for placed in draft.mounts if _holds(placed.mount.target, inside)]
    try:
        if mounts:
            placed = max(mounts, key=lambda placed: len(placed.mount.target))
            mount = placed.mount
            if mount.kind == "bind" and not exists(_beneath(mount, inside)):
                message = f"the configuration {name!r} is to be here, but the file does not exist"
                context.refuse(placed.node, placed.path, message)
                return Settings(known=False)
            text = _text_of(mount, inside)
        if text is not None:
            return Settings(parse_configuration(text, draft.fields["environment"]))
        why = "it is in the image"
    except (ConfigurationError, ValueError) as error:
        why = str(error)
    message = (
        f"the configuration {name!r} is not read ({why}); ports not given by flags are guessed"
    )
    context.note(draft.command_position, path, message)
    if draft.listed_ports and CLIENT_PORT not in draft.listed_ports and "p" not in flags.values:
        message = (
            f"no port {CLIENT_PORT} under ports or expose, and the configuration cannot be read; "
            "say where the server listens by the flag --port"
        )
        context.refuse(draft.command_position, path, message)
    return Settings(known=False)


def _text_of(mount: Mount, inside: str) -> str | None:
    if mount.content is not None:
        return mount.content.get_secret_value()
    return read_text(_beneath(mount, inside)) if mount.kind == "bind" else None


def _beneath(mount: Mount, inside: str) -> Path:
    """Return where a bind has what the container sees at `inside`."""
    return Path(str(mount.source)) / PurePosixPath(inside).relative_to(mount.target)


def _routes_of(settings: Settings) -> Iterator[HostPort]:
    routes = settings.section("cluster").get("routes")
    for url in routes if isinstance(routes, list) else [routes]:
        if isinstance(url, str):
            yield split_url(url)


def _find_ports(
    context: Context, draft: Draft, flags: Flags, settings: Settings
) -> tuple[Ports | None, tuple[str, ...]]:
    """Return where the server listens, and the flags that it needs for it."""
    path: KeyPath = ("services", draft.name, "command")
    values, cluster = settings.values, settings.section("cluster")
    problems: list[str] = []
    listen = _client_listen(flags, values)
    client = listen.port
    if client is None:
        problems.append("the port for clients is not a fixed one from 1 to 65535; give --port 4222")
    if listen.is_loopback:
        problems.append("the server listens on its own loopback only; nobody else can reach it")
    if _tls(flags, values):
        problems.append("the server asks clients for TLS, which the harness's clients do not speak")
    route = _route_port(flags, cluster) or (None if settings.known else ROUTE_PORT)
    monitor, added = _find_monitor(flags, values, {client, route}, problems)
    for message in problems:
        context.refuse(draft.command_position, path, message)
    if problems or client is None or monitor is None:
        return None, ()
    if added:
        message = f"{' '.join(added)} is added: without monitoring a server cannot be observed"
        context.note(draft.command_position, path, message)
    if "client_advertise" in flags.values or "client_advertise" in values:
        message = "clients are told another address to come back to; it must lead to this server"
        context.note(draft.command_position, path, message)
    return Ports(client=client, route=route, monitor=monitor), added


def _client_listen(flags: Flags, values: Mapping[str, Any]) -> HostPort:
    host, port = str(values.get("host", values.get("net", ""))), values.get("port", CLIENT_PORT)
    if "listen" in values:
        listen = split_listen(values["listen"])
        host, port = listen.host or host, listen.port
    return HostPort(flags.values.get("a", host), to_port(flags.values.get("p", port)))


def _route_port(flags: Flags, cluster: Mapping[str, Any]) -> int | None:
    if flags.cluster is not None:
        return flags.cluster.port
    if "listen" in cluster:
        return split_listen(cluster["listen"]).port
    return to_port(cluster.get("port"))


def _tls(flags: Flags, values: Mapping[str, Any]) -> bool:
    switched = flags.switch("tls") or flags.switch("tlsverify")
    return switched or "tls" in values


def _find_monitor(
    flags: Flags, values: Mapping[str, Any], taken: set[int | None], problems: list[str]
) -> tuple[int | None, tuple[str, ...]]:
    if flags.values.get("ms", "0") != "0" or "https" in values or "https_port" in values:
        problems.append("monitoring is by HTTPS, which the harness does not ask; use --http_port")
        return None, ()
    wanted = flags.values.get("m")
    for key in ("http", "http_port", "monitor_port"):
        if wanted is None and key in values:
            listen = split_listen(values[key])
            if listen.is_loopback:
                message = "monitoring is on the server's own loopback only; nobody else can ask it"
                problems.append(message)
                return None, ()
            wanted = str(listen.port)
    port = None if wanted is None else to_port(wanted)
    if port is not None:
        return port, ()
    if not flags.open_ended:
        problems.append("without monitoring a server cannot be observed; add --http_port 8222")
        return None, ()
    free = next(port for port in range(MONITOR_PORT, MONITOR_PORT + 3) if port not in taken)
    return free, ("--http_port", str(free))


def _find_login(context: Context, draft: Draft, flags: Flags, settings: Settings) -> Login | None:
    if "user" in flags.values and "pass" in flags.values:
        password = SecretStr(flags.values["pass"])
        return Login(user=flags.values["user"], password=password)
    needed = "a token"
    try:
        if "auth" not in flags.values and "user" not in flags.values:
            return find_login(settings.values)
    except UnknownLoginError as error:
        needed = str(error)
    message = (
        f"clients have to log in with {needed}, which the harness cannot; give one user "
        "with a plain password (--user, --pass)"
    )
    context.refuse(draft.command_position, ("services", draft.name, "command"), message)
    return None


def common_login(wired: Sequence[Wired]) -> Login | None:
    """Return the login that the servers ask for; the first where they differ."""
    return next((one.login for one in wired if one.login is not None), None)
