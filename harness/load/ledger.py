"""What a worker knows about its messages, on its way to the columns file."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

from harness.history.columns import BLOCK_ROWS, ColumnsWriter, RowBuffer
from harness.history.tables import DELIVERED, SENT, Integrity, Outcome

_SUCCESSES = frozenset({Outcome.ACCEPTED, Outcome.ACKED})


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
        """Return how many rows of `delivered` were added."""
        return self._delivered_rows

    @property
    def full(self) -> bool:
        """Tell whether a whole block waits."""
        return len(self._sent) >= BLOCK_ROWS or len(self._delivered) >= BLOCK_ROWS

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

    def flush(self) -> None:
        """Write what waits; WorkerError when the file cannot be written."""
        self._sent.drain_to(self._writer)
        self._delivered.drain_to(self._writer)

    def finish(self) -> dict[str, int]:
        """Write what waits and the end block; return the rows per table."""
        self.flush()
        return self._writer.finish()
