"""What a worker knows about its messages, on its way to the columns file."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.history.columns import BLOCK_ROWS, ColumnsWriter, RowBuffer
from harness.history.tables import (
    ACKS,
    CONSUMED,
    DELIVERED,
    OPERATIONS,
    SENT,
    Answer,
    Integrity,
    Operation,
    Outcome,
)

_SUCCESSES = frozenset({Outcome.ACCEPTED, Outcome.ACKED})


class OperationRow(NamedTuple):
    """A row of `OPERATIONS`, its values in the table's order."""

    client: int
    sequence: int
    key: int
    operation: Operation
    answer: Answer
    writer: int
    written: int
    expected: int
    revision: int
    invoked_ns: int
    returned_ns: int
    integrity: Integrity


class Ledger:
    """Gather rows of all clients of a worker and write them in blocks.

    Attributes:
        accepted: rows so far whose publish returned or whose request was answered.
        refused: rows so far with a definite error.
    """

    def __init__(self, path: str) -> None:
        self._writer = ColumnsWriter(path)
        self._sent = RowBuffer(SENT)
        self._delivered = RowBuffer(DELIVERED)
        self._acks = RowBuffer(ACKS)
        self._consumed = RowBuffer(CONSUMED)
        self._operations = RowBuffer(OPERATIONS)
        self._buffers = (
            self._sent,
            self._delivered,
            self._acks,
            self._consumed,
            self._operations,
        )
        self.accepted = 0
        self.refused = 0
        self._sent_rows = 0
        self._delivered_rows = 0

    @property
    def attempted(self) -> int:
        """Return how many rows of `sent` were added."""
        return self._sent_rows

    @property
    def delivered(self) -> int:
        """Return how many rows of `delivered` and `consumed` were added."""
        return self._delivered_rows

    @property
    def full(self) -> bool:
        """Tell whether a whole block waits."""
        return any(len(buffer) >= BLOCK_ROWS for buffer in self._buffers)

    def add_sent(
        self,
        client: int,
        *,
        first: int,
        intended_ns: Sequence[int],
        begun_ns: int,
        finished_ns: Sequence[int],
        exceptions: Mapping[int, Outcome],
        connected: int,
    ) -> None:
        """Add a run of messages, `first` and on, each attempted when the one before ended.

        The first was attempted at `begun_ns`; all were accepted but for `exceptions`, by index.
        """
        rows = len(finished_ns)
        finished = array("q", finished_ns)
        attempted = array("q", [begun_ns]) + finished[:-1]
        outcomes = bytearray([Outcome.ACCEPTED]) * rows
        for index, outcome in exceptions.items():
            outcomes[index] = outcome
        self._sent.extend(
            array("I", [client]) * rows,
            array("Q", range(first, first + rows)),
            array("q", intended_ns),
            attempted,
            finished,
            bytes(outcomes),
            bytes([connected]) * rows,
        )
        self._sent_rows += rows
        self.accepted += rows - len(exceptions)
        self.refused += sum(outcome is Outcome.REFUSED for outcome in exceptions.values())

    def add_attempt(
        self,
        client: int,
        *,
        sequence: int,
        intended_ns: int,
        attempted_ns: int,
        finished_ns: int,
        outcome: Outcome,
        connected: int,
    ) -> None:
        """Add one message."""
        self._sent.append(
            client, sequence, intended_ns, attempted_ns, finished_ns, outcome, connected
        )
        self._sent_rows += 1
        self.accepted += outcome in _SUCCESSES
        self.refused += outcome is Outcome.REFUSED

    def add_delivered(
        self,
        client: int,
        senders: Sequence[int],
        sequences: Sequence[int],
        received_ns: Sequence[int],
    ) -> None:
        """Add intact messages as they came."""
        rows = len(received_ns)
        self._delivered.extend(
            array("I", [client]) * rows, senders, sequences, received_ns, bytes(rows)
        )
        self._delivered_rows += rows

    def add_delivery(
        self, client: int, sender: int, sequence: int, received_ns: int, integrity: Integrity
    ) -> None:
        """Add one message as it came."""
        self._delivered.append(client, sender, sequence, received_ns, integrity)
        self._delivered_rows += 1

    def add_ack(
        self, client: int, sequence: int, stream_sequence: int, *, duplicate: bool, attempts: int
    ) -> None:
        """Add what JetStream said of a message that it acknowledged."""
        self._acks.append(client, sequence, stream_sequence, duplicate, attempts)

    def add_consumed(
        self,
        client: int,
        *,
        sender: int,
        sequence: int,
        stream_sequence: int,
        consumer_sequence: int,
        delivery: int,
        received_ns: int,
        acked: bool,
        integrity: Integrity,
    ) -> None:
        """Add one delivery by a consumer."""
        self._consumed.append(
            client,
            sender,
            sequence,
            stream_sequence,
            consumer_sequence,
            delivery,
            received_ns,
            acked,
            integrity,
        )
        self._delivered_rows += 1

    def add_operation(self, row: OperationRow) -> None:
        """Add one operation on a bucket, or what a watcher was told."""
        self._operations.append(*row)

    def flush(self) -> None:
        """Write what waits; WorkerError when the file cannot be written."""
        for buffer in self._buffers:
            buffer.drain_to(self._writer)

    def finish(self) -> dict[str, int]:
        """Write what waits and the end block; return the rows per table."""
        self.flush()
        return self._writer.finish()
