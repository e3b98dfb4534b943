"""JetStream through nats-py, used as its documentation has it: `publish`, `fetch`, subscriptions.

Nothing here makes up for what the library does, so that what it does shows: `fetch` with a
batch returns what is there, else waits for the whole batch or until it expires; a pull that
was on its way when the connection broke is noticed only when it expires; an ordered
consumer is made again after two missed heartbeats, by one request that is repeated only
after two more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic_ns
from typing import Any

from nats import errors
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js import errors as js_errors
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy

from harness.load.adapters.streams import (
    ClosedForGoodError,
    ConsumerGoneError,
    ConsumerState,
    StreamAck,
    StreamMessage,
)
from harness.load.plan import ORDERED, PULL, ConsumerPlan

API_LIMIT_S = 2.0
ORDERED_HEARTBEAT_S = 5.0  # nats-py's own
_UNLIMITED = 0  # of the library's queues: it never drops
_GONE = frozenset({10014, 10059})  # consumer not found, stream not found

# Errors after which the message is certainly not in the stream, by the server's err_code
# (nats-server, server/errors.json). The leader gives them before it proposes the message, or
# every replica comes to the same refusal when it applies it (server/jetstream_cluster.go,
# processClusteredInboundMsg; server/stream.go, processJetStreamMsg). Left out on purpose, for
# replicas can differ or the message may be there: 10002 and 10023 (resources, also found out
# at one replica when it applies), 10028, 10047, 10158 (this id is in process).
_NOT_STORED = frozenset(
    {
        10054,  # message size exceeds maximum allowed
        10060,  # expected stream does not match
        10070,  # wrong last msg ID
        10071,  # wrong last sequence
        10097,  # header size exceeds maximum allowed
        10109,  # invalid operation on sealed stream
        10164,  # wrong last sequence, without the number
    }
)
_STORE_FAILED = 10077  # carries the store's words: a limit, or anything such as a closed store
_LIMITS = ("maximum messages exceeded", "maximum bytes exceeded")
_PER_SUBJECT = "maximum messages per subject exceeded"


def was_refused(error: Exception) -> bool:
    """Tell whether, after this error of a publish, the stream certainly lacks the message.

    No responders: no server that was asked knew of a stream that takes the subject.
    """
    if isinstance(error, js_errors.NoStreamResponseError):
        return True
    if not isinstance(error, js_errors.APIError):
        return False
    if error.err_code == _STORE_FAILED:
        return error.description in (*_LIMITS, _PER_SUBJECT)
    return error.err_code in _NOT_STORED


class NatsPyStreams:
    """JetStream through one nats-py connection."""

    def __init__(self, connection: NatsClient) -> None:
        self._js: JetStreamContext = connection.jetstream(timeout=API_LIMIT_S)
        self._connection = connection
        self._pushed: list[PushConsumption] = []

    async def publish(
        self, subject: str, payload: bytes, timeout_s: float, message_id: str | None
    ) -> StreamAck:
        """Publish and wait for the acknowledgement."""
        headers = None if message_id is None else {"Nats-Msg-Id": message_id}
        ack = await self._js.publish(subject, payload, timeout=timeout_s, headers=headers)
        return StreamAck(ack.stream, ack.seq, bool(ack.duplicate))

    async def consume(
        self, stream: str, plan: ConsumerPlan, start: int | None = None
    ) -> PullConsumption | PushConsumption:
        """Take part in a durable consumer, or make one that begins at stream sequence `start`."""
        config = ConsumerConfig.from_response(dict(plan.config))
        if start is not None:
            config = replace(
                config, deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=start
            )
        if plan.mode == ORDERED:
            config = _ordered(config)
        if plan.mode != PULL and config.deliver_subject is None:
            config = replace(config, deliver_subject=self._connection.new_inbox())
        name = plan.name
        if not plan.durable:
            name = (await self._js.add_consumer(stream, config=config)).name
        if plan.mode == PULL:
            pulling = await self._js.pull_subscribe_bind(
                name, stream, pending_msgs_limit=_UNLIMITED, pending_bytes_limit=_UNLIMITED
            )
            return PullConsumption(pulling, name, plan.batch, plan.expires_s)
        pushed = PushConsumption(self._js, stream, plan.expires_s, ordered=plan.mode == ORDERED)
        await pushed.begin(config, name)
        self._pushed.append(pushed)
        return pushed

    def pushed(self) -> list[Subscription]:
        """Return the subscriptions whose queues hold what no callback has seen yet."""
        return [one.queued() for one in self._pushed]


def _ordered(config: ConsumerConfig) -> ConsumerConfig:
    """Return what nats-py's own `subscribe` asks for when it is told `ordered_consumer`."""
    return replace(
        config,
        name=None,
        flow_control=True,
        ack_policy=AckPolicy.NONE,
        max_deliver=1,
        ack_wait=22 * 3600,
        idle_heartbeat=config.idle_heartbeat or ORDERED_HEARTBEAT_S,
        num_replicas=1,
        mem_storage=True,
    )


