"""What a client library must be able to do with key-value buckets and object stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from harness.history.tables import Answer


class Entry(NamedTuple):
    """What a key holds: the body of its last message, a deletion's too, and its revision."""

    body: bytes
    revision: int


class Change(NamedTuple):
    """What a watcher is told: the key, the body of the message, its revision, and when."""

    key: str
    body: bytes
    revision: int
    received_ns: int


class DamagedObject(Exception):  # noqa: N818 - what was found, not an error of the harness
    """Say that an object was read and that its digest does not hold."""


class KeyValue(Protocol):
    """A key-value bucket (NATS docs, Key/Value Store).

    Operations raise whatever the library raises: `answer_of` says what it means.
    """

    async def make(self) -> None:
        """Make the bucket unless it is there; raise ClientFailure if it cannot be or is in use."""

    def answer_of(self, error: Exception) -> Answer:
        """Return CONFLICT or REFUSED when it certainly had no effect, UNKNOWN otherwise."""

    async def put(self, key: str, body: bytes) -> int:
        """Write, and return the revision."""

    async def update(self, key: str, body: bytes, expected: int) -> int:
        """Write if the key's last revision is that (0: it has none), and return the new one."""

    async def delete(self, key: str, body: bytes) -> int:
        """Write a deletion whose message has this body, and return its revision."""

    async def get(self, key: str, *, direct: bool) -> Entry | None:
        """Return the last message of the key, None when it has none; raise without a bucket.

        Args:
            key: which.
            direct: any replica may answer; otherwise the stream's leader does.
        """

    async def watch(self, told: Callable[[Change], None]) -> None:
        """Watch all keys from now on, and return once the watcher is there."""


class ObjectStore(Protocol):
    """An object store (NATS docs, Object Store).

    Operations raise whatever the library raises: `answer_of` says what it means.
    """

    async def make(self) -> None:
        """Make the store unless it is there; raise ClientFailure if it cannot be or is in use."""

    def answer_of(self, error: Exception) -> Answer:
        """Return REFUSED when it certainly had no effect, UNKNOWN otherwise."""

    async def put(self, name: str, body: bytes) -> None:
        """Write, all chunks and then their digest."""

    async def get(self, name: str) -> bytes | None:
        """Return the object, None when there is none; raise without a store.

        Raises:
            DamagedObject: the digest does not hold.
        """

    async def lacks(self, name: str) -> bool:
        """Tell whether the stream's leader holds less of an object than it announced."""
