"""What a client library must be able to do to carry a workload on JetStream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.load.plan import ConsumerPlan


class ConsumerGoneError(Exception):
    """Say that, by the server's own word, there is no such consumer or no such stream."""


class ClosedForGoodError(Exception):
    """Say that the connection will never come back by itself."""


@dataclass(frozen=True, slots=True)
class StreamAck:
    """An acknowledgement of a publish (PubAck), as the server said it."""

    stream: str
    sequence: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A delivery by a consumer; the numbers are the server's.

    Attributes:
        delivery: 1 for the first delivery of the message, more for a redelivery.
        acknowledge: sends the acknowledgement, without waiting for an answer.
    """

    payload: bytes
    received_ns: int
    stream_sequence: int
    consumer_sequence: int
    delivery: int
    acknowledge: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """What a consumer's leader says of it.

    Attributes:
        pending: messages of the stream that it has not delivered yet.
        ack_pending: messages that it delivered and whose acknowledgement it lacks.
        delivered: its sequence number of the last delivery.
    """

    pending: int
    ack_pending: int
    delivered: int


class Consumption(Protocol):
    """A client's part in a consumer."""

    @property
    def name(self) -> str:
        """Return the consumer's name on the server."""

    async def next(self) -> Sequence[StreamMessage]:
        """Wait for messages, for a second or so; return none when none came.

        Raises:
            ClosedForGoodError: there will be no more.
        """

    def take(self) -> Sequence[StreamMessage]:
        """Return what the library has handed over and `next` has not returned yet."""

    async def state(self) -> ConsumerState:
        """Ask the server.

        Raises:
            ConsumerGoneError: there is no such consumer; what else the library raises says
                nothing about that.
        """

    async def end(self) -> None:
        """Hear no more of it."""


class Streams(Protocol):
    """JetStream through one connection; it raises whatever the library raises."""

    async def publish(
        self, subject: str, payload: bytes, timeout_s: float, message_id: str | None
    ) -> StreamAck:
        """Publish and wait for the acknowledgement; `Client.outcome_of` knows the errors."""

    async def consume(
        self, stream: str, plan: ConsumerPlan, start: int | None = None
    ) -> Consumption:
        """Take part in a durable consumer, or make one that begins at stream sequence `start`."""
