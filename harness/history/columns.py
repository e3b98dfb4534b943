"""Write and read columns files: what happened to every message.

The format is described in docs/worker-protocol.md. The writing half imports nothing
heavy, because every worker process pays for it at its start; the reading half imports
numpy when it is called.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from harness.errors import WorkerError
from harness.history.tables import DELIVERED, SENT, TABLES, Table

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

MAGIC = b"NHCOL1\r\n"
BLOCK_ROWS = 4096
_BLOCK = struct.Struct("<4sHHIII")
_BLOCK_MARK = b"NHB1"
_TYPECODES = {"<u2": "H", "<u4": "I", "<u8": "Q", "<i8": "q", "u1": "B"}
_WIDTHS = {"<u2": 2, "<u4": 4, "<u8": 8, "<i8": 8, "u1": 1}

# The end block tells how many rows each table has, so that a file cut between two
# blocks is known to be cut.
_END = Table(0, "end", (("sent", "<u8"), ("delivered", "<u8")))
# Stands right before the end block where there are rows of other tables: how many of each.
_COUNT = Table(65535, "count", (("table", "<u8"), ("rows", "<u8")))
_ENDED = frozenset(name for name, _ in _END.columns)
_BY_NUMBER = {table.number: table for table in (*TABLES, _END, _COUNT)}


def _row_width(table: Table) -> int:
    return sum(_WIDTHS[kind] for _, kind in table.columns)


class RowBuffer:
    """Rows of one table that wait to be written, as one array per column."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.columns: tuple[array[int], ...] = tuple(
            array(_TYPECODES[kind]) for _, kind in table.columns
        )

    def __len__(self) -> int:
        return len(self.columns[0])

    def append(self, *row: int) -> None:
        """Append one row, its values in the table's order."""
        for column, value in zip(self.columns, row, strict=True):
            column.append(value)

    def extend(self, *columns: Sequence[int] | bytes) -> None:
        """Append rows given as columns of equal length, in the table's order."""
        for column, values in zip(self.columns, columns, strict=True):
            if isinstance(values, array):
                column.extend(values)
            elif isinstance(values, bytes):
                column.frombytes(values)
            else:
                column.fromlist(values if isinstance(values, list) else list(values))

    def drain_to(self, writer: ColumnsWriter) -> None:
        """Write all rows in blocks of at most `BLOCK_ROWS` and forget them."""
        rows = len(self)
        for first in range(0, rows, BLOCK_ROWS):
            writer.append_block(
                self.table, [column[first : first + BLOCK_ROWS] for column in self.columns]
            )
        for column in self.columns:
            del column[:rows]


