"""What is read out of an export, and what a program is told to be by its bytes."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker_images import PEM, Entry, pack
from inspected_images import EXPIRED, NOT_ONE

from harness.cluster.binaries import bundled
from harness.errors import EngineError
from harness.inspection.content import Examination, Kind, read_certificates
from harness.inspection.filesystem import FileSystem, FileType, read_export
from harness.inspection.processes import inside

PIECE = 1000


def pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + PIECE] for at in range(0, len(data), PIECE))


def read(**files: Entry) -> FileSystem:
    return read_export(pieces(pack({name.replace("_", "/"): one for name, one in files.items()})))


def kinds(data: bytes, chunk: int = 1 << 16) -> frozenset[Kind]:
    examination = Examination()
    for at in range(0, len(data), chunk):
        examination.feed(data[at : at + chunk])
    return examination.kinds


def test_the_server_says_what_it_is_and_is_no_shell() -> None:
    assert kinds(bundled().path.read_bytes()) == {Kind.server}


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("busybox", Kind.busybox),
        ("dash", Kind.shell),
        ("bash", Kind.shell),
        ("dpkg", Kind.packages),
        ("apt", Kind.packages),
        ("apt-get", Kind.packages),
    ],
)
def test_programs_of_this_machine_are_told_by_content(program: str, expected: Kind) -> None:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"there is no {program} here")
    assert expected in kinds(Path(path).read_bytes(), 777)


@pytest.mark.parametrize("program", ["cat", "ls", "python3", "openssl", "git", "perl", "tar"])
def test_other_programs_are_no_shells(program: str) -> None:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"there is no {program} here")
    assert kinds(Path(path).resolve().read_bytes()) == frozenset()


def test_a_mark_across_two_pieces_is_seen() -> None:
    data = b"\x7fELF" + bytes(96) + b"GNU bash, version" + bytes(100)
    for chunk in range(90, 120):
        assert kinds(data, chunk) == {Kind.shell}, chunk


def test_text_that_quotes_a_mark_is_no_program() -> None:
    assert kinds(b"GNU bash, version 5") == frozenset()


def test_certificates_are_really_parsed() -> None:
    found = read_certificates(PEM + EXPIRED + NOT_ONE)
    assert found is not None
    assert (found.authorities, found.expired, found.others) == (2, 1, 1)
    assert read_certificates(b"nothing here") is None


def test_links_are_followed_as_the_kernel_does() -> None:
    files = read(
        opt=Entry(),
        opt_real=Entry(b"\x7fELF"),
        bin=Entry(link="usr/bin"),
        usr_bin=Entry(),
        usr_bin_sh=Entry(link="../../opt/real"),
        usr_bin_loop=Entry(link="loop"),
        usr_bin_up=Entry(link="/../../opt/./real"),
    )
    for path in ("/usr/bin/sh", "/bin/sh", "/usr/bin/up", "//opt/../bin/sh"):
        found = files.resolve(path)
        assert found is not None, path
        assert found.path == "/opt/real"
    assert files.resolve("/usr/bin/loop") is None
    assert files.resolve("/gone/opt/real") is None
    assert files.find_program("sh", None) is not None
    assert files.find_program("sh", "/opt") is None
    assert files.find_program("real", "opt", "/") is not None


def test_a_hard_link_is_what_it_repeats() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        data = b"\x7fELF" + b"GNU bash, version"
        first = tarfile.TarInfo("a/first")
        first.size, first.mode = len(data), 0o4755
        archive.addfile(first, io.BytesIO(data))
        second = tarfile.TarInfo("./second")
        second.type, second.linkname, second.mode = tarfile.LNKTYPE, "a/first", 0o4755
        archive.addfile(second)
    files = read_export(pieces(buffer.getvalue()))
    found = files.files["/second"]
    assert (found.type, found.kinds, found.mode) == (FileType.file, frozenset({Kind.shell}), 0o4755)


def test_a_hard_link_to_what_was_not_there_is_an_error() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("sh")
        link.type, link.linkname = tarfile.LNKTYPE, "gone"
        archive.addfile(link)
    with pytest.raises(EngineError, match="not yet seen"):
        read_export(pieces(buffer.getvalue()))


def test_scripts_tell_their_interpreter() -> None:
    files = read(a=Entry(b"#! /bin/sh -e\n"), b=Entry(b"#!/usr/bin/env python3\n"), c=Entry(b"#"))
    assert [one.interpreter for one in files] == ["/bin/sh", "python3", None]


@pytest.mark.parametrize("cut", [100, 5000])
def test_an_export_that_breaks_off_is_an_error_not_an_empty_image(cut: int) -> None:
    data = pack({"a": Entry(bytes(8000)), "b": Entry(b"x")})
    with pytest.raises(EngineError, match="cannot be read"):
        read_export(pieces(data[:cut]))


def test_an_export_without_an_end_is_an_error() -> None:
    data = pack({"a": Entry(b"x"), "b": Entry(b"y")})
    with pytest.raises(EngineError, match="breaks off"):
        read_export(pieces(data[:1024]))


def test_noise_is_an_error() -> None:
    with pytest.raises(EngineError, match="cannot be read"):
        read_export(pieces(b"\x01noise" * 1000))


def test_a_user_is_translated_into_the_containers_numbers() -> None:
    remapped = "         0     100000      65536\n"
    assert inside(100000, remapped) == 0
    assert inside(165532, remapped) == 65532
    assert inside(7, remapped) is None
