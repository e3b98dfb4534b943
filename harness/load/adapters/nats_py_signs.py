"""Tell what a nats-py connection notices, at the moment it notices it.

nats-py's public callbacks come after the old connection was closed, which can take
long or forever when the peer is frozen. So the first sign is caught where nats-py
decides that a connection is broken (`_process_op_err`, `_process_err`) and each attempt
where it opens a socket (`_connect_to_server`). A release that lacks these private
methods still works: the public callbacks then stand in for them.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from nats.aio.client import Client as NatsClient

from harness.load.adapters.base import Emit


def connect_parameters() -> dict[str, Any]:
    """Return the names and defaults of `Client.connect`."""
    parameters = inspect.signature(NatsClient.connect).parameters
    return {name: p.default for name, p in parameters.items() if name != "self"}


def sign_of(error: BaseException) -> str:
    """Return the name of an error's class; of nats-py's aliases, the class they stand for."""
    for kind in type(error).__mro__:
        if kind.__module__ != "nats.aio.errors":
            return kind.__name__
    return type(error).__name__


class WatchedClient(NatsClient):
    """A nats-py client that tells its events through `emit`.

    Attributes:
        rejected: set when the server refuses the credentials while first connecting.
        complaint: the last error that nats-py reported, as text.
    """

    def __init__(self, emit: Emit) -> None:
        super().__init__()
        self._emit = emit
        self._opened = False
        self._signed = False
        self._attempts = 0
        self._tried = ""
        self.rejected = asyncio.Event()
        self.complaint = ""

    async def open(self, servers: list[str], name: str, options: dict[str, Any]) -> None:
        """Connect with all callbacks set, and tell `connected`."""
        callbacks: dict[str, Any] = {
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": self._on_reconnected,
            "closed_cb": self._on_closed,
            "discovered_server_cb": self._on_discovered,
            "lame_duck_mode_cb": self._on_lame_duck,
        }
        known = connect_parameters()
        await self.connect(
            servers=servers,
            name=name,
            **{key: value for key, value in callbacks.items() if key in known},
            **options,
        )
        self._opened = True
        self._emit("connected", server=self._server())

    async def _process_op_err(self, e: Exception) -> None:
        if not (self.is_closed or self.is_reconnecting):
            self._sign(sign_of(e))
        await super()._process_op_err(e)

    async def _process_err(self, err_msg: str) -> None:
        lowered = err_msg.lower()
        if "permissions violation" not in lowered and "stale connection" not in lowered:
            self._sign(f"-ERR {err_msg}")
        await super()._process_err(err_msg)

    async def _connect_to_server(self, s: Any) -> None:
        self._tried = f"{s.uri.hostname}:{s.uri.port}"
        if self._opened:
            self._attempts += 1
            self._emit("attempt", server=self._tried)
        await super()._connect_to_server(s)

    def _sign(self, sign: str) -> None:
        if self._opened and not self._signed:
            self._signed = True
            self._attempts = 0
            self._emit("sign", sign=sign)

    def _server(self) -> str:
        # A connection that broke before its callback ran has no address any more; it led to
        # where was tried last.
        url = self.connected_url
        return f"{url.hostname}:{url.port}" if url is not None else self._tried

    async def _on_error(self, error: Exception) -> None:
        if self.rejected.is_set():
            return  # the reset that follows a rejection says less than the rejection
        self.complaint = f"{type(error).__name__}: {error}"
        if not self._opened and "authorization" in str(error).lower():
            self.rejected.set()
        if self._opened:
            self._emit("error", error=self.complaint)

    async def _on_disconnected(self) -> None:
        self._sign(sign_of(self.last_error) if self.last_error else "disconnected")
        if self._opened:
            self._emit("disconnected")

    async def _on_reconnected(self) -> None:
        self._signed = False
        self._emit("reconnected", server=self._server(), attempts=max(1, self._attempts))

    async def _on_closed(self) -> None:
        if self._opened:
            self._emit("closed")

    async def _on_discovered(self) -> None:
        self._emit("discovered", servers=[url.netloc for url in self.discovered_servers])

    async def _on_lame_duck(self) -> None:
        self._emit("lame_duck")