class ColumnsWriter:
    """Append blocks to a columns file; the file is readable after a crash at any moment.

    As a context manager it writes the end block when the body ends without an exception.
    Every OSError becomes one WorkerError that names the file.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self.rows: dict[str, int] = dict.fromkeys((SENT.name, DELIVERED.name), 0)
        self._descriptor = -1
        try:
            self._descriptor = os.open(
                self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644
            )
        except OSError as error:
            raise self._failed(error) from error
        self._write(MAGIC)

    def append_block(self, table: Table, columns: Sequence[Any]) -> None:
        """Write one block.

        Args:
            table: which table the rows belong to.
            columns: one buffer (array.array, numpy array, bytes) per column of the
                table, in its order, of its type and of equal length.

        Raises:
            WorkerError: the file cannot be written.
            ValueError: the columns do not have the table's shape.
        """
        views = [memoryview(column).cast("B") for column in columns]
        widths = [_WIDTHS[kind] for _, kind in table.columns]
        rows = len(views[0]) // widths[0]
        if [len(view) for view in views] != [rows * width for width in widths]:
            raise ValueError(f"the columns do not have the shape of table {table.name!r}")
        if rows == 0:
            return
        body = b"".join(
            _little_endian(column, view) for column, view in zip(columns, views, strict=True)
        )
        header = _BLOCK.pack(_BLOCK_MARK, table.number, 0, rows, len(body), zlib.crc32(body))
        self._write(header + body)
        if table not in (_END, _COUNT):
            self.rows[table.name] = self.rows.get(table.name, 0) + rows

    def finish(self) -> dict[str, int]:
        """Write the end block, close the file and return the rows written per table.

        Tables without rows are left out, but for those of all workloads.
        """
        if self._descriptor >= 0:
            others = {
                table.number: self.rows[table.name]
                for table in TABLES
                if table.name in self.rows and table.name not in _ENDED
            }
            self.append_block(_COUNT, [array("Q", others), array("Q", others.values())])
            counts = [array("Q", [self.rows[name]]) for name, _ in _END.columns]
            self.append_block(_END, counts)
            self.close()
        return self.rows

    def close(self) -> None:
        """Close the file as it is; without `finish` a reader calls it incomplete."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            try:
                os.close(descriptor)
            except OSError as error:
                raise self._failed(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.close()

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            descriptor, self._descriptor = self._descriptor, -1
            with suppress(OSError):  # already failed, or failing again for the same reason
                os.close(descriptor)
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> WorkerError:
        reason = error.strerror or type(error).__name__
        return WorkerError(f"cannot write the message columns {self._path}: {reason}")


def _little_endian(column: Any, view: memoryview) -> bytes | memoryview:
    if sys.byteorder == "little" or not isinstance(column, array):
        return view
    swapped = column[:]
    swapped.byteswap()
    return swapped.tobytes()


@dataclass(frozen=True)
class Columns:
    """The rows of one columns file, one numpy array per column.

    Attributes:
        tables: the columns of each of `TABLES`, by the table's name.
        complete: the file ends with its end block and nothing is damaged.
        problem: why it is not complete; the rows before the problem are sound.
    """

    tables: dict[str, dict[str, NDArray[Any]]]
    complete: bool
    problem: str | None

    @property
    def sent(self) -> dict[str, NDArray[Any]]:
        """Return the columns of `SENT`."""
        return self.tables[SENT.name]

    @property
    def delivered(self) -> dict[str, NDArray[Any]]:
        """Return the columns of `DELIVERED`."""
        return self.tables[DELIVERED.name]


@dataclass(frozen=True)
class _Block:
    table: Table
    rows: int
    crc: int
    start: int  # offset of the body in the file

    @property
    def length(self) -> int:
        return self.rows * _row_width(self.table)


class _DamageError(Exception):
    """Say where and why reading stopped."""


class _Filling:
    """One numpy array per column of a table, allocated once and filled block by block."""

    def __init__(self, table: Table, blocks: Sequence[_Block]) -> None:
        import numpy  # noqa: PLC0415, ICN001 - the writing half must stay light

        self._numpy = numpy
        self._table = table
        total = sum(block.rows for block in blocks if block.table is table)
        self._columns = {name: numpy.empty(total, dtype=kind) for name, kind in table.columns}
        self.rows = 0

    def add(self, block: _Block, body: bytes) -> None:
        at, end = 0, self.rows + block.rows
        for name, kind in self._table.columns:
            values = self._numpy.frombuffer(body, dtype=kind, count=block.rows, offset=at)
            self._columns[name][self.rows : end] = values
            at += block.rows * _WIDTHS[kind]
        self.rows = end

    def columns(self) -> dict[str, NDArray[Any]]:
        return {name: column[: self.rows] for name, column in self._columns.items()}


def read_columns(path: Path | str) -> Columns:
    """Return what a columns file holds, up to the first damage.

    Beside the columns themselves it needs the memory of one block.

    Raises:
        WorkerError: the file cannot be opened or read.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - the path may be text
            return _read(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WorkerError(f"cannot read the message columns {path}: {reason}") from error


def _read(file: BinaryIO, size: int) -> Columns:
    """Find the blocks by their headers, then read and check each body once."""
    blocks: list[_Block] = []
    problem = None
    try:
        _find_blocks(file, size, blocks)
    except _DamageError as damage:
        problem = str(damage)
    filling = {table.name: _Filling(table, blocks) for table in TABLES}
    counted = dict.fromkeys((table.number for table in TABLES if table.name not in _ENDED), 0)
    try:
        for block in blocks:
            body = _read_body(file, block)
            if block.table is _COUNT:
                counted |= _read_counts(body, block.rows)
            elif block.table is _END:
                _check_end(body, filling[SENT.name].rows, filling[DELIVERED.name].rows)
                _check_counts(counted, filling)
            else:
                filling[block.table.name].add(block, body)
    except _DamageError as damage:
        problem = str(damage)
    tables = {name: one.columns() for name, one in filling.items()}
    return Columns(tables, problem is None, problem)


def _find_blocks(file: BinaryIO, size: int, blocks: list[_Block]) -> None:
    """Append all blocks up to the end block; raise _DamageError at a header that is not sound."""
    if file.read(len(MAGIC)) != MAGIC:
        raise _DamageError("it does not begin like a columns file")
    at = len(MAGIC)
    while at < size:
        block = _read_header(file, at, size)
        at = block.start + block.length
        if block.table is _END and (block.rows != 1 or at != size):
            raise _DamageError("the end block is not at the end, or not one row")
        blocks.append(block)
        if block.table is _END:
            return
    raise _DamageError(f"the file ends at byte {at} without its end block")


def _read_header(file: BinaryIO, at: int, size: int) -> _Block:
    file.seek(at)
    header = file.read(_BLOCK.size)
    if len(header) < _BLOCK.size:
        raise _DamageError(f"the block at byte {at} is cut short")
    mark, number, zero, rows, length, crc = _BLOCK.unpack(header)
    table = _BY_NUMBER.get(number)
    if mark != _BLOCK_MARK or zero or table is None or not rows:
        raise _DamageError(f"the block at byte {at} has a damaged header")
    block = _Block(table, rows, crc, at + _BLOCK.size)
    if length != block.length:
        raise _DamageError(f"the block at byte {at} has a damaged header")
    if block.start + length > size:
        raise _DamageError(f"the block at byte {at} is cut short")
    return block


def _read_body(file: BinaryIO, block: _Block) -> bytes:
    file.seek(block.start)
    body = file.read(block.length)
    if len(body) != block.length or zlib.crc32(body) != block.crc:
        raise _DamageError(f"the block at byte {block.start - _BLOCK.size} fails its checksum")
    return body


def _check_end(body: bytes, sent_rows: int, delivered_rows: int) -> None:
    sent, delivered = struct.unpack("<QQ", body)
    if (sent, delivered) != (sent_rows, delivered_rows):
        raise _DamageError(
            f"the end block says {sent} sent and {delivered} delivered rows, "
            f"found {sent_rows} and {delivered_rows}"
        )


def _read_counts(body: bytes, rows: int) -> dict[int, int]:
    values = struct.unpack(f"<{2 * rows}Q", body)
    return dict(zip(values[:rows], values[rows:], strict=True))


def _check_counts(counted: Mapping[int, int], filling: Mapping[str, _Filling]) -> None:
    for number, rows in counted.items():
        table = _BY_NUMBER.get(number)
        found = filling[table.name].rows if table is not None and table.name in filling else 0
        if found != rows:
            name = number if table is None else table.name
            raise _DamageError(f"the file says that it has {rows} {name} rows, found {found}")
