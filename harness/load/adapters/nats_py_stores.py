"""Key-value buckets and object stores of nats-py.

Writes go through JetStream's publish rather than the library's `KeyValue.put`, as that
tells no revision of a deletion; messages, subjects and headers are the same (NATS docs,
ADR-8). Watching and objects are the library's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic_ns
from typing import Any, TypeVar

from nats import errors
from nats.aio.client import Client as NatsClient
from nats.js import api
from nats.js import errors as js_errors
from nats.js.kv import KeyValue
from nats.js.object_store import ObjectStore

from harness.history.tables import Answer, Outcome
from harness.load.adapters.base import ClientFailure
from harness.load.adapters.stores import Change, DamagedObject, Entry
from harness.load.stores import CHUNK_BYTES, StorePlan

MAKE_LIMIT_S = 20.0
_AGAIN_S = 0.1
_OPERATION = "KV-Operation"
# JSStreamWrongLastSequenceErrF and JSStreamWrongLastSequenceConstantErr.
_CONFLICTS = frozenset({10071, 10164})
_NO_STREAM = 10059  # JSStreamNotFoundErr: the bucket itself is not there
# JSClusterNotAvailErr, JSClusterNotLeaderErr: said before anything is proposed.
_UNAVAILABLE = frozenset({10008, 10009})
_BAD_REQUESTS = range(400, 500)

_NOT_READY = (js_errors.ServiceUnavailableError, js_errors.NotFoundError, errors.TimeoutError)

T = TypeVar("T")
OutcomeOf = Callable[[Exception], Outcome]


class _NatsPyStore:
    """What both kinds of stores share: their stream, and what its errors mean.

    An answer with a code of 400 and on says that the stream took nothing; one of 500 and
    on may come from a leader that had proposed the message already, and leaves it open.
    """

    def __init__(
        self, nc: NatsClient, plan: StorePlan, timeout_s: float, outcome_of: OutcomeOf
    ) -> None:
        self._plan = plan
        self._nc = nc
        self._js = nc.jetstream(timeout=timeout_s)
        self._timeout_s = timeout_s
        self._outcome_of = outcome_of

    def answer_of(self, error: Exception) -> Answer:
        """Return what an error says about the effect of an operation."""
        if isinstance(error, js_errors.NoStreamResponseError):
            return Answer.REFUSED
        if isinstance(error, js_errors.APIError):
            if error.err_code in _CONFLICTS:
                return Answer.CONFLICT
            definite = error.err_code in _UNAVAILABLE or error.code in _BAD_REQUESTS
            return Answer.REFUSED if definite else Answer.UNKNOWN
        refused = self._outcome_of(error) is Outcome.REFUSED
        return Answer.REFUSED if refused else Answer.UNKNOWN

    async def _make(self, config: api.StreamConfig) -> None:
        """Make the stream, as soon as there is who can."""
        info = await self._patiently("made", lambda: self._js.add_stream(config))
        if held := info.state.messages:
            raise ClientFailure(
                f"bucket {self._plan.bucket} holds {held} message(s) already: delete it or name "
                "another, since what is in it cannot be accounted for"
            )

    async def _patiently(self, done: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do what servers that have just started may not be ready for; raise ClientFailure.

        A server that has not heard of a stream yet says that there is none.
        """
        complaint: Exception | None = None
        bucket = self._plan.bucket
        try:
            async with asyncio.timeout(MAKE_LIMIT_S):
                while True:
                    try:
                        return await work()
                    except _NOT_READY as error:
                        complaint = error
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError:
            raise ClientFailure(
                f"bucket {bucket} could not be {done} within {MAKE_LIMIT_S:g} s: "
                f"{complaint or 'no answer'}"
            ) from None
        except js_errors.APIError as error:
            raise ClientFailure(f"bucket {bucket} cannot be {done}: {error.description}") from error


