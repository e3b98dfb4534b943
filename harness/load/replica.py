"""Read all messages of one replica of a stream, by sequence, into a columns file.

A consumer with one replica reads the store of the server that it lives on. It is made anew
until it lives where it should, and read in bulk. Where it passes messages over, comes to a halt
or is one too many, single messages are asked for by their sequence: the leader answers from
its own store.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice
from typing import Any

from harness.history.columns import ColumnsWriter, RowBuffer
from harness.history.tables import STORED, Integrity
from harness.load.adapters.bulk import Batch, BulkError, bulk_line
from harness.load.adapters.nats_py_observer import Post, RequestError
from harness.load.payload import examine, intact_messages

PREFIX = "nh-audit-"
REQUEST_S = 5.0
STALL_S = 3.0
PLACINGS = 60  # consumers made until one lives where it should: of 5 replicas, one in 10^5 fails
PATIENCE = 4  # requests for a consumer that may stay without an answer
CHUNK = 2_000  # sequences that are asked for one by one where the consumer halted
AT_ONCE = 32
TOLD = 1_000  # absent sequences that are confirmed and told
NOT_FOUND = 10037  # JSNoMessageFoundErr in the server's source
FULL = 10026  # JSMaximumConsumersLimitErr: the stream may have no more of them
_NUMBERS = count(1)


@dataclass(frozen=True)
class Order:
    """What to read: see `read_replica`.

    Attributes:
        server: the server's own name, which consumers tell where they live by.
        singly: ask for every message by its sequence: the stream is changed by consumers.
        by_content: of a bucket, whose messages are not all payloads of the harness: see
            `_Reading.keep`.
        first, last: the sequences between which messages are missed, both included.
    """

    node: str
    server: str
    host: str
    port: int
    stream: str
    run: int
    columns: str
    first: int
    last: int
    clustered: bool
    singly: bool
    by_content: bool = False


@dataclass
class _Reading:
    """What was read so far; `missed` are sequences that nothing was read of."""

    writer: ColumnsWriter
    run: int
    next: int
    by_content: bool = False
    rows: int = 0
    first_seq: int = 0
    last_seq: int = 0
    missed: list[range] = field(default_factory=list)
    missed_count: int = 0

    def take(self, batch: Batch) -> None:
        """Keep messages in the order of the stream."""
        if not batch.payloads:
            return
        known = intact_messages(batch.payloads, self.run)
        if known is not None:
            columns = [known.senders, known.sequences, array("Q", batch.sequences)]
            self.writer.append_block(STORED, [*columns, bytes(len(batch.payloads))])
            self.rows += len(batch.payloads)
        else:
            for payload, sequence in zip(batch.payloads, batch.sequences, strict=True):
                self.keep(payload, sequence)
        self.first_seq = self.first_seq or batch.sequences[0]
        self.last_seq = max(self.last_seq, batch.sequences[-1])
        if batch.sequences[-1] - self.next + 1 == len(batch.sequences):
            self.next = batch.sequences[-1] + 1
            return
        for sequence in batch.sequences:
            self.miss(self.next, sequence)
            self.next = sequence + 1

    def keep(self, payload: bytes, sequence: int) -> None:
        """Keep one message, wherever it belongs.

        With `by_content`, the sender of one that is no intact payload is the CRC-32 of all of
        it, so that replicas that hold something else at a sequence are seen to differ.
        """
        header, integrity = examine(payload, self.run)
        named = integrity is Integrity.INTACT or not self.by_content
        sender = header.sender if named else zlib.crc32(payload)
        row = RowBuffer(STORED)
        row.append(sender, header.sequence, sequence, integrity)
        row.drain_to(self.writer)
        self.rows += 1
        self.first_seq = min(self.first_seq or sequence, sequence)
        self.last_seq = max(self.last_seq, sequence)

    def miss(self, first: int, end: int) -> None:
        """Note that nothing was read of the sequences from `first` to before `end`."""
        if first < end:
            self.missed_count += end - first
            self.missed.append(range(first, end))


async def read_replica(order: Order, post: Post, login: tuple[str, str] | None) -> dict[str, Any]:
    """Read what the server of `order` has, and return what was found.

    Of the sequences that nothing was read of, the first `TOLD` are asked for once more; if the
    leader has any of these, so are all others.

    Returns:
        rows, first_seq, last_seq, absent (sequences that the leader says it has not, the
        first ones), absent_count (all that nothing was read of), refused (why the first of
        those was not given), halts (where a consumer came to a halt).

    Raises:
        RequestError, BulkError: the server cannot be read; WorkerError: nor the file written.
    """
    with ColumnsWriter(order.columns) as writer:
        reading = _Reading(writer, order.run, order.first, order.by_content)
        halts: list[str] = []
        while reading.next <= order.last:
            if not order.singly:
                why = await _read_in_bulk(order, post, login, reading)
                if why is None:
                    reading.miss(reading.next, order.last + 1)
                    break
                halts.append(f"at {reading.next}: {why}")
            chunk = range(reading.next, min(order.last + 1, reading.next + CHUNK))
            await _read_singly(order, post, reading, chunk)
            reading.next = chunk.stop
        absent, refused = await _confirm(order, post, reading)
    return {
        "rows": reading.rows,
        "first_seq": reading.first_seq,
        "last_seq": reading.last_seq,
        "absent": absent,
        "absent_count": reading.missed_count,
        "refused": refused,
        "halts": halts[:10],
    }


async def _read_in_bulk(
    order: Order, post: Post, login: tuple[str, str] | None, reading: _Reading
) -> str | None:
    """Read from `reading.next` on; return why a consumer halted, None at the replica's end."""
    try:
        consumer, waiting = await _place_consumer(order, post, reading.next)
        if waiting == 0:
            return None
        async with bulk_line(order.host, order.port, login) as line:
            async for batch in line.pull(order.stream, consumer, STALL_S):
                reading.take(batch)
    except BulkError as error:
        return str(error)
    info = await _ask(post, _api("CONSUMER.INFO", order, consumer))
    await _ask(post, _api("CONSUMER.DELETE", order, consumer))
    left = int(info.get("num_pending", 0))
    if left == 0 or reading.next > order.last:
        return None
    return f"the consumer says that {left} messages wait, and gives none"


