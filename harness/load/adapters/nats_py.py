"""The adapter for nats-py: only it and the modules beside it import nats.

Four traps of nats-py that this module and its callers live with: `publish` can block
without bound; `_flush_pending` swallows cancellation; `close` can hang; `flush` sends
its PING ahead of a buffered SUB, so it is no barrier. Callbacks append and return.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import metadata
from time import monotonic_ns
from typing import Any

from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from harness.errors import WorkerError
from harness.history.tables import Outcome
from harness.load.adapters.base import Client, ClientFailure, Emit, Inbox
from harness.load.adapters.nats_py_jetstream import NatsPyStreams, was_refused
from harness.load.adapters.nats_py_signs import WatchedClient, connect_parameters
from harness.load.adapters.stores import KeyValue, ObjectStore
from harness.load.stores import StorePlan

CONNECT_LIMIT_S = 15.0
FLUSH_LIMIT_S = 5
_SUBSCRIBE_OPTIONS = {"pending_msgs_limit": 0, "pending_bytes_limit": 0}  # 0: nats-py never drops
_NOT_OURS = frozenset(
    {"servers", "name", "user", "password", "token", "tls", "tls_hostname", "tls_handshake_first"}
    | {"user_credentials", "nkeys_seed", "nkeys_seed_str", "signature_cb", "user_jwt_cb"}
    | {"inbox_prefix", "ws_connection_headers", "reconnect_to_server_handler"}
)
# Raised before the message was put into the library's buffer: it was certainly not sent.
_REFUSALS = (
    errors.NoRespondersError,
    errors.OutboundBufferLimitError,
    errors.ConnectionClosedError,
    errors.ConnectionDrainingError,
    errors.MaxPayloadError,
    errors.BadSubjectError,
)


class NatsPyClient:
    """One nats-py connection."""

    def __init__(
        self,
        name: str,
        servers: Sequence[str],
        options: Mapping[str, Any],
        credentials: tuple[str, str] | None,
        emit: Emit,
    ) -> None:
        self._name = name
        self._emit = emit
        self._servers = list(servers)
        self._options = {key: options[key] for key in options if key not in _SUBSCRIBE_OPTIONS}
        self._limits = _SUBSCRIBE_OPTIONS | {
            key: options[key] for key in options if key in _SUBSCRIBE_OPTIONS
        }
        if credentials is not None:
            self._options |= {"user": credentials[0], "password": credentials[1]}
        self._nc = WatchedClient(emit)
        self.streams = NatsPyStreams(self._nc)
        self._subscriptions: list[Subscription] = []
        self.publish: Callable[[str, bytes], Awaitable[None]] = self._nc.publish
        self.connected: Callable[[], bool] = functools.partial(getattr, self._nc, "is_connected")

    async def connect(self) -> None:
        """Connect; raise ClientFailure naming what the library last complained about."""
        task = asyncio.ensure_future(self._nc.open(self._servers, self._name, self._options))
        hopeless = asyncio.ensure_future(self._nc.rejected.wait())
        done, _ = await asyncio.wait(
            {task, hopeless}, timeout=CONNECT_LIMIT_S, return_when=asyncio.FIRST_COMPLETED
        )
        hopeless.cancel()
        if task in done and task.exception() is None:
            return
        reason = self._nc.complaint or "no answer"
        if task in done:
            reason = reason or str(task.exception())
        task.cancel()
        where = ", ".join(server.removeprefix("nats://") for server in self._servers)
        within = "" if done else f" within {CONNECT_LIMIT_S:g} s"
        raise ClientFailure(f"{self._name} could not connect to {where}{within}: {reason}")

    async def subscribe(self, subject: str, queue: str | None, inbox: Inbox) -> None:
        """Subscribe: every message goes into `inbox`."""
        keep, stamp, now = inbox.payloads.append, inbox.received_ns.append, monotonic_ns

        async def on_message(msg: Msg) -> None:
            stamp(now())
            keep(msg.data)

        await self._subscribe(subject, queue, on_message)

    async def respond(self, subject: str, queue: str | None, inbox: Inbox, size: int) -> None:
        """Subscribe likewise, and answer each request with its first `size` bytes."""
        keep, stamp, now = inbox.payloads.append, inbox.received_ns.append, monotonic_ns
        publish, emit = self._nc.publish, self._emit

        async def on_request(msg: Msg) -> None:
            stamp(now())
            keep(msg.data)
            if msg.reply:
                try:
                    await publish(msg.reply, msg.data[:size])
                except (errors.Error, OSError) as error:
                    emit("error", error=f"reply not sent: {type(error).__name__}: {error}")

        await self._subscribe(subject, queue, on_request)

    async def _subscribe(self, subject: str, queue: str | None, callback: Any) -> None:
        try:
            subscription = await self._nc.subscribe(
                subject, queue=queue or "", cb=callback, **self._limits
            )
        except (errors.Error, OSError) as error:
            raise ClientFailure(
                f"{self._name} could not subscribe to {subject}: {error}"
            ) from error
        self._subscriptions.append(subscription)

    async def flush(self) -> None:
        """Send what waits and hear a PONG."""
        try:
            await self._nc.flush(FLUSH_LIMIT_S)
        except (errors.Error, OSError) as error:
            raise ClientFailure(f"{self._name}: the server did not answer: {error}") from error

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """Return the reply's payload."""
        reply = await self._nc.request(subject, payload, timeout_s)
        return reply.data

    def key_value(self, store: StorePlan, timeout_s: float) -> KeyValue:
        """Return a key-value bucket."""
        from harness.load.adapters import nats_py_stores  # noqa: PLC0415 - needed by few workers

        return nats_py_stores.NatsPyKeyValue(self._nc, store, timeout_s, self.outcome_of)

    def object_store(self, store: StorePlan, timeout_s: float) -> ObjectStore:
        """Return an object store."""
        from harness.load.adapters import nats_py_stores  # noqa: PLC0415 - needed by few workers

        return nats_py_stores.NatsPyObjectStore(self._nc, store, timeout_s, self.outcome_of)

    def outcome_of(self, error: Exception) -> Outcome:
        """Return REFUSED when the message certainly was not sent, not answered or not stored."""
        refused = isinstance(error, _REFUSALS) or was_refused(error)
        return Outcome.REFUSED if refused else Outcome.UNKNOWN

    def backlog(self) -> int:
        """Return how many received messages lie in nats-py's queues; none once it gave up."""
        if self._nc.is_closed:
            return 0
        subscriptions = (*self._subscriptions, *self.streams.pushed())
        return sum(subscription.pending_msgs for subscription in subscriptions)

    async def close(self, limit_s: float) -> None:
        """Close as far as that is possible within the limit."""
        task = asyncio.ensure_future(self._nc.close())
        # wait() leaves a task that does not end alone: close() may swallow its cancellation.
        await asyncio.wait({task}, timeout=limit_s)


class NatsPy:
    """The nats-py library."""

    name = "nats-py"

    @property
    def version(self) -> str:
        """Return the installed release."""
        return metadata.version("nats-py")

    def effective_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option with nats-py's defaults filled in."""
        known = {
            name: default
            for name, default in connect_parameters().items()
            if name not in _NOT_OURS and not name.endswith("_cb")
        } | _SUBSCRIBE_OPTIONS
        for option in options:
            if option not in known:
                raise WorkerError(f"nats-py {self.version} has no client option {option!r}")
        return known | dict(options)

    def client(
        self,
        name: str,
        servers: Sequence[str],
        options: Mapping[str, Any],
        credentials: tuple[str, str] | None,
        emit: Emit,
    ) -> Client:
        """Return a client that is not yet connected."""
        return NatsPyClient(name, servers, options, credentials, emit)


ADAPTER = NatsPy()
