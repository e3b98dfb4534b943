"""The places of an iteration whose clients go through proxies."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import SOCK_STREAM, AddressFamily, SocketKind, socket
from typing import IO

import anyio

from harness.backends.process import ChildProcess
from harness.backends.proxy.control import ProxyProcess, proxy_process
from harness.backends.proxy.lines import open_lines
from harness.backends.proxy.links import VIA, ProxyLinks
from harness.backends.proxy.shaper import ProxyShaper
from harness.backends.server_cluster import Places
from harness.cluster.protocols import Endpoints, EventSink
from harness.errors import FaultError, ServerError
from harness.scenario.sites import OBSERVER


@dataclass(frozen=True)
class ProxiedPlaces:
    """Places, and proxies that know which client group each worker is."""

    places: Places
    proxies: ProxyProcess
    groups: tuple[str, ...]
    links: ProxyLinks
    shaper: ProxyShaper
    own_pids: list[int]

    @property
    def endpoints(self) -> Mapping[str, Endpoints]:
        """Return where each node is reached."""
        return self.places.endpoints

    def launch(
        self,
        place: str,
        argv: Sequence[str],
        *,
        stdin: int | IO[bytes],
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
        env: Mapping[str, str] | None = None,
        on_exit: Callable[[], None] | None = None,
    ) -> ChildProcess:
        """Start a program; tell the proxies of one that is a client group's."""
        process = self.places.launch(
            place, argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env, on_exit=on_exit
        )
        if place == OBSERVER:
            self.own_pids.append(process.pid)
        if place in self.groups:
            try:
                self.proxies.enlist(place, process.pid)
            except FaultError as error:
                raise ServerError(str(error)) from error
        return process

    def socket(
        self, place: str, family: AddressFamily, kind: SocketKind = SOCK_STREAM, proto: int = 0
    ) -> socket:
        """Return a new socket in the network of a place."""
        return self.places.socket(place, family, kind, proto)


@asynccontextmanager
async def proxies(
    places: Places,
    groups: tuple[str, ...],
    log: Path,
    record: EventSink,
    strangers: str | None = None,
) -> AsyncIterator[ProxiedPlaces]:
    """Put a proxy before each node for as long as the body runs.

    Connections of nobody that was started here are of the group `strangers`, else refused.

    Raises:
        ServerError: they do not start, or end before the body does.
    """
    nodes = places.endpoints
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServerError(f"{log.parent} cannot be written: {error.strerror}") from error
    async with proxy_process(places.launch, log, record) as process:
        try:
            process.set_up(nodes, groups, strangers)
        except FaultError as error:
            raise ServerError(str(error)) from error
        async with open_lines(process, nodes, groups) as lines, anyio.create_task_group() as both:
            own_pids = [os.getpid()]  # whoever is meant to go past the proxies
            links = ProxyLinks(process, lines, nodes, groups, own_pids)
            shaper = ProxyShaper(process, lines, links)
            record("proxies.started", via=VIA, nodes=list(nodes))
            both.start_soon(process.watch)
            yield ProxiedPlaces(places, process, groups, links, shaper, own_pids)
            try:
                process.carried()  # with the answer comes when they last stood still
            except FaultError as error:
                raise ServerError(str(error)) from error
            both.cancel_scope.cancel()
