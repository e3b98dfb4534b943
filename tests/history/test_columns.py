"""The columns file: what goes in comes out, and nothing else ever does."""

from __future__ import annotations

import errno
import os
import resource
import struct
import subprocess
import sys
import zlib
from array import array
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import WorkerError
from harness.history.columns import (
    BLOCK_ROWS,
    MAGIC,
    Columns,
    ColumnsWriter,
    RowBuffer,
    read_columns,
)
from harness.history.tables import ACKS, DELIVERED, SENT, STORED, TABLES, Table

LIMITS = {
    "<u2": (0, 2**16 - 1),
    "<u4": (0, 2**32 - 1),
    "<u8": (0, 2**64 - 1),
    "<i8": (-(2**63), 2**63 - 1),
    "u1": (0, 255),
}


Blocks = list[tuple[Table, list[tuple[int, ...]]]]


def rows_of(table: Table) -> st.SearchStrategy[list[tuple[int, ...]]]:
    row = st.tuples(*(st.integers(*LIMITS[kind]) for _, kind in table.columns))
    return st.lists(row, max_size=8)


BLOCKS = st.lists(
    st.one_of(*(st.tuples(st.just(table), rows_of(table)) for table in TABLES)), max_size=5
)


def write(path: Path, blocks: Blocks) -> None:
    with ColumnsWriter(path) as writer:
        for table, rows in blocks:
            buffer = RowBuffer(table)
            for row in rows:
                buffer.append(*row)
            buffer.drain_to(writer)


def rows_in(columns: dict[str, np.ndarray]) -> list[tuple[int, ...]]:
    return list(zip(*(values.tolist() for values in columns.values()), strict=True))


def expected(blocks: Blocks, table: Table) -> list[tuple]:
    return [row for wanted, rows in blocks if wanted is table for row in rows]


def is_prefix(found: Columns, blocks: Blocks) -> bool:
    return all(
        (rows := rows_in(found.tables[table.name])) == expected(blocks, table)[: len(rows)]
        for table in TABLES
    )


def sample(path: Path) -> Blocks:
    blocks: Blocks = [
        (SENT, [(1, k, 10 * k, 10 * k + 1, 10 * k + 2, 1, 1) for k in range(3)]),
        (DELIVERED, [(2, 1, k, 10 * k + 3, 0) for k in range(2)]),
        (SENT, [(1, 3, 30, 31, 0, 4, 0)]),
        (ACKS, [(1, k, 7 + k, 0, 1) for k in range(3)]),
        (STORED, [(1, 2, 9, 0)]),
    ]
    write(path, blocks)
    return blocks


@settings(max_examples=150, deadline=None)
@given(BLOCKS)
def test_rows_come_out_as_they_went_in(tmp_path_factory: pytest.TempPathFactory, blocks) -> None:
    path = tmp_path_factory.mktemp("columns") / "w.columns"
    write(path, blocks)
    found = read_columns(path)
    assert found.complete
    assert found.problem is None
    for table in TABLES:
        assert rows_in(found.tables[table.name]) == expected(blocks, table)


def test_columns_have_the_types_of_the_tables_even_when_empty(tmp_path: Path) -> None:
    write(tmp_path / "w", [])
    found = read_columns(tmp_path / "w")
    assert {name: values.dtype.str for name, values in found.sent.items()} == {
        name: np.dtype(kind).str for name, kind in SENT.columns
    }


