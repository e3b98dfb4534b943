"""Hosts and ports as a nats-server reads them from its flags and its configuration."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

_LOOPBACK_NAMES = frozenset({"localhost"})
_MAX_PORT = 65535


@dataclass(frozen=True)
class HostPort:
    """A host, empty for all addresses, and a port; None where none is told or it is no number."""

    host: str
    port: int | None

    @property
    def is_loopback(self) -> bool:
        """Tell whether only the machine itself can reach it."""
        if self.host in _LOOPBACK_NAMES:
            return True
        return self.is_address and ipaddress.ip_address(self.host).is_loopback

    @property
    def is_address(self) -> bool:
        """Tell whether the host is an IP address rather than a name."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True


def to_port(text: object) -> int | None:
    """Return a port that a server can be told to listen on, or None."""
    if isinstance(text, bool) or not isinstance(text, int | str):
        return None
    if isinstance(text, str) and not (text.isascii() and text.isdigit() and len(text) <= 5):  # noqa: PLR2004 - 65535
        return None
    port = int(text)
    return port if 0 < port <= _MAX_PORT else None


def split_listen(value: object) -> HostPort:
    """Return the host and port of ``host:port``, ``:port`` or ``port``."""
    text = str(value).strip()
    if text.isdigit():
        return HostPort("", to_port(text))
    host, _, port = text.rpartition(":")
    return HostPort(host.strip("[]"), to_port(port))


def split_url(url: str) -> HostPort:
    """Return the host and port of a URL such as ``nats://user:password@host:port``."""
    rest = url.strip().partition("://")[2] or url.strip()
    authority = rest.rpartition("@")[2].partition("/")[0]
    if ":" not in authority:
        return HostPort(authority, None)
    return split_listen(authority)


def split_routes(urls: str) -> tuple[HostPort, ...]:
    """Return the hosts and ports of URLs with commas between them."""
    return tuple(split_url(url) for url in urls.split(",") if url.strip())
