"""A server's own command line, with what the harness needs of it."""

from __future__ import annotations

from collections.abc import Sequence

MONITOR_PORT = 8222
_NAMES = ("-n", "-name", "--name", "-server_name", "--server_name")
_MONITORS = ("-m", "-http_port", "--http_port", "-https_port", "--https_port", "-ms", "--ms")
_CONFIGS = ("-c", "-config", "--config")


def complete(arguments: Sequence[str], node: str) -> tuple[str, ...]:
    """Return a server's arguments with what the harness needs and they lack: a name, monitoring."""
    flags = {word.partition("=")[0] for word in arguments}
    added: list[str] = []
    if not flags & set(_NAMES):
        added += ["--name", node]
    if not flags & {*_MONITORS, *_CONFIGS}:
        added += ["--http_port", str(MONITOR_PORT)]
    return (*arguments, *added)
