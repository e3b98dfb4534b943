"""The observer's connections by nats-py: one to each server, and to no other.

They reconnect for ever and are told apart by node. Callbacks append and return.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from nats import errors
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

RETRY_S = 0.1
PING_S = 1.0
CLOSE_LIMIT_S = 0.3
# Not $JS.EVENT.ADVISORY.API, which repeats every request with its answer.
ADVISORIES = tuple(
    f"$JS.EVENT.ADVISORY.{kind}.>" for kind in ("STREAM", "CONSUMER", "SERVER", "DOMAIN")
)
Heard = Callable[[str, str, dict[str, Any]], None]


class RequestError(Exception):
    """Say why a request has no answer."""


class Post:
    """A connection to one server.

    Args:
        node: whose server it is.
        url: where that listens.
        login: user and password, if it asks for any.
        heard: takes (node, subject, body) of each advisory; None to listen to none.

    Attributes:
        suspect: the last request was not answered: the server may be frozen or cut off.
    """

    def __init__(
        self, node: str, url: str, login: tuple[str, str] | None, heard: Heard | None
    ) -> None:
        self._node = node
        self._heard = heard
        self._url = url
        self._options: dict[str, Any] = {
            "name": "nats-harness-observer",
            "allow_reconnect": True,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": RETRY_S,
            "ping_interval": PING_S,
            "max_outstanding_pings": 2,
            "connect_timeout": 1,
            "error_cb": self._ignore,
        }
        if login is not None:
            self._options |= {"user": login[0], "password": login[1]}
        self._nc = NatsClient()
        self.suspect = False

    @property
    def connected(self) -> bool:
        """Tell whether the library says so."""
        return bool(self._nc.is_connected)

    async def open(self) -> None:
        """Connect, however long that takes, and subscribe to advisories."""
        while True:
            # Only this server: what others advertise would be tried as well.
            self._nc = _Faithful()
            try:
                await self._nc.connect(servers=[self._url], **self._options)
                break
            except (errors.Error, OSError, TimeoutError):
                await asyncio.sleep(RETRY_S)
        if self._heard is not None:
            for subject in ADVISORIES:
                await self._nc.subscribe(subject, cb=self._on_advisory)

    async def request(self, subject: str, payload: bytes, limit_s: float) -> bytes:
        """Return the answer's payload; RequestError when none came."""
        try:
            async with asyncio.timeout(limit_s + 1.0):
                said = await self._nc.request(subject, payload, timeout=limit_s)
        except errors.NoRespondersError:
            raise RequestError(f"nobody answers {subject} at {self._node}") from None
        except (errors.TimeoutError, TimeoutError):
            self.suspect = True
            raise RequestError(f"no answer to {subject} within {limit_s:g} s") from None
        except (errors.Error, OSError) as error:
            raise RequestError(f"{subject}: {type(error).__name__} {error}".rstrip()) from error
        self.suspect = False
        return bytes(said.data)

    async def close(self) -> None:
        """Close as far as that is possible at once."""
        task = asyncio.ensure_future(self._nc.close())
        await asyncio.wait({task}, timeout=CLOSE_LIMIT_S)

    async def _on_advisory(self, msg: Msg) -> None:
        if self._heard is None:
            return
        try:
            body = json.loads(msg.data)
        except ValueError:
            return
        if isinstance(body, dict):
            self._heard(self._node, msg.subject, body)

    async def _ignore(self, error: Exception) -> None:
        """Say nothing: a server that is down is what faults are for."""


class _Faithful(NatsClient):
    """A client that forgets what servers it is told of: it knows one."""

    async def _process_info(
        self,
        info: dict[str, Any],
        initial_connection: bool = False,  # noqa: FBT001, FBT002 - the library's own signature
    ) -> None:
        await super()._process_info(info | {"connect_urls": []}, initial_connection)
