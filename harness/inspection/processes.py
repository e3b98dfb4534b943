"""What the processes of a container are: who they run as and where they listen.

Where the Engine is this machine's own the kernel is asked (/proc); elsewhere the Engine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engine.connection import Engine
from harness.errors import EngineError
from harness.inspection.containers import Container

_LISTEN = "0A"
_DOCKER_DNS = ipaddress.ip_address("127.0.0.11")  # Docker's own resolver in every container


@dataclass(frozen=True)
class Process:
    """A process of a container.

    Attributes:
        pid: its id on the Engine's machine.
        users: its user ids as the container numbers them; real, effective, saved and of
            the file system, or only the effective one.
        command: its command line.
        source: where this was read.
        here: whether that id is one of this machine's, to be asked for more.
    """

    pid: int
    users: tuple[int, ...]
    command: str
    source: str
    here: bool = False


def read_processes(container: Container) -> tuple[Process, ...]:
    """Return all processes of a container; none when nobody can tell who they run as.

    An Engine elsewhere numbers users of its own machine: where those are not the
    container's (user namespaces, rootless), its answer would mislead.
    """
    try:
        rows = container.top()
    except (EngineError, ValueError, IndexError, TypeError):
        return ()  # that Engine's ps has other options
    if container.engine.here:
        found = [_from_kernel(pid, command) for pid, _, command in rows]
        if found and all(found):
            return tuple(one for one in found if one is not None)
    if _renumbers(container.engine):
        return ()
    return tuple(Process(pid, (user,), command, "docker top") for pid, user, command in rows)


def read_listeners(processes: Sequence[Process]) -> tuple[int, ...] | None:
    """Return the TCP ports that a container's processes listen on; None when not to be seen."""
    pids = [one.pid for one in processes if one.here]
    if not pids:
        return None
    try:
        ports = {port for name in ("tcp", "tcp6") for port in _listening(pids[0], name)}
    except OSError:
        return None
    return tuple(sorted(ports))


def _from_kernel(pid: int, command: str) -> Process | None:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
        mapping = Path(f"/proc/{pid}/uid_map").read_text(encoding="ascii")
    except OSError:
        return None
    if b" ".join(words).decode("utf-8", "replace").split() != command.split():
        return None  # the Engine counts processes in another pid namespace
    line = next(line for line in status.splitlines() if line.startswith("Uid:"))
    users = tuple(inside(int(user), mapping) for user in line.split()[1:])
    if None in users:
        return None
    known = tuple(user for user in users if user is not None)
    return Process(pid, known, command, f"/proc/{pid}/status", here=True)


def inside(user: int, mapping: str) -> int | None:
    """Return the id that a user of this machine has inside a user namespace (uid_map)."""
    for line in mapping.splitlines():
        first, outside, count = map(int, line.split())
        if outside <= user < outside + count:
            return first + user - outside
    return None


def _renumbers(engine: Engine) -> bool:
    options = engine.client.info().get("SecurityOptions") or []
    return any("userns" in str(one) or "rootless" in str(one) for one in options)


def _listening(pid: int, name: str) -> Iterator[int]:
    table = Path(f"/proc/{pid}/net/{name}").read_text(encoding="ascii")
    for line in table.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address, port = local.split(":")
        if state == _LISTEN and _address(address) != _DOCKER_DNS:
            yield int(port, 16)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address in a line of /proc/net/tcp: words in the machine's own order."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    return ipaddress.ip_address(b"".join(words))
