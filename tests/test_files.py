from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from harness.errors import ReportError
from harness.files import write_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"a longer one from before")
    before = path.stat().st_ino
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", [True, False])
def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path: Path, *, there: bool) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    if there:
        (kept / "real.json").write_bytes(b"old")
    (tmp_path / "second").symlink_to("kept/real.json")
    (tmp_path / "first").symlink_to("second")
    write_whole(tmp_path / "first", b"new")
    assert (kept / "real.json").read_bytes() == b"new"
    assert (tmp_path / "first").is_symlink()
    assert (tmp_path / "second").is_symlink()
    assert list(kept.iterdir()) == [kept / "real.json"]


def test_links_that_lead_round_in_a_circle_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ReportError, match=r"^cannot write .*/a: Too many levels of symbolic links"):
        write_whole(tmp_path / "a", b"x")


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path, *, linked: bool) -> None:
    pipe = path = tmp_path / "pipe"
    os.mkfifo(pipe)
    if linked:
        path = tmp_path / "link"
        path.symlink_to(pipe)
    content = b"x" * 300_000  # more than a pipe holds
    reading = os.open(pipe, os.O_RDWR)  # somebody reads from the start, and no end comes too early
    got: list[bytes] = []

    def read() -> None:
        with os.fdopen(reading, "rb") as file:
            got.append(file.read(len(content)))

    reader = threading.Thread(target=read)
    reader.start()
    write_whole(path, content)
    reader.join(10)
    assert got == [content]
    assert pipe.is_fifo()
    assert {one.name for one in tmp_path.iterdir()} == {"pipe", *(["link"] if linked else [])}


def test_a_pipe_that_nobody_reads_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ReportError, match=r"^cannot write .*/pipe: nobody reads from this pipe$"):
        write_whole(tmp_path / "pipe", b"x")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("minor", "why"), [(3, None), (7, "No space left on device")], ids=["null", "full"]
)
def test_a_device_is_written_to_and_stays_one(tmp_path: Path, minor: int, why: str | None) -> None:
    node = tmp_path / "device"
    try:
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        node.open("wb").close()
    except PermissionError:
        pytest.skip("device nodes need root of the machine")
    if why is None:
        write_whole(node, b"x")
    else:
        with pytest.raises(ReportError, match=rf"^cannot write .*/device: {why}$"):
            write_whole(node, b"x")
    assert node.is_char_device()
    assert list(tmp_path.iterdir()) == [node]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"^cannot write .*: Is a directory$"):
        write_whole(tmp_path, b"x")
