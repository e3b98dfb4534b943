"""Free ports of this host, held for servers that start later and more than once.

Linux picks from ``ip_local_port_range`` for whoever asks for any free port or connects, and
so does the Docker Engine for the ports that it publishes, which listens there even where
somebody else has bound the port without listening. So the ports held here lie outside.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from random import sample
from socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST, HIGHEST = 10_000, 65_535  # below the lowest is where services are looked for
TRIES = 100  # so many ports set apart are asked for before any other
ANY = 0  # the port to ask for to be given any


@contextmanager
def hold_port(host: str) -> Iterator[int]:
    """Choose a free port and keep it from everybody who does not ask for just this one.

    It stays bound, without listening, for as long as the body runs. A server may bind it as
    well, again and again, since both sides set SO_REUSEADDR (socket(7)).

    Raises:
        OSError: no port is left, or the host is not one of this machine's addresses.
    """
    with socket(AF_INET, SOCK_STREAM) as holder:
        _bind_first(holder, host, chain(_set_apart(), (ANY,)))
        holder.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        yield holder.getsockname()[1]


def _set_apart() -> list[int]:
    """Return some ports that nobody is given unasked; none where that is not known."""
    try:
        low, high = map(int, RANGE.read_text().split())
    except (OSError, ValueError):
        return []
    apart = [*range(LOWEST, low), *range(max(high + 1, LOWEST), HIGHEST + 1)]
    return sample(apart, min(TRIES, len(apart)))


def _bind_first(holder: socket, host: str, ports: Iterable[int]) -> None:
    """Bind the first port that nobody else has bound, which holds only without SO_REUSEADDR."""
    for port in ports:
        try:
            holder.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port == ANY:
                raise
        else:
            return