class PullConsumption:
    """Pull, one request after the other."""

    def __init__(
        self,
        subscription: JetStreamContext.PullSubscription,
        name: str,
        batch: int,
        expires_s: float,
    ) -> None:
        self._subscription = subscription
        self._batch = batch
        self._expires_s = expires_s
        self.name = name

    async def next(self) -> Sequence[StreamMessage]:
        """Fetch once; a fetch that came to nothing in its time returns none."""
        try:
            fetched = await self._subscription.fetch(self._batch, self._expires_s)
        except TimeoutError:
            return ()
        except errors.ConnectionClosedError as error:
            raise ClosedForGoodError from error
        at_ns = monotonic_ns()
        return [_read(msg, at_ns) for msg in fetched]

    def take(self) -> Sequence[StreamMessage]:
        """Return none: what `fetch` has not returned was not handed over."""
        return ()

    async def state(self) -> ConsumerState:
        """Ask the server."""
        try:
            return _read_state(await self._subscription.consumer_info())
        except js_errors.APIError as error:
            raise _translated(error) from error

    async def end(self) -> None:
        """Unsubscribe."""
        await self._subscription.unsubscribe()


class PushConsumption:
    """Be pushed to; the callback keeps a message and returns."""

    def __init__(
        self, js: JetStreamContext, stream: str, expires_s: float, *, ordered: bool
    ) -> None:
        self._js = js
        self._stream = stream
        self._expires_s = expires_s
        self._ordered = ordered
        self._kept: list[tuple[Msg, int]] = []
        self._came = asyncio.Event()
        self._subscription: JetStreamContext.PushSubscription | None = None

    async def begin(self, config: ConsumerConfig, name: str) -> None:
        """Subscribe to where the consumer delivers."""

        async def keep(msg: Msg) -> None:
            self._kept.append((msg, monotonic_ns()))
            self._came.set()

        self._subscription = await self._js.subscribe_bind(
            stream=self._stream,
            config=config,
            consumer=name,
            cb=keep,
            manual_ack=True,
            ordered_consumer=self._ordered,
            pending_msgs_limit=_UNLIMITED,
            pending_bytes_limit=_UNLIMITED,
        )

    @property
    def subscription(self) -> JetStreamContext.PushSubscription:
        """Return the library's subscription."""
        assert self._subscription is not None
        return self._subscription

    @property
    def name(self) -> str:
        """Return the consumer's name on the server; of an ordered one, of the latest."""
        return str(self.subscription._consumer)  # noqa: SLF001 - nats-py tells it nowhere else

    async def next(self) -> Sequence[StreamMessage]:
        """Wait for what is pushed."""
        if not self._kept:
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), self._expires_s)
            except TimeoutError:
                if self._js._nc.is_closed:  # noqa: SLF001 - the context's own connection
                    raise ClosedForGoodError from None
        return self.take()

    def take(self) -> Sequence[StreamMessage]:
        """Return what came since the last time."""
        kept, self._kept = self._kept, []
        return [_read(msg, at_ns) for msg, at_ns in kept]

    async def state(self) -> ConsumerState:
        """Ask the server."""
        try:
            return _read_state(await self._js.consumer_info(self._stream, self.name))
        except js_errors.APIError as error:
            raise _translated(error) from error

    async def end(self) -> None:
        """Unsubscribe."""
        await self.subscription.unsubscribe()

    def queued(self) -> Subscription:
        """Return the subscription that counts what the callback has not seen yet."""
        return self.subscription._sub  # noqa: SLF001 - the copy's own counters stand still


def _translated(error: js_errors.APIError) -> Exception:
    return ConsumerGoneError(str(error)) if error.err_code in _GONE else error


def _read_state(info: ConsumerInfo) -> ConsumerState:
    delivered: Any = info.delivered
    return ConsumerState(
        pending=info.num_pending or 0,
        ack_pending=info.num_ack_pending or 0,
        delivered=0 if delivered is None else delivered.consumer_seq,
    )


def _read(msg: Msg, at_ns: int) -> StreamMessage:
    """Return a message; its numbers are 0 when no consumer can have sent it."""
    try:
        metadata = msg.metadata
    except errors.NotJSMessageError:
        return StreamMessage(msg.data, at_ns, 0, 0, 0, msg.ack)
    return StreamMessage(
        payload=msg.data,
        received_ns=at_ns,
        stream_sequence=metadata.sequence.stream,
        consumer_sequence=metadata.sequence.consumer,
        delivery=metadata.num_delivered,
        acknowledge=msg.ack,
    )
