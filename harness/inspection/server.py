"""Ask a server that runs in a container: its greeting, its monitoring, its log."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.inspection.containers import Container

ANSWER_LIMIT_S = 5.0
_READY = "Server is ready"
_LAME = "Entering lame duck mode"
_LOGGED = re.compile(r"\b(Version|ID|Store Directory):\s+\"?([^\"\s]+)\"?\s*$")
_LISTENS = re.compile(
    r"(?:Listening for [a-z ]*connections on|Starting https? monitor on) \S*:(\d+)"
)
_INFO_LIMIT_B = 1 << 16
_ANSWER_LIMIT_B = 1 << 22


@dataclass
class Greeted:
    """A client's connection to a server; what the server says of itself comes over it."""

    connection: socket.socket
    info: Mapping[str, Any]
    _rest: bytes = field(default=b"", init=False)

    def lame_duck(self) -> bool:
        """Take what has come meanwhile; tell whether the server said that it goes lame."""
        with contextlib.suppress(OSError):
            self.connection.settimeout(0.01)
            self._rest = (self._rest + self.connection.recv(_INFO_LIMIT_B))[-_INFO_LIMIT_B:]
        news = re.findall(rb"INFO (\{.*?\})\s*\r\n", self._rest)
        return any(_parsed(one).get("ldm") is True for one in news)


@contextlib.contextmanager
def greeted(container: Container, ports: Iterable[int]) -> Iterator[Greeted | None]:
    """Connect to the server in a container as a client does; None when it cannot be reached."""
    with contextlib.ExitStack() as stack:
        for port in ports:
            found = _connect(container, port)
            if found is not None:
                stack.enter_context(found.connection)
                yield found
                return
        yield None


def is_greeting(container: Container, ports: Iterable[int]) -> bool:
    """Tell whether a server greets clients on one of the ports."""
    with greeted(container, ports) as found:
        return found is not None


def is_ready(log: Iterable[str]) -> bool:
    """Tell whether the log says that the server is ready."""
    return any(_READY in line for line in log)


def is_lame(log: Iterable[str]) -> bool:
    """Tell whether the log says that the server goes lame."""
    return any(_LAME in line for line in log)


def logged(log: Iterable[str]) -> Mapping[str, str]:
    """Return what the log says of the server: Version, ID, Store Directory."""
    found = (_LOGGED.search(line) for line in log)
    return {match[1]: match[2] for match in found if match}


def logged_ports(log: Iterable[str]) -> tuple[int, ...]:
    """Return the ports that the log says the server listens on."""
    found = (_LISTENS.search(line) for line in log)
    return tuple(sorted({int(match[1]) for match in found if match}))


def monitored(container: Container, port: int, path: str) -> Mapping[str, Any] | None:
    """Return what the server's monitoring answers; None when it cannot be asked."""
    address = container.address(port)
    if address is None:
        return None
    connection = http.client.HTTPConnection(*address, timeout=ANSWER_LIMIT_S)
    try:
        connection.request("GET", path)
        answer = _parsed(connection.getresponse().read(_ANSWER_LIMIT_B))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return answer if _is_its_own(container, answer) else None


def _connect(container: Container, port: int) -> Greeted | None:
    address = container.address(port)
    if address is None:
        return None
    try:
        connection = socket.create_connection(address, timeout=ANSWER_LIMIT_S)
    except OSError:
        return None
    try:
        line = _line(connection)
        info = _parsed(line.removeprefix(b"INFO ")) if line.startswith(b"INFO ") else {}
        if info and _is_its_own(container, info):
            connection.sendall(b'CONNECT {"verbose":false,"protocol":1}\r\nPING\r\n')
            return Greeted(connection, info)
    except OSError:
        pass
    connection.close()
    return None


def _line(connection: socket.socket) -> bytes:
    said = b""
    while b"\r\n" not in said and len(said) < _INFO_LIMIT_B:
        piece = connection.recv(_INFO_LIMIT_B)
        if not piece:
            break
        said += piece
    return said.partition(b"\r\n")[0]


def _is_its_own(container: Container, answer: Mapping[str, Any]) -> bool:
    """Tell whether the answer is the container's and not that of another on this machine.

    Where the Engine is elsewhere, a published port may be somebody else's here.
    """
    if container.engine.here:
        return bool(answer)
    own = logged(container.log()).get("ID")
    return own is not None and own == answer.get("server_id")


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
