"""What a client library must be able to do to carry a workload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.history.tables import Outcome
from harness.load.adapters.stores import KeyValue, ObjectStore
from harness.load.adapters.streams import Streams
from harness.load.stores import StorePlan


@dataclass(slots=True)
class Inbox:
    """Messages as the library handed them over: payloads and when, index by index.

    The library's callback appends to both and returns; whoever reads takes all of it.
    """

    payloads: list[bytes] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)

    def take(self) -> tuple[list[bytes], list[int]]:
        """Return what has come so far and forget it."""
        payloads, received_ns = self.payloads[:], self.received_ns[:]
        del self.payloads[: len(payloads)]
        del self.received_ns[: len(received_ns)]
        return payloads, received_ns


class Emit(Protocol):
    """Tell that something happened to a client; it must return at once."""

    def __call__(self, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        """Tell it; `at_ns` is now unless it is given."""


class ClientFailure(Exception):  # noqa: N818 - a failure to connect, not an error of the harness
    """Say that a client cannot be set up as planned: one line for a person."""


class Client(Protocol):
    """One connection of a client library.

    Events go to `Emit` with the kinds of docs/worker-protocol.md. Publishing and
    requesting raise whatever the library raises: `outcome_of` says what it means.
    """

    @property
    def publish(self) -> Callable[[str, bytes], Awaitable[None]]:
        """Return the library's own publish (subject, payload): nothing stands in between."""

    @property
    def connected(self) -> Callable[[], bool]:
        """Return what asks the library whether it is connected."""

    @property
    def streams(self) -> Streams:
        """Return JetStream through this connection."""

    async def connect(self) -> None:
        """Connect; raise ClientFailure when that is hopeless or takes too long."""

    async def subscribe(self, subject: str, queue: str | None, inbox: Inbox) -> None:
        """Subscribe: every message goes into `inbox`."""

    async def respond(self, subject: str, queue: str | None, inbox: Inbox, size: int) -> None:
        """Subscribe likewise, and answer each request with its first `size` bytes."""

    async def flush(self) -> None:
        """Send what waits and hear from the server, within a bound; raise ClientFailure."""

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """Return the reply's payload."""

    def key_value(self, store: StorePlan, timeout_s: float) -> KeyValue:
        """Return a key-value bucket, each of whose operations ends within the time-out."""

    def object_store(self, store: StorePlan, timeout_s: float) -> ObjectStore:
        """Return an object store, likewise."""

    def outcome_of(self, error: Exception) -> Outcome:
        """Return REFUSED when the message certainly was not sent or not stored, else UNKNOWN."""

    def backlog(self) -> int:
        """Return how many received messages lie in the library's queues."""

    async def close(self, limit_s: float) -> None:
        """Close as far as that is possible within the limit."""


class Adapter(Protocol):
    """A client library."""

    @property
    def name(self) -> str:
        """Return the name a scenario uses."""

    @property
    def version(self) -> str:
        """Return the library's release."""

    def effective_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options with the library's defaults filled in, without secrets.

        Raises:
            WorkerError: the library does not know an option.
        """

    def client(
        self,
        name: str,
        servers: Sequence[str],
        options: Mapping[str, Any],
        credentials: tuple[str, str] | None,
        emit: Emit,
    ) -> Client:
        """Return a client that is not yet connected."""
