"""Render a node's configuration file from the scenario.

The file is kept in the run folder, so no secret is written into it: each becomes a
reference to an environment variable (NATS docs, Configuration: Variables) that only the
server's process is given. nats-server does not look for references inside a string,
so a route URL with credentials is a secret as a whole.
"""

from __future__ import annotations

import functools
import json
import re
import secrets as randomness
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from harness.cluster.protocols import Address, Endpoints
from harness.errors import UsageError
from harness.scenario.model import Authorization, ClusterSpec, JetStream
from harness.scenario.problems import holds_secret
from harness.scenario.system_account import obstacle
from harness.units import format_duration

# The server's own defaults (2 min, 10 s) outlast a scenario; 30 s is the least it accepts.
LAME_DUCK_DURATION = "30s"
LAME_DUCK_GRACE_PERIOD = "1s"

_LISTEN = "the harness chooses where servers listen"
_NAME = "the harness names servers and cluster"
_FILES = "the harness keeps logs and data in the run folder"
_OURS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "listen",
            "host",
            "net",
            "port",
            "http",
            "http_port",
            "monitor_port",
            "https",
            "https_port",
        ),
        _LISTEN,
    ),
    **dict.fromkeys(("http_base_path", "client_advertise"), _LISTEN),
    **dict.fromkeys(("pid_file", "pidfile", "ports_file_dir", "log_file", "logfile"), _FILES),
    **dict.fromkeys(("syslog", "remote_syslog", "store_dir", "storedir"), _FILES),
    "server_name": _NAME,
    "cluster.name": _NAME,
    **dict.fromkeys((f"cluster.{key}" for key in ("listen", "host", "net", "port")), _LISTEN),
    **dict.fromkeys(("cluster.advertise", "cluster.cluster_advertise"), _LISTEN),
    "cluster.routes": "n1 is the seed, and gossip is part of what is tested",
    **dict.fromkeys((f"jetstream.{key}" for key in ("store_dir", "storedir", "dir")), _FILES),
}
_JOINTS: Mapping[str, Mapping[str, str]] = {  # ours as well, by the key that asks for them
    "clusters": {
        "gateway.name": _NAME,
        "gateway.gateways": "cluster.clusters says which there are",
        **{f"gateway.{key}": _LISTEN for key in ("listen", "host", "net", "port", "advertise")},
    },
    "leafnodes": {
        "leafnodes.remotes": "cluster.leafnodes says which there are",
        **{f"leafnodes.{key}": _LISTEN for key in ("listen", "host", "net", "port", "advertise")},
    },
}
SYSTEM_USER = "nats-harness"
_SECTIONS = ("cluster", "jetstream", "authorization", "gateway", "leafnodes")
_CREDENTIALS = re.compile(r"\w://[^/\s]*@")
_REFERENCE = re.compile(r"\$(?!SYS$|G$)[A-Za-z_][A-Za-z0-9_]*")
# Quoted, these would be text, which the server refuses for its numbers; a lower-case m
# alone is left out: 2m is two minutes.
_SIZE = re.compile(r"\d+(?:[KMGTkg]|[kKmMgGtT][iI]?[bB])")
_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Text(str):
    """Text that is neither a size nor a reference, whatever it looks like."""

    __slots__ = ()


@dataclass(frozen=True)
class NodeConfig:
    """A configuration file, and what a person may see of it.

    Attributes:
        text: the file; each secret in it is a reference.
        environment: the values of the references, for the server's process alone.
        keys: the configuration key, such as ``cluster.name``, that each line belongs to.
        effective: the settings as data; secrets are replaced.
    """

    text: str
    environment: Mapping[str, str] = field(repr=False)
    keys: tuple[str, ...]
    effective: Mapping[str, Any]


def render(
    spec: ClusterSpec, node: str, endpoints: Mapping[str, Endpoints], store: Path
) -> NodeConfig:
    """Return the configuration of `node`.

    Args:
        spec: what the scenario says; its `config` is merged in, deeply, and wins.
        node: the name; the first of its cluster is the seed and has no routes, the
            others know only the seed's, unless JetStream is on: see `_known_nodes`.
        endpoints: where every node listens.
        store: the folder for the node's JetStream data, should it have any.

    Raises:
        UsageError: `spec.config` sets what the harness must choose.
    """
    free = _normalise(spec.config)
    _refuse(spec, free)
    streams = spec.jetstream is not False or _switched_on(free.get("jetstream", False))
    settings = _merge(_own_settings(spec, node, endpoints, streams=streams), free)
    if streams:  # the default folder is shared by all servers of a machine
        wanted = settings["jetstream"]
        own = wanted if isinstance(wanted, Mapping) else {}
        settings["jetstream"] = {"store_dir": str(store), **own}
    if streams and len(spec.sites.every) > 1:
        raise UsageError(
            "cluster.config.jetstream: JetStream across gateways and leaf nodes is not "
            "supported yet; remove the key"
        )
    if (login := system_login(spec)) is not None:
        settings["accounts"] = {"$SYS": {"users": [_login(login)]}}
    secrets: dict[str, str] = {}
    lines = list(_lines(settings, (), 0, secrets))
    return NodeConfig(
        text="".join(f"{line}\n" for _, line in lines),
        environment=secrets,
        keys=tuple(".".join(path) for path, _ in lines),
        effective=_redact(settings),
    )


