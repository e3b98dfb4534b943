"""Meet servers that run already: are they there, and are they what the scenario says?

Nothing is changed: each is asked for /varz, and each client port for the INFO line that
every NATS server greets with (NATS docs, Client protocol).
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from socket import AF_INET, SOCK_STREAM, create_connection, gaierror, getaddrinfo
from typing import Any

from harness.cluster.monitor import HTTP_OK
from harness.cluster.protocols import Address, Endpoints
from harness.errors import UsageError
from harness.scenario.attached import host_and_port
from harness.scenario.model import AttachedServer, Authorization, ClusterSpec

ANSWER_LIMIT_S = 5.0
KNOCK_LIMIT_S = 0.5
MOST_BYTES = 1 << 20
MOST_KNOCKS = 64  # addresses that servers advertise; a cluster has a few for each server
AT_ONCE = 16
TLS = "TLS is not supported, neither by the harness's clients nor by its looks at servers"


@dataclass(frozen=True)
class Acquaintance:
    """A server as it was when it was met.

    Attributes:
        name: the node's name, the user's own.
        endpoints: where it is reached, by addresses.
        varz: what /varz said.
    """

    name: str
    endpoints: Endpoints
    varz: Mapping[str, Any]


def meet_all(spec: ClusterSpec) -> Mapping[str, Acquaintance]:
    """Ask every server of `cluster.attach` who it is; it takes seconds where one is silent.

    Raises:
        UsageError: one is not there, is not NATS, wants TLS or a login that is missing, or
            two URLs do not lead where the scenario says. One line, which names its key.
    """
    met: dict[str, Acquaintance] = {}
    owners: dict[str, str] = {}
    advertised: set[str] = set()
    for name, server in (spec.attach or {}).items():
        one, info = _meet(name, server)
        if info.get("auth_required") and spec.authorization is None:
            raise UsageError(
                f"{_key(name, 'client')}: {server.client} asks for a login; give it as "
                "cluster.authorization: {user, password}"
            )
        if spec.authorization is not None:
            _log_in(_key(name, "client"), server.client, one.endpoints.client, spec.authorization)
        owner = owners.setdefault(str(one.varz["server_id"]), name)
        if owner != name:
            raise UsageError(
                f"cluster.attach: {owner} and {name} are one and the same server, "
                f"{one.varz['server_id']}"
            )
        advertised.update(str(url) for url in info.get("connect_urls") or ())
        met[name] = one
    return _recognise(met, owners, advertised)


def _meet(name: str, server: AttachedServer) -> tuple[Acquaintance, Mapping[str, Any]]:
    monitor = _resolve(_key(name, "monitor"), server.monitor)
    client = _resolve(_key(name, "client"), server.client)
    varz = _ask(_key(name, "monitor"), server.monitor, monitor)
    try:
        info = _greeting(client, ANSWER_LIMIT_S)
    except OSError as error:
        raise _unreached(_key(name, "client"), server.client, error) from error
    except ValueError as error:
        raise UsageError(
            f"{_key(name, 'client')}: {server.client} is not a NATS server's client port: {error}"
        ) from error
    if info.get("tls_required"):
        raise UsageError(f"{_key(name, 'client')}: {server.client} wants TLS: {TLS}")
    if info["server_id"] != varz["server_id"]:
        raise UsageError(
            f"cluster.attach.{name}: client and monitor lead to two servers, "
            f"{info['server_id']} and {varz['server_id']}"
        )
    return Acquaintance(name, Endpoints(client, client, monitor), varz), info


def _key(name: str, key: str) -> str:
    return f"cluster.attach.{name}.{key}"


def _resolve(key: str, url: str) -> Address:
    host, port = host_and_port(url)
    try:
        found = getaddrinfo(host, port, family=AF_INET, type=SOCK_STREAM)
    except gaierror as error:
        raise UsageError(f"{key}: {url}: the host has no IPv4 address: {error.strerror}") from error
    return Address(str(found[0][4][0]), port)


def _unreached(key: str, url: str, error: OSError) -> UsageError:
    why = error.strerror or str(error) or type(error).__name__
    return UsageError(f"{key}: {url} cannot be reached: {why}")


def _ask(key: str, url: str, address: Address) -> Mapping[str, Any]:
    """Return /varz of a NATS server."""
    other = f"{key}: {url} is not a NATS server's monitoring port"
    connection = http.client.HTTPConnection(address.host, address.port, timeout=ANSWER_LIMIT_S)
    try:
        connection.request("GET", "/varz", headers={"Connection": "close"})
        with connection.getresponse() as response:
            status, text = response.status, response.read(MOST_BYTES)
    except OSError as error:
        raise _unreached(key, url, error) from error
    except http.client.HTTPException as error:
        raise UsageError(f"{other}: it does not speak HTTP") from error
    finally:
        connection.close()
    if status != HTTP_OK:
        raise UsageError(f"{other}: GET /varz was answered with status {status}")
    try:
        body = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{other}: what it answers GET /varz is no JSON") from error
    if not isinstance(body, dict) or not body.get("server_id") or "version" not in body:
        raise UsageError(f"{other}: its /varz has no server_id and no version")
    return body


def _greeting(address: Address, limit_s: float) -> Mapping[str, Any]:
    """Return a server's INFO; OSError where nothing answers, ValueError where it is not NATS."""
    said = b""
    with create_connection((address.host, address.port), timeout=limit_s) as stream:
        while b"\n" not in said and len(said) < MOST_BYTES:
            more = stream.recv(65_536)
            if not more:
                break
            said += more
    if not said.startswith(b"INFO "):
        raise ValueError(f"it greeted with {said[:40]!r}")
    info = json.loads(said[len(b"INFO ") :].split(b"\r\n")[0])
    if not isinstance(info, dict) or "server_id" not in info:
        raise ValueError("its INFO has no server_id")
    return info


