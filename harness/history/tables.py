"""The shapes of the columns: what is kept of every message.

The page docs/worker-protocol.md describes the file; `SENT` and `DELIVERED` are its two
tables. All times are monotonic nanoseconds, all numbers little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Outcome(IntEnum):
    """What the sender knows about a message."""

    ACCEPTED = 1  # publish returned
    ACKED = 2  # the reply or the acknowledgement came
    REFUSED = 3  # a definite error
    UNKNOWN = 4  # timed out or cut off


class Integrity(IntEnum):
    """What the payload of a delivered message says about itself."""

    INTACT = 0
    CORRUPTED = 1  # ours by its mark, but the checksum does not hold: ids are not to be trusted
    FOREIGN = 2  # not of this run


@dataclass(frozen=True)
class Table:
    """A table's number in the file and its columns: (name, numpy type) in file order."""

    number: int
    name: str
    columns: tuple[tuple[str, str], ...]


SENT = Table(
    1,
    "sent",
    (
        ("client", "<u4"),  # the sender's id in the plan
        ("sequence", "<u8"),  # 0, 1, 2, ... without gaps, per sender
        ("intended_ns", "<i8"),  # when it was due
        ("attempted_ns", "<i8"),  # when the library was called
        ("finished_ns", "<i8"),  # when it returned, raised or timed out; 0 when it never did
        ("outcome", "u1"),  # Outcome
        ("connected", "u1"),  # 1 when the library said it was connected at the attempt
    ),
)
DELIVERED = Table(
    2,
    "delivered",
    (
        ("client", "<u4"),  # the receiver's id in the plan
        ("sender", "<u4"),
        ("sequence", "<u8"),
        ("received_ns", "<i8"),
        ("integrity", "u1"),  # Integrity
    ),
)
TABLES = (SENT, DELIVERED)