def test_a_file_cut_at_any_byte_is_incomplete_and_holds_no_wrong_row(tmp_path: Path) -> None:
    path = tmp_path / "w"
    blocks = sample(path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        found = read_columns(path)
        assert not found.complete, length
        assert found.problem, length
        assert is_prefix(found, blocks), length


def test_any_byte_flipped_makes_the_file_incomplete_and_no_row_wrong(tmp_path: Path) -> None:
    path = tmp_path / "w"
    blocks = sample(path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for mask in (0x01, 0x03, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[at] ^= mask
            path.write_bytes(damaged)
            found = read_columns(path)
            assert not found.complete, (at, mask)
            assert is_prefix(found, blocks), (at, mask)


def test_bytes_after_the_end_block_make_the_file_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "w"
    blocks = sample(path)
    path.write_bytes(path.read_bytes() + b"\0")
    found = read_columns(path)
    assert not found.complete
    assert is_prefix(found, blocks)


def test_a_whole_block_taken_out_makes_the_file_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "w"
    sample(path)
    whole = path.read_bytes()
    second = whole.index(b"NHB1", len(MAGIC) + 4)
    path.write_bytes(MAGIC + whole[second:])
    found = read_columns(path)
    assert not found.complete
    assert "end block says" in (found.problem or "")


def test_an_end_block_of_two_rows_makes_the_file_incomplete(tmp_path: Path) -> None:
    body = bytes(32)
    header = struct.pack("<4sHHIII", b"NHB1", 0, 0, 2, len(body), zlib.crc32(body))
    (tmp_path / "w").write_bytes(MAGIC + header + body)
    assert not read_columns(tmp_path / "w").complete


def test_a_file_left_by_an_exception_has_its_rows_but_is_incomplete(tmp_path: Path) -> None:
    buffer = RowBuffer(DELIVERED)
    buffer.append(1, 2, 3, 4, 0)
    with pytest.raises(KeyError), ColumnsWriter(tmp_path / "w") as writer:  # noqa: PT012 - both
        buffer.drain_to(writer)
        raise KeyError
    found = read_columns(tmp_path / "w")
    assert rows_in(found.delivered) == [(1, 2, 3, 4, 0)]
    assert not found.complete


def test_many_rows_go_out_in_blocks_of_the_documented_size(tmp_path: Path) -> None:
    rows = 2 * BLOCK_ROWS + 5
    buffer = RowBuffer(DELIVERED)
    buffer.extend(
        array("I", [7]) * rows, [1] * rows, range(rows), array("q", range(rows)), bytes(rows)
    )
    with ColumnsWriter(tmp_path / "w") as writer:
        buffer.drain_to(writer)
        assert writer.rows == {"sent": 0, "delivered": rows}
    assert len(buffer) == 0
    assert (tmp_path / "w").read_bytes().count(b"NHB1") == 4  # three blocks and the end
    found = read_columns(tmp_path / "w")
    assert found.delivered["sequence"].tolist() == list(range(rows))


def test_columns_of_unequal_length_are_refused(tmp_path: Path) -> None:
    with ColumnsWriter(tmp_path / "w") as writer, pytest.raises(ValueError, match="shape"):
        writer.append_block(
            DELIVERED, [array("I", [1]), array("I", [1]), array("Q"), array("q", [1]), b"\0"]
        )


def test_a_path_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"cannot write the message columns .*: No such file"):
        ColumnsWriter(tmp_path / "missing" / "w")


def test_a_path_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"cannot read the message columns .*: No such file"):
        read_columns(tmp_path / "missing")


def test_a_disk_that_is_full_is_one_clear_error_and_leaves_sound_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, room = os.write, [200]

    def write_until_full(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, bytes(data[: room[0]]))
        room[0] -= written
        return written

    writer = ColumnsWriter(tmp_path / "w")
    monkeypatch.setattr(os, "write", write_until_full)
    buffer = RowBuffer(DELIVERED)
    with pytest.raises(WorkerError, match="No space left on device"):  # noqa: PT012 - until full
        while True:
            buffer.append(1, 2, 3, 4, 0)
            buffer.drain_to(writer)
    monkeypatch.undo()
    with pytest.raises(WorkerError):
        writer.append_block(DELIVERED, [array("I", [1])] * 2 + [array("Q", [1])] * 2 + [b"\0"])
    writer.close()
    found = read_columns(tmp_path / "w")
    assert not found.complete
    assert set(rows_in(found.delivered)) == {(1, 2, 3, 4, 0)}


def test_a_file_size_limit_is_one_clear_error(tmp_path: Path) -> None:
    script = (
        "import sys; from harness.history.columns import *; from harness.history.tables import *\n"
        "b = RowBuffer(DELIVERED); w = ColumnsWriter(sys.argv[1])\n"
        "b.extend([1] * 4096, [1] * 4096, [1] * 4096, [1] * 4096, bytes(4096)); b.drain_to(w)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "w")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert done.returncode == 1
    assert "WorkerError: cannot write the message columns" in done.stderr
    assert "File too large" in done.stderr


def test_writing_needs_no_numpy() -> None:
    script = "import sys, harness.history.columns; print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