@functools.cache
def _system_password() -> str:
    return randomness.token_hex(16)


def system_login(spec: ClusterSpec) -> Authorization | None:
    """Return the login of the system account that the harness gives itself; None where it may not.

    With JetStream on, where nothing says who may log in: then clients go on without a login,
    in the account they always had (NATS docs, Configuration: System Account). The password is
    a new one with each process.
    """
    free = _normalise(spec.config)
    on = spec.jetstream is not False or _switched_on(free.get("jetstream", False))
    if not on or obstacle(spec) is not None:
        return None
    return Authorization(user=SYSTEM_USER, password=SecretStr(_system_password()))


def _own_settings(
    spec: ClusterSpec, node: str, endpoints: Mapping[str, Endpoints], *, streams: bool
) -> dict[str, Any]:
    here = endpoints[node]
    settings: dict[str, Any] = {
        "server_name": node,
        "listen": str(here.server or here.client),
        "http": str(here.monitor),
        "lame_duck_duration": LAME_DUCK_DURATION,
        "lame_duck_grace_period": LAME_DUCK_GRACE_PERIOD,
    }
    if here.server is not None:
        settings["client_advertise"] = str(here.client)
    cluster: dict[str, Any] = {"name": spec.sites.of(node).name, "listen": str(here.route)}
    if spec.route_authorization is not None:
        cluster["authorization"] = _login(spec.route_authorization)
    known = _known_nodes(spec, node, streams=streams)
    if known:
        cluster["routes"] = [
            _url(endpoints[name].route, spec.route_authorization) for name in known
        ]
    settings.update(_joints(spec, node, endpoints))
    if not (streams and len(spec.nodes) == 1):  # a cluster of one never elects a meta leader
        settings["cluster"] = cluster
    if spec.authorization is not None:
        settings["authorization"] = _login(spec.authorization)
    if isinstance(spec.jetstream, JetStream):
        interval = spec.jetstream.sync_interval
        text = format_duration(interval) if isinstance(interval, float) else interval
        settings["jetstream"] = {} if text is None else {"sync_interval": text}
    elif spec.jetstream:
        settings["jetstream"] = {}
    return settings


def _known_nodes(spec: ClusterSpec, node: str, *, streams: bool) -> tuple[str, ...]:
    """Return the nodes whose routes `node` is given.

    JetStream counts its own configured routes to learn how many servers must agree on
    the first meta leader (setupMetaGroup, bootstrapRaftNode in the server's source), and
    refuses to start without any; with JetStream gossip alone will not do, so every node
    is given all, itself included.
    """
    seed = spec.sites.of(node).seed
    if streams:
        return spec.nodes
    return () if node == seed else (seed,)


def _login(authorization: Authorization) -> dict[str, Any]:
    return {
        "user": _Text(authorization.user),
        "password": _Text(authorization.password.get_secret_value()),
    }


def _joints(spec: ClusterSpec, node: str, endpoints: Mapping[str, Endpoints]) -> dict[str, Any]:
    """Return the sections that join the node's cluster to others: gateways or leaf nodes.

    Of another cluster a node is given only its seed, and learns the others from that.
    """
    sites, here = spec.sites, endpoints[node]
    site = sites.of(node)
    remotes = tuple(sites.dialled_by(site))
    login = spec.route_authorization
    found: dict[str, Any] = {}
    if site.hub is None and remotes:
        found["gateway"] = {
            "name": site.name,
            "listen": str(here.gateway),
            "gateways": [
                {"name": other.name, "urls": [_url(endpoints[other.seed].gateway, login)]}
                for other in remotes
            ],
        }
    elif site.hub is not None:
        # Without logins of their own, leaf nodes are asked for one of a client.
        login = login or spec.authorization
        urls = [[_url(endpoints[other.seed].leafnode, login)] for other in remotes]
        return {"leafnodes": {"remotes": [{"urls": some} for some in urls]}}
    elif any(sites.diallers_of(site)):
        found["leafnodes"] = {"listen": str(here.leafnode)}
    for section in found.values():
        if spec.route_authorization is not None:
            section["authorization"] = _login(spec.route_authorization)
    return found


