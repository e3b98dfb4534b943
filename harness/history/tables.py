"""The shapes of the columns: what is kept of every message.

The page docs/worker-protocol.md describes the file; `SENT` and `DELIVERED` are the tables of
all workloads, the others those of JetStream. All times are monotonic nanoseconds, all
numbers little-endian.
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
ACKS = Table(  # one row for each message that JetStream acknowledged to its publisher
    3,
    "acks",
    (
        ("client", "<u4"),  # the publisher's id
        ("sequence", "<u8"),  # the message's, as in `SENT`
        ("stream_sequence", "<u8"),  # where the stream keeps it, by the PubAck
        ("duplicate", "u1"),  # 1 when the PubAck said that the stream had it already
        ("attempts", "<u2"),  # how often it was published until then
    ),
)
CONSUMED = Table(  # one row for each delivery by a JetStream consumer
    4,
    "consumed",
    (
        ("client", "<u4"),  # the consuming client's id
        ("sender", "<u4"),
        ("sequence", "<u8"),
        ("stream_sequence", "<u8"),  # by the server's metadata
        ("consumer_sequence", "<u8"),
        ("delivery", "<u4"),  # 1 for the first delivery, more for a redelivery, by the server
        ("received_ns", "<i8"),
        ("acked", "u1"),  # 1 when the client has sent its acknowledgement
        ("integrity", "u1"),
    ),
)
STORED = Table(  # one row for each message that an audit found in one replica of a stream
    5,
    "stored",
    (
        ("sender", "<u4"),  # in a bucket, of a message that is not INTACT: the CRC-32 of all of it
        ("sequence", "<u8"),
        ("stream_sequence", "<u8"),
        ("integrity", "u1"),
    ),
)


class Operation(IntEnum):
    """What a client of a key-value bucket or an object store asked for."""

    PUT = 1
    GET = 2
    UPDATE = 3  # with an expected revision
    DELETE = 4
    WATCH = 5  # not asked for: a watcher was told


class Answer(IntEnum):
    """What it was told."""

    DONE = 1
    ABSENT = 2  # there is no such key
    CONFLICT = 3  # the expected revision is not the last one
    REFUSED = 4  # a definite error: it had no effect
    UNKNOWN = 5  # timed out or cut off: it may have had its effect, at any time


OPERATIONS = Table(
    6,
    "operations",
    (
        ("client", "<u4"),
        ("sequence", "<u8"),  # as in `SENT`
        ("key", "<u4"),
        ("operation", "u1"),  # Operation
        ("answer", "u1"),  # Answer
        ("writer", "<u4"),  # who wrote the value that was put or got: a client's id ...
        ("written", "<u8"),  # ... and the sequence of its operation
        ("expected", "<u8"),  # the expected revision; 0 where there is none
        ("revision", "<u8"),  # of what was written or got; 0 where there is none
        ("invoked_ns", "<i8"),
        ("returned_ns", "<i8"),  # 0 when it never did
        ("integrity", "u1"),
    ),
)
TABLES = (SENT, DELIVERED, ACKS, CONSUMED, STORED, OPERATIONS)
