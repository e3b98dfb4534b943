"""Which process holds the other end of a connection on this host (proc(5))."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from socket import inet_ntoa
from struct import Struct

LOOPBACK = "127.0.0.1"
TABLE = Path("/proc/net/tcp")
ESTABLISHED = "01"
_ADDRESS = Struct("=I")


@dataclass(frozen=True)
class Row:
    """A TCP socket as the kernel lists it; addresses are (host, port)."""

    local: tuple[str, int]
    remote: tuple[str, int]
    established: bool
    inode: int


def read_table() -> list[Row]:
    """Return all IPv4 sockets of this host; OSError when the kernel does not tell."""
    lines = TABLE.read_text(encoding="ascii").splitlines()[1:]
    return [_parse(line.split()) for line in lines]


def _parse(fields: list[str]) -> Row:
    return Row(_address(fields[1]), _address(fields[2]), fields[3] == ESTABLISHED, int(fields[9]))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    return inet_ntoa(_ADDRESS.pack(int(host, 16))), int(port, 16)


def inode_of(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """Return the number of the socket between two addresses; None when there is none."""
    wanted = [_shown(local), _shown(remote)]
    with TABLE.open(encoding="ascii") as table:
        for line in table:
            fields = line.split(None, 10)
            if fields[1:3] == wanted:
                return int(fields[9])
    return None


def _shown(address: tuple[str, int]) -> str:
    host = bytes(int(part) for part in address[0].split("."))
    return f"{_ADDRESS.unpack(host)[0]:08X}:{address[1]:04X}"


def holder(inode: int, pids: Iterable[int]) -> int | None:
    """Return which of the processes has the socket open; None when none has."""
    wanted = f"socket:[{inode}]"
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        try:
            numbers = sorted(map(int, os.listdir(folder)), reverse=True)  # noqa: PTH208 - one object a name less
        except OSError:
            continue  # it has ended
        for number in numbers:  # the newest is the likeliest
            try:
                if os.readlink(f"{folder}/{number}") == wanted:  # noqa: PTH115 - as above
                    return pid
            except OSError:
                continue  # it was closed meanwhile
    return None


def obstacle() -> str | None:
    """Say why nobody can tell here whose a connection is; None when it works, by trying."""
    try:
        with (
            socket.create_server((LOOPBACK, 0)) as server,
            socket.create_connection(server.getsockname()) as client,
        ):
            inode = inode_of(client.getsockname(), server.getsockname())
            found = None if inode is None else holder(inode, [os.getpid()])
    except (OSError, ValueError, IndexError) as error:
        return f"the connections of this host cannot be listed: {error}"
    return None if found is not None else "/proc does not tell whose a connection is"
