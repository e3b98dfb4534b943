"""Payload headers: who sent what, and whether it is intact."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.tables import Integrity
from harness.load.payload import (
    HEADER_BYTES,
    NO_SEQUENCE,
    Kind,
    PayloadMaker,
    examine,
    intact_messages,
)

RUN = 0xCAFE
SIZES = st.integers(HEADER_BYTES, 300)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    SIZES,
    st.integers(0, NO_SEQUENCE - 5),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4),
)
def test_a_payload_says_what_was_put_into_it(run, sender, size, first, intended_ns) -> None:
    payloads = PayloadMaker(run, sender, size).batch(first, intended_ns)
    for index, payload in enumerate(payloads):
        assert len(payload) == size
        header, integrity = examine(payload, run)
        assert integrity is Integrity.INTACT
        assert header == (Kind.MESSAGE, run, sender, first + index, intended_ns[index])
    found = intact_messages(payloads, run)
    assert found is not None
    assert list(found.senders) == [sender] * len(payloads)
    assert list(found.sequences) == list(range(first, first + len(payloads)))


def test_the_header_is_laid_out_as_the_protocol_page_says() -> None:
    (payload,) = PayloadMaker(RUN, 7, 40).batch(5, [99])
    mark, kind, crc, run, sender, sequence, intended_ns = struct.unpack("<3sBIIIQq", payload[:32])
    assert (mark, kind, run, sender, sequence, intended_ns) == (b"NH1", 0, RUN, 7, 5, 99)
    assert crc == zlib.crc32(payload[8:])


@given(SIZES, st.data())
def test_no_flipped_bit_leaves_a_message_looking_intact(size, data) -> None:
    (payload,) = PayloadMaker(RUN, 3, size).batch(9, [10])
    bit = data.draw(st.integers(0, 8 * size - 1))
    damaged = bytearray(payload)
    damaged[bit // 8] ^= 1 << bit % 8
    _, integrity = examine(bytes(damaged), RUN)
    assert integrity is (Integrity.FOREIGN if bit < 24 else Integrity.CORRUPTED)
    assert intact_messages([payload, bytes(damaged)], RUN) is None


@given(SIZES, st.data())
def test_no_message_cut_short_looks_intact(size, data) -> None:
    (payload,) = PayloadMaker(RUN, 3, size).batch(9, [10])
    cut = payload[: data.draw(st.integers(0, size - 1))]
    _, integrity = examine(cut, RUN)
    assert integrity is not Integrity.INTACT
    assert intact_messages([cut], RUN) is None
    assert intact_messages([payload, cut], RUN) is None


@given(st.binary(max_size=80))
def test_any_bytes_can_be_examined(data) -> None:
    _, integrity = examine(data, RUN)
    assert integrity is not Integrity.INTACT
    assert intact_messages([data], RUN) is None


def test_a_message_of_another_run_is_foreign() -> None:
    (payload,) = PayloadMaker(RUN + 1, 3, 64).batch(0, [0])
    assert examine(payload, RUN)[1] is Integrity.FOREIGN
    assert intact_messages([payload], RUN) is None


@pytest.mark.parametrize("kind", [Kind.PROBE, Kind.END_MARKER])
def test_probes_and_end_markers_are_intact_but_no_messages(kind: Kind) -> None:
    payload = PayloadMaker(RUN, 3, 64).control(kind)
    header, integrity = examine(payload, RUN)
    assert integrity is Integrity.INTACT
    assert (header.kind, header.sender) == (kind, 3)
    assert len(payload) == HEADER_BYTES
    assert intact_messages([payload], RUN) is None


def test_a_payload_smaller_than_its_header_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes, asked for 31"):
        PayloadMaker(RUN, 0, 31)


def test_an_empty_batch_is_no_batch_of_intact_messages() -> None:
    assert intact_messages([], RUN) is None


def test_texts_follow_the_header_each_in_its_message() -> None:
    texts = ["first", "zweite \u00e9", "again", "again"]
    maker = PayloadMaker(RUN, 7, 32, [text.encode() for text in texts])
    payloads = [*maker.batch(0, [1, 2]), *maker.batch(2, [3, 4])]
    assert [one[HEADER_BYTES:].decode() for one in payloads] == texts
    for sequence, payload in enumerate(payloads):
        header, integrity = examine(payload, RUN)
        assert (header.sequence, integrity) == (sequence, Integrity.INTACT)
    assert len(maker.control(Kind.PROBE)) == HEADER_BYTES
