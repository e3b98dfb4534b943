"""What is done to a file, and that nothing is called damage that is none."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from harness.cluster.damage import PAGE_BYTES, Recipe, Trace
from harness.errors import FaultError

TEXT = bytes(range(1, 251)) * 100


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "1.blk"
    path.write_bytes(TEXT)
    path.chmod(0o640)
    return path


def bits_apart(one: bytes, other: bytes) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("flips", [1, 20, 1000])
def test_as_many_bits_are_turned_over_as_asked(file: Path, flips: int) -> None:
    inode = file.stat().st_ino
    done = Recipe("bit-flip", flips=flips).apply(file, Random(1))
    found = file.read_bytes()
    assert bits_apart(TEXT, found) == flips
    for change in done.changes:
        after = bytes.fromhex(change.after)
        assert TEXT[change.offset :].startswith(bytes.fromhex(change.before))
        assert found[change.offset :].startswith(after)
    assert done.sha256_before != done.sha256_after
    assert (file.stat().st_ino, file.stat().st_mode & 0o777) == (inode, 0o640)


def test_the_same_dice_damage_the_same_bits(tmp_path: Path) -> None:
    found = []
    for seed in (1, 1, 2):
        path = tmp_path / "f"
        path.write_bytes(TEXT)
        Recipe("bit-flip", flips=3).apply(path, Random(seed))
        found.append(path.read_bytes())
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(("offset", "byte"), [(7, 7), (0.5, 12_500), (1.0, 24_999), (0, 0)])
def test_an_offset_is_bytes_or_a_share_of_the_size(file: Path, offset: float, byte: int) -> None:
    done = Recipe("bit-flip", offset=offset).apply(file, Random(1))
    assert [change.offset for change in done.changes] == [byte]


def test_a_truncated_file_ends_earlier_and_is_the_same_up_to_there(file: Path) -> None:
    done = Recipe("truncate").apply(file, Random(1))
    assert file.read_bytes() == TEXT[: done.size_after]
    assert done.size_after is not None
    assert done.size_after < len(TEXT)
    assert done.changes[0].after == ""
    Recipe("truncate", offset=0).apply(file, Random(1))
    assert file.read_bytes() == b""


def test_zeros_are_written_page_by_page_unless_an_offset_is_given(file: Path) -> None:
    done = Recipe("zero").apply(file, Random(3))
    start = done.changes[0].offset
    assert start % PAGE_BYTES == 0
    assert file.read_bytes() == TEXT[:start] + bytes(PAGE_BYTES) + TEXT[start + PAGE_BYTES :]
    file.write_bytes(TEXT)
    Recipe("zero", offset=10, length=5).apply(file, Random(3))
    assert file.read_bytes() == TEXT[:10] + bytes(5) + TEXT[15:]
    Recipe("zero", offset=10, length=1_000_000).apply(file, Random(3))
    assert file.read_bytes() == TEXT[:10] + bytes(len(TEXT) - 10)


def test_a_removed_file_is_gone(file: Path) -> None:
    done = Recipe("remove").apply(file, Random(1))
    assert not file.exists()
    assert done.sha256_after is None
    assert str(done).startswith("removed (25000 bytes")


@pytest.mark.parametrize(
    ("recipe", "content", "words"),
    [
        (Recipe("bit-flip"), b"", "is empty"),
        (Recipe("truncate"), b"", "is empty"),
        (Recipe("bit-flip", flips=9), b"a", "1 bytes, too few for 9 flips"),
        (Recipe("bit-flip", offset=5), b"abcde", "5 bytes, so none at offset 5"),
        (Recipe("zero"), bytes(9000), "would be as it was: it holds zeros there already"),
    ],
)
def test_what_changes_nothing_is_no_damage(
    file: Path, recipe: Recipe, content: bytes, words: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(FaultError, match=words):
        recipe.apply(file, Random(1))
    assert file.read_bytes() == content


def test_a_file_that_is_not_there_cannot_be_damaged(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match="cannot be damaged: No such file"):
        Recipe("bit-flip").apply(tmp_path / "none", Random(1))


def test_a_write_that_does_not_reach_the_file_is_no_damage(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.cluster.damage._write", lambda *_: None)
    with pytest.raises(FaultError, match="does not hold what was written to it"):
        Recipe("bit-flip").apply(file, Random(1))


def test_a_trace_tells_a_file_that_was_changed_since(file: Path) -> None:
    done = Recipe("bit-flip").apply(file, Random(1))
    trace = Trace(file, done.sha256_after)
    assert trace.intact()
    file.write_bytes(TEXT)
    assert not trace.intact()
    file.unlink()
    assert not trace.intact()
    assert Trace(file, None).intact()
