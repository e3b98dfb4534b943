"""The 32 bytes that begin every payload: who sent it, which one it is, whether it is intact.

See docs/worker-protocol.md, Payload. No numpy: workers build and check these.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from harness.history.tables import Integrity

HEADER_BYTES = 32
MARK = b"NH1"
NO_SEQUENCE = 2**64 - 1  # what probes and end markers carry
_CHECKED_FROM = 8
_START = struct.Struct("<3sBI")
_IDENTITY = struct.Struct("<IIQq")
HEADER = struct.Struct("<3sBIIIQq")
_FILLER = bytes(range(32, 127))


class Kind(IntEnum):
    """What a payload is for."""

    MESSAGE = 0
    PROBE = 1
    END_MARKER = 2


class Header(NamedTuple):
    """A payload's header as it was read; not to be trusted unless the payload is intact."""

    kind: int
    run: int
    sender: int
    sequence: int
    intended_ns: int


_MESSAGE_MARK = array("I", [int.from_bytes(MARK + bytes([Kind.MESSAGE]), "little")])


class PayloadMaker:
    """Build the payloads of one sender; `size` in bytes, at least 32.

    With `texts` message k has the k-th of them as its filler, whatever its size.
    """

    def __init__(self, run: int, sender: int, size: int, texts: Sequence[bytes] = ()) -> None:
        if size < HEADER_BYTES:
            raise ValueError(f"a payload has at least {HEADER_BYTES} bytes, asked for {size}")
        self._run = run
        self._sender = sender
        repeats = size // len(_FILLER) + 1
        self._filler = (_FILLER * repeats)[: size - HEADER_BYTES]
        self._texts = texts

    def batch(self, first: int, intended_ns: Sequence[int]) -> list[bytes]:
        """Return the payloads of the messages `first`, `first` + 1, ..., one per intended time."""
        crc32, identity, start = zlib.crc32, _IDENTITY.pack, _START.pack
        run, sender, filler = self._run, self._sender, self._filler
        if self._texts:
            rests = [
                identity(run, sender, sequence, due_ns) + self._texts[sequence]
                for sequence, due_ns in enumerate(intended_ns, first)
            ]
        else:
            rests = [
                identity(run, sender, sequence, due_ns) + filler
                for sequence, due_ns in enumerate(intended_ns, first)
            ]
        return [start(MARK, Kind.MESSAGE, crc32(rest)) + rest for rest in rests]

    def control(self, kind: Kind) -> bytes:
        """Return a probe or an end marker: 32 bytes that carry no sequence."""
        rest = _IDENTITY.pack(self._run, self._sender, NO_SEQUENCE, 0)
        return _START.pack(MARK, kind, zlib.crc32(rest)) + rest


def examine(payload: bytes, run: int) -> tuple[Header, Integrity]:
    """Return a payload's header and what it says about the payload.

    A payload that begins with the mark but whose checksum or kind does not hold is
    CORRUPTED; one without the mark, or of another run, is FOREIGN. What is too short to
    hold a field reads as zero.
    """
    mark, kind, crc, run_, sender, sequence, intended_ns = HEADER.unpack(
        payload[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0")
    )
    header = Header(kind, run_, sender, sequence, intended_ns)
    if mark != MARK:
        return header, Integrity.FOREIGN
    if len(payload) < HEADER_BYTES or zlib.crc32(payload[_CHECKED_FROM:]) != crc:
        return header, Integrity.CORRUPTED
    if run_ != run:
        return header, Integrity.FOREIGN
    # The kind lies outside the checksum: a message whose kind was hit must not pass as a probe.
    if kind > Kind.END_MARKER or (kind != Kind.MESSAGE) != (sequence == NO_SEQUENCE):
        return header, Integrity.CORRUPTED
    return header, Integrity.INTACT


class Identities(NamedTuple):
    """Senders and sequences of a batch of intact messages, in order."""

    senders: array[int]
    sequences: array[int]


def intact_messages(payloads: Sequence[bytes], run: int) -> Identities | None:
    """Return whose messages these are, or None unless all are intact messages of `run`.

    The common case, decided in bulk: a few calls a batch instead of many a message.
    """
    count = len(payloads)
    heads = b"".join([payload[:HEADER_BYTES] for payload in payloads])
    if len(heads) != HEADER_BYTES * count or not count:
        return None
    words, quads = array("I", heads), array("Q", heads)
    if sys.byteorder == "big":
        words.byteswap()
        quads.byteswap()
    crc32 = zlib.crc32
    crcs = array("I", [crc32(payload[_CHECKED_FROM:]) for payload in payloads])
    sequences = quads[2::4]
    if (
        words[0::8] != _MESSAGE_MARK * count
        or words[1::8] != crcs
        or words[2::8] != array("I", [run]) * count
        or NO_SEQUENCE in sequences
    ):
        return None
    return Identities(words[3::8], sequences)
