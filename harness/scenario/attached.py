"""Servers that run already: their names and URLs, as a user writes them."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, WithJsonSchema

NODE_NAME_PATTERN = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$"

_LARGEST_PORT = 65535
_SECURE = {"tls", "https", "wss"}


def host_and_port(url: str) -> tuple[str, int]:
    """Return where a checked URL leads."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def _check(url: str, scheme: str) -> str:
    """Return the URL in its plain form; ValueError, which repeats no password, otherwise."""
    wanted = f"expected {scheme}://HOST:PORT"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"{wanted}, which this is not") from None
    if "@" in parts.netloc or "@" in url:
        raise ValueError(f"{wanted} without a user; the login goes into cluster.authorization")
    if parts.scheme in _SECURE:
        raise ValueError(
            f"{wanted}: TLS is not supported, neither by the harness's clients nor by its looks "
            "at servers"
        )
    if parts.scheme != scheme or not _is_host(parts) or not port or port > _LARGEST_PORT:
        raise ValueError(f"{wanted}, found {url[:60]!r}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{wanted} and nothing behind it, found {url[:60]!r}")
    return f"{scheme}://{parts.hostname}:{port}"


def _is_host(parts: SplitResult) -> bool:
    return re.fullmatch(r"[A-Za-z0-9._-]+", parts.hostname or "") is not None


def _check_client(url: str) -> str:
    return _check(url, "nats")


def _check_monitor(url: str) -> str:
    return _check(url, "http")


def _schema(scheme: str, port: int) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^{scheme}://[A-Za-z0-9._-]+:[0-9]{{1,5}}/?$",
            "examples": [f"{scheme}://10.0.0.1:{port}"],
        }
    )


NodeName = Annotated[str, Field(pattern=NODE_NAME_PATTERN, max_length=63)]
ClientUrl = Annotated[str, AfterValidator(_check_client), _schema("nats", 4222)]
MonitorUrl = Annotated[str, AfterValidator(_check_monitor), _schema("http", 8222)]
