"""Damage a file, and see that it is damaged.

The file keeps its place, its owner and its mode; what is written is read again.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from harness.errors import FaultError

How = Literal["bit-flip", "truncate", "zero", "remove"]
PAGE_BYTES = 4096  # what a file system and most drives lose at once
BITS = 8
SHOWN_BYTES = 16
SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Change:
    """What stands at an offset instead of what stood there, in hexadecimal, cut to 16 bytes.

    `after` is empty where the file ends now.
    """

    offset: int
    before: str
    after: str


@dataclass(frozen=True)
class Damage:
    """A damaged file: its size in bytes and its SHA-256 before and after; None when removed."""

    path: Path
    how: How
    size_before: int
    size_after: int | None
    sha256_before: str
    sha256_after: str | None
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        """Say what was done, in one line."""
        before = f"{self.size_before} bytes, SHA-256 {self.sha256_before[:SHOWN_DIGITS]}"
        if self.sha256_after is None:
            return f"removed ({before})"
        first, *others = self.changes
        what = {
            "bit-flip": f"byte {first.offset} is {first.after} instead of {first.before}",
            "truncate": f"ends after {self.size_after} bytes",
            "zero": f"zeros from byte {first.offset} on",
        }[self.how]
        also = f" and {len(others)} more" if others else ""
        return f"{what}{also} ({before} before, {self.sha256_after[:SHOWN_DIGITS]} after)"


@dataclass(frozen=True)
class Recipe:
    """How to damage a file.

    Attributes:
        how: what to do.
        flips: how many bits to turn over, each once.
        offset: where, in bytes from the start; a share of the size where it is a float;
            drawn where it is None.
        length: how many bytes to make zero.
    """

    how: How
    flips: int = 1
    offset: int | float | None = None
    length: int = PAGE_BYTES

    def apply(self, path: Path, dice: Random) -> Damage:
        """Damage the file and return what was done.

        Raises:
            FaultError: nothing of it would change, or what was written was not read again.
        """
        try:
            before = path.read_bytes()
            if self.how == "remove":
                path.unlink()
                after = None
            else:
                after = self._damaged(before, path.name, dice)
                _write(path, before, after)
            found = path.read_bytes() if path.exists() else None
        except OSError as error:
            reason = error.strerror or error
            raise FaultError(f"{path.name} cannot be damaged: {reason}") from error
        if found != after:
            raise FaultError(f"{path.name} does not hold what was written to it")
        return Damage(
            path,
            self.how,
            len(before),
            None if after is None else len(after),
            _digest(before),
            None if after is None else _digest(after),
            () if after is None else tuple(self._changes(before, after)),
        )

    def _damaged(self, before: bytes, name: str, dice: Random) -> bytes:
        if not before:
            raise FaultError(f"{name} is empty, so there is nothing to damage")
        after = self._flipped(before, name, dice)
        if self.how == "truncate":
            after = before[: self._offset(before, name, dice)]
        elif self.how == "zero":
            start = self._offset(before, name, dice)
            if self.offset is None:
                start -= start % PAGE_BYTES  # pages are lost whole
            end = min(start + self.length, len(before))
            after = before[:start] + bytes(end - start) + before[end:]
        if after == before:
            raise FaultError(f"{name} would be as it was: it holds zeros there already")
        return after

    def _flipped(self, before: bytes, name: str, dice: Random) -> bytes:
        if self.how != "bit-flip":
            return before
        if self.offset is not None:
            bits = [self._offset(before, name, dice) * BITS + dice.randrange(BITS)]
        elif self.flips > len(before) * BITS:
            raise FaultError(f"{name} has {len(before)} bytes, too few for {self.flips} flips")
        else:
            bits = dice.sample(range(len(before) * BITS), self.flips)  # none turned back
        after = bytearray(before)
        for bit in bits:
            after[bit // BITS] ^= 1 << bit % BITS
        return bytes(after)

    def _offset(self, before: bytes, name: str, dice: Random) -> int:
        """Return the byte to begin at, which is one of the file's."""
        if self.offset is None:
            return dice.randrange(len(before))
        if isinstance(self.offset, float):
            return min(int(self.offset * len(before)), len(before) - 1)
        if self.offset >= len(before):
            raise FaultError(f"{name} has {len(before)} bytes, so none at offset {self.offset}")
        return self.offset

    def _changes(self, before: bytes, after: bytes) -> list[Change]:
        if len(after) < len(before):
            cut = before[len(after) : len(after) + SHOWN_BYTES]
            return [Change(len(after), cut.hex(), "")]
        places = _differences(before, after)
        if self.how == "zero":  # one stretch, though some of it was zero before
            places = [(places[0][0], places[-1][1])]
        cut_to = [(start, min(end, start + SHOWN_BYTES)) for start, end in places]
        return [
            Change(start, before[start:end].hex(), after[start:end].hex()) for start, end in cut_to
        ]


@dataclass(frozen=True)
class Trace:
    """A file as it was left, to see later whether it still is so; `sha256` None: removed."""

    path: Path
    sha256: str | None

    def intact(self) -> bool:
        """Tell whether the file is as it was left."""
        try:
            return _digest(self.path.read_bytes()) == self.sha256
        except FileNotFoundError:
            return self.sha256 is None
        except OSError:
            return False


def _write(path: Path, before: bytes, after: bytes) -> None:
    """Change the file in its place, only where it differs, down to the disk."""
    with path.open("r+b") as file:
        if len(after) < len(before):
            file.truncate(len(after))
        else:
            for start, end in _differences(before, after):
                file.seek(start)
                file.write(after[start:end])
        file.flush()
        os.fsync(file.fileno())


def _differences(before: bytes, after: bytes) -> list[tuple[int, int]]:
    """Return where two texts of one length differ: from and to, joined where they touch."""
    found: list[tuple[int, int]] = []
    for start in range(0, len(before), PAGE_BYTES):
        page, other = before[start : start + PAGE_BYTES], after[start : start + PAGE_BYTES]
        if page == other:
            continue
        for place, (one, two) in enumerate(zip(page, other, strict=True), start):
            if one == two:
                continue
            if found and found[-1][1] == place:
                found[-1] = (found[-1][0], place + 1)
            else:
                found.append((place, place + 1))
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
