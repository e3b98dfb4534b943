"""The command line of a nats-server, as Go's flag package reads it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.scenario.compose.hosts import HostPort, split_routes, split_url

_SERVER = "nats-server"
_SHELLS = frozenset({"sh", "bash", "ash", "dash"})
_ALIASES = {
    "addr": "a",
    "net": "a",
    "port": "p",
    "name": "n",
    "server_name": "n",
    "pid": "P",
    "http_port": "m",
    "https_port": "ms",
    "config": "c",
    "jetstream": "js",
    "store_dir": "sd",
    "cluster_listen": "cluster",
}
_SWITCHES = frozenset(
    (
        *("t", "T", "logtime", "logtime_utc", "s", "syslog", "D", "debug", "V", "trace", "VV"),
        *("DV", "DVV", "js", "tls", "tlsverify", "no_advertise"),
        *("h", "help", "help_tls", "v", "version"),
    )
)
_TELLING = frozenset({"cluster", "cluster_name", "routes", "m", "js"})


@dataclass(frozen=True)
class Flags:
    """The flags of a server, by their shortest names.

    Attributes:
        values: the last value of each flag; switches have ``true`` or ``false``.
        open_ended: further flags may be put at the end of the command.
    """

    values: Mapping[str, str]
    open_ended: bool = True

    @property
    def telling(self) -> bool:
        """Tell whether only a NATS server has such flags."""
        return bool(_TELLING & self.values.keys())

    @property
    def cluster(self) -> HostPort | None:
        """Return where it listens for routes, as far as the flags tell."""
        return split_url(self.values["cluster"]) if "cluster" in self.values else None

    @property
    def routes(self) -> tuple[HostPort, ...] | None:
        """Return the routes that it is given; None where the flags say nothing."""
        return split_routes(self.values["routes"]) if "routes" in self.values else None

    def switch(self, name: str) -> bool:
        """Tell whether a switch is on."""
        return self.values.get(name, "false").lower() in ("true", "1", "t")


def runs_server(words: Sequence[str]) -> bool:
    """Tell whether a command names the server's binary."""
    return any(word.rpartition("/")[2] == _SERVER for word in _inside_shell(words) or words)


def read_flags(entrypoint: Sequence[str] | None, command: Sequence[str] | None) -> Flags | None:
    """Return the server's flags; None where the command leaves no way to tell them.

    Whatever the image's own entry point is, it is taken for one that hands all on.
    """
    if entrypoint and runs_server(entrypoint):
        words = [*entrypoint, *(command or ())]
    else:
        words = list(command or ())
        if entrypoint and not words:
            return None
    inside = _inside_shell([*(entrypoint or ()), *(command or ())])
    if inside is not None:
        return None if _SERVER not in _names(inside) else Flags(_parse(_after(inside)), False)
    if _SERVER in _names(words):
        words = _after(words)
    elif words and not words[0].startswith("-"):
        return None
    return Flags(_parse(words))


def _names(words: Sequence[str]) -> list[str]:
    return [word.rpartition("/")[2] for word in words]


def _after(words: Sequence[str]) -> list[str]:
    return list(words[_names(words).index(_SERVER) + 1 :])


def _inside_shell(words: Sequence[str]) -> list[str] | None:
    """Return the words of what a shell is told to run; None where there is no shell."""
    for index, word in enumerate(words):
        if word.rpartition("/")[2] in _SHELLS:
            try:
                return shlex.split(" ".join(words[index + 1 :]).partition("-c")[2])
            except ValueError:
                return []
    return None


def _parse(words: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-", "--"):
        name, equals, value = words[at].lstrip("-").partition("=")
        name = _ALIASES.get(name, name)
        at += 1
        if not equals:
            if name in _SWITCHES:
                value = "true"
            elif at < len(words):
                value = words[at]
                at += 1
        values[name] = value
    return values