def _log_in(key: str, url: str, address: Address, login: Authorization) -> None:
    """Raise UsageError when the server does not take the login (NATS docs, CONNECT)."""
    words = {
        "user": login.user,
        "pass": login.password.get_secret_value(),
        "verbose": False,
        "pedantic": False,
        "lang": "python",
        "version": "1",
        "protocol": 1,
    }
    try:
        with create_connection((address.host, address.port), timeout=ANSWER_LIMIT_S) as stream:
            stream.sendall(f"CONNECT {json.dumps(words)}\r\nPING\r\n".encode())
            with stream.makefile("rb") as lines:
                for line in lines:
                    if line.startswith(b"PONG"):
                        return
                    if line.startswith(b"-ERR"):
                        break
    except OSError as error:
        raise _unreached(key, url, error) from error
    raise UsageError(f"{key}: {url} refuses the login of cluster.authorization, {login.user!r}")


def _recognise(
    met: Mapping[str, Acquaintance], owners: Mapping[str, str], advertised: Iterable[str]
) -> Mapping[str, Acquaintance]:
    """Return the servers with all addresses by which clients will come to know them.

    Clients learn addresses from the servers, which need not be those that the user gave.
    """
    main = {str(one.endpoints.client) for one in met.values()}
    unknown = sorted(url for url in advertised if url not in main)[:MOST_KNOCKS]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(unknown, pool.map(_who, unknown), strict=True))
    return {
        name: Acquaintance(
            name,
            Endpoints(
                one.endpoints.client,
                one.endpoints.route,
                one.endpoints.monitor,
                known_as=tuple(url for url, owner in found.items() if owners.get(owner) == name),
            ),
            one.varz,
        )
        for name, one in met.items()
    }


def _who(url: str) -> str:
    """Return the id of the server at ``host:port``; nothing where none answers."""
    host, _, port = url.rpartition(":")
    try:
        return str(_greeting(Address(host.strip("[]"), int(port)), KNOCK_LIMIT_S)["server_id"])
    except (OSError, ValueError):
        return ""