async def _place_consumer(order: Order, post: Post, start: int) -> tuple[str, int]:
    """Return a consumer that lives on the server, from `start` on, and how much waits for it."""
    lived: dict[str, int] = {}
    patience = PATIENCE
    for _ in range(PLACINGS):
        name = f"{PREFIX}{next(_NUMBERS)}"
        config = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": max(1, start),
            "ack_policy": "none",
            "replay_policy": "instant",
            "num_replicas": 1,
            "mem_storage": True,
            "inactive_threshold": 60_000_000_000,
        }
        body = {"stream_name": order.stream, "config": config}
        try:
            made = await _ask(post, _api("CONSUMER.CREATE", order, name), body)
        except RequestError:
            patience -= 1  # a server that has just taken in a flood is slow to answer
            if patience == 0:
                raise
            continue
        if (error := made.get("error")) is not None:
            why = f"no consumer on {order.stream}: {error.get('description')}"
            raise BulkError(why) if error.get("err_code") == FULL else RequestError(why)
        home = (made.get("cluster") or {}).get("leader")
        if not order.clustered or home == order.server:
            return name, int(made.get("num_pending", 0))
        lived[str(home)] = lived.get(str(home), 0) + 1
        await _ask(post, _api("CONSUMER.DELETE", order, name))
    raise RequestError(f"no consumer came to live on {order.server} in {PLACINGS} tries: {lived}")


async def _read_singly(
    order: Order, post: Post, reading: _Reading, sequences: Sequence[int]
) -> None:
    """Ask for single messages; those that are not given are missed."""
    for at in range(0, len(sequences), AT_ONCE):
        part = sequences[at : at + AT_ONCE]
        found = await asyncio.gather(*(_get(order, post, sequence) for sequence in part))
        for sequence, (payload, _) in zip(part, found, strict=True):
            if payload is None:
                reading.miss(sequence, sequence + 1)
            else:
                reading.keep(payload, sequence)


async def _confirm(order: Order, post: Post, reading: _Reading) -> tuple[list[int], str | None]:
    """Keep what the leader has after all; return what it has not, and why it gave none."""
    absent: list[int] = []
    refused: str | None = None
    passed_over = False  # then nothing that was missed is absent until it was asked for
    missed = chain.from_iterable(reading.missed)
    while (part := list(islice(missed, AT_ONCE))) and (passed_over or len(absent) < TOLD):
        found = await asyncio.gather(*(_get(order, post, sequence) for sequence in part))
        for sequence, (payload, why) in zip(part, found, strict=True):
            if payload is None:
                absent.append(sequence)
                refused = refused or why
            else:
                reading.keep(payload, sequence)
                reading.missed_count -= 1
                passed_over = True
    return absent[:TOLD], refused


async def _get(order: Order, post: Post, sequence: int) -> tuple[bytes | None, str | None]:
    """Return one message's payload, or why there is none; RequestError when nobody answers."""
    answer = await _ask(post, f"$JS.API.STREAM.MSG.GET.{order.stream}", {"seq": sequence})
    if (error := answer.get("error")) is not None:
        code = error.get("err_code")
        return None, None if code == NOT_FOUND else f"{error.get('description')} ({code})"
    try:
        return base64.b64decode(answer["message"].get("data") or ""), None
    except (KeyError, AttributeError, binascii.Error) as error:
        raise RequestError(f"message {sequence} was answered by {answer}") from error


async def _ask(post: Post, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    said = await post.request(subject, payload, REQUEST_S)
    try:
        answer = json.loads(said)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise RequestError(f"{subject} was not answered by a JSON object")
    return answer


def _api(what: str, order: Order, consumer: str) -> str:
    return f"$JS.API.{what}.{order.stream}.{consumer}"