def _url(address: Address | None, authorization: Authorization | None) -> str:
    if authorization is None:
        return f"nats://{address}"
    user = quote(authorization.user, safe="")
    password = quote(authorization.password.get_secret_value(), safe="")
    return f"nats://{user}:{password}@{address}"


def _normalise(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy with lower-case keys where nats-server ignores case."""
    free = {str(key).lower(): value for key, value in config.items()}
    for section in _SECTIONS:
        if isinstance(value := free.get(section), Mapping):
            free[section] = {str(key).lower(): inner for key, inner in value.items()}
    return free


def _refuse(spec: ClusterSpec, free: Mapping[str, Any]) -> None:
    joined = [ours for key, ours in _JOINTS.items() if getattr(spec, key)]
    for path, why in [pair for ours in (_OURS, *joined) for pair in ours.items()]:
        section, _, key = path.rpartition(".")
        place = free.get(section, {}) if section else free
        if isinstance(place, Mapping) and key in place:
            raise UsageError(f"cluster.config.{path}: {why}; remove the key")
    if not isinstance(free.get("cluster", {}), Mapping):
        raise UsageError("cluster.config.cluster: expected a mapping of cluster settings")
    enabled = free.get("jetstream", True)
    if spec.jetstream is not False and not _switched_on(enabled):
        raise UsageError("cluster.config.jetstream: cluster.jetstream says it is on; remove one")
    if spec.authorization is not None and "authorization" in free:
        raise UsageError("cluster.config.authorization: cluster.authorization is given; remove one")
    if spec.route_authorization is not None and "authorization" in free.get("cluster", {}):
        raise UsageError(
            "cluster.config.cluster.authorization: cluster.route_authorization is given; remove one"
        )


def _switched_on(jetstream: object) -> bool:
    if isinstance(jetstream, str):
        return jetstream.lower() in ("enabled", "enable", "true", "yes", "on")
    return isinstance(jetstream, Mapping) or bool(jetstream)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(below, value)
        elif not (key == "jetstream" and isinstance(below, Mapping)):
            merged[key] = value
    return merged


def _bare(value: object) -> bool:
    """Tell whether it is text that means something else than itself, and so is not quoted."""
    if not isinstance(value, str) or isinstance(value, _Text):
        return False
    return (_REFERENCE.fullmatch(value) or _SIZE.fullmatch(value)) is not None


def _secret(path: tuple[str, ...], value: object) -> bool:
    if isinstance(value, bool | None) or not isinstance(value, str | int | float):
        return False
    text = str(value)
    if _bare(value) and _REFERENCE.fullmatch(text):
        return False
    return (bool(path) and holds_secret(path)) or _CREDENTIALS.search(text) is not None


def _lines(
    settings: Mapping[str, Any], path: tuple[str, ...], depth: int, secrets: dict[str, str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the key and the text of each line of a mapping's body."""
    for name, value in settings.items():
        key = str(name)
        here = (*path, key)
        label = key if _BARE_KEY.fullmatch(key) else _quoted(key)
        yield from _entry(f"{label}: ", value, here, depth, secrets)


def _entry(
    label: str, value: object, path: tuple[str, ...], depth: int, secrets: dict[str, str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    indent = "  " * depth
    if isinstance(value, Mapping):
        yield path, f"{indent}{label}{{"
        yield from _lines(value, path, depth + 1, secrets)
        yield path, f"{indent}}}"
    elif isinstance(value, list | tuple):
        yield path, f"{indent}{label}["
        for index, item in enumerate(value):
            entry = list(_entry("", item, path, depth + 1, secrets))
            if index < len(value) - 1:  # items need commas between them
                entry[-1] = (entry[-1][0], entry[-1][1] + ",")
            yield from entry
        yield path, f"{indent}]"
    else:
        yield path, f"{indent}{label}{_scalar(path, value, secrets)}"


def _scalar(path: tuple[str, ...], value: object, secrets: dict[str, str]) -> str:
    if _secret(path, value):
        name = f"NATS_HARNESS_SECRET_{len(secrets) + 1}"
        secrets[name] = _quoted(str(value))
        return f"${name}"
    if isinstance(value, str):
        return value if _bare(value) else _quoted(value)
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    raise UsageError(
        f"cluster.config.{'.'.join(path)}: expected text, a number, true, false, a list or a "
        f"mapping, found {type(value).__name__}"
    )


def _quoted(text: str) -> str:
    """Return a string of the configuration language; its escapes are those of 2.9 and later."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


def _redact(value: Any, path: tuple[str, ...] = ()) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _redact(inner, (*path, str(key))) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redact(inner, path) for inner in value]
    return "(secret)" if _secret(path, value) else value