class NatsPyKeyValue(_NatsPyStore):
    """A key-value bucket."""

    async def make(self) -> None:
        """Make the bucket with the settings of the library's `create_key_value`."""
        plan = self._plan
        await self._make(
            api.StreamConfig(
                name=f"KV_{plan.bucket}",
                subjects=[f"$KV.{plan.bucket}.>"],
                allow_direct=plan.direct,
                allow_rollup_hdrs=True,
                deny_delete=True,
                discard=api.DiscardPolicy.NEW,
                duplicate_window=120,
                max_msgs_per_subject=plan.history,
                num_replicas=plan.replicas,
                storage=api.StorageType(plan.storage),
            )
        )

    async def put(self, key: str, body: bytes) -> int:
        """Write, and return the revision."""
        return await self._write(key, body)

    async def update(self, key: str, body: bytes, expected: int) -> int:
        """Write if the key's last revision is that, and return the new one."""
        header = {str(api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value): str(expected)}
        return await self._write(key, body, header)

    async def delete(self, key: str, body: bytes) -> int:
        """Write a deletion, and return its revision."""
        return await self._write(key, body, {_OPERATION: "DEL"})

    async def get(self, key: str, *, direct: bool) -> Entry | None:
        """Return the last message of the key, None when it has none."""
        try:
            found = await self._js.get_msg(
                f"KV_{self._plan.bucket}", subject=self._subject(key), direct=direct
            )
        except js_errors.NotFoundError as error:
            _raise_without_stream(error)
            return None
        return Entry(found.data or b"", found.seq or 0)

    async def watch(self, told: Callable[[Change], None]) -> None:
        """Watch all keys with the library's own watcher."""

        async def begin() -> KeyValue.KeyWatcher:
            bucket = await self._js.key_value(self._plan.bucket)
            return await bucket.watchall()

        watcher = await self._patiently("watched", begin)

        async def listen() -> None:
            async for entry in watcher:
                if entry is not None:  # None: all that was there before has been told
                    told(Change(entry.key, entry.value or b"", entry.revision, monotonic_ns()))

        self._listening = asyncio.create_task(listen())

    async def _write(self, key: str, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        told = await self._js.publish(
            self._subject(key), body, headers=None if headers is None else dict(headers)
        )
        return int(told.seq)

    def _subject(self, key: str) -> str:
        return f"$KV.{self._plan.bucket}.{key}"


class NatsPyObjectStore(_NatsPyStore):
    """An object store."""

    async def make(self) -> None:
        """Make the store with the settings of the library's `create_object_store`."""
        bucket = self._plan.bucket
        await self._make(
            api.StreamConfig(
                name=f"OBJ_{bucket}",
                subjects=[f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"],
                storage=api.StorageType(self._plan.storage),
                num_replicas=self._plan.replicas,
                discard=api.DiscardPolicy.NEW,
                allow_rollup_hdrs=True,
                allow_direct=True,
            )
        )

    async def put(self, name: str, body: bytes) -> None:
        """Write with the library's own put; it takes back the chunks of one that fails."""
        store = self._store()
        options = api.ObjectMetaOptions(max_chunk_size=CHUNK_BYTES)
        await self._within(store.put(name, body, api.ObjectMeta(name=name, options=options)))

    async def get(self, name: str) -> bytes | None:
        """Return the object with the library's own get, which waits for ever for a chunk."""
        store = self._store()
        try:
            found = await self._within(store.get(name))
        except js_errors.NotFoundError as error:
            _raise_without_stream(error)
            return None
        except js_errors.DigestMismatchError as error:
            raise DamagedObject(name) from error
        return bytes(found.data or b"")

    async def lacks(self, name: str) -> bool:
        """Tell whether the leader holds fewer chunks than announced, or no announcement."""
        store = self._store()
        try:
            info = await store.get_info(name)
        except js_errors.NotFoundError as error:
            _raise_without_stream(error)
            return True
        chunks = f"$O.{self._plan.bucket}.C.{info.nuid}"
        shown = await self._js.stream_info(f"OBJ_{self._plan.bucket}", subjects_filter=chunks)
        held: Mapping[str, int] = shown.state.subjects or {}
        return held.get(chunks, 0) < (info.chunks or 0)

    def _store(self) -> ObjectStore:
        """Return the library's store without asking the servers whether it is there."""
        return ObjectStore(self._plan.bucket, f"OBJ_{self._plan.bucket}", self._js)

    async def _within(self, work: Awaitable[Any]) -> Any:
        """Bound what the library does in several steps, each with a time-out of its own."""
        async with asyncio.timeout(self._timeout_s):
            return await work


def _raise_without_stream(error: js_errors.NotFoundError) -> None:
    """Raise what the server said where that was that there is no such stream.

    Nothing is known of a key or an object then. The library's own errors about objects say
    less than the one that they were raised for.
    """
    for told in (error, error.__context__):
        if isinstance(told, js_errors.NotFoundError) and told.err_code == _NO_STREAM:
            raise told
