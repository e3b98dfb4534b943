"""Read an image's files from the export of a container that never ran.

The export streams by; of each file only what checks ask about is kept.
"""

from __future__ import annotations

import io
import posixpath
import stat
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO

from harness.engine.connection import translated
from harness.errors import EngineError
from harness.inspection.content import Certificates, Examination, Kind, read_certificates

CHUNK_B = 1 << 20
PEM_LIMIT_B = 4 << 20
TEXT_LIMIT_B = 1 << 20
EXPORT_LIMIT_S = 600.0
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TEXTS = frozenset({"/etc/passwd", "/etc/group"})
_LINKS_LIMIT = 40  # as the kernel's
_END = bytes(1024)
_CAPABILITY = "SCHILY.xattr.security.capability"


class FileType(StrEnum):
    """What a path leads to."""

    file = "file"
    folder = "folder"
    symlink = "symlink"
    other = "other"


@dataclass(frozen=True)
class File:
    """One path of an image.

    Attributes:
        path: absolute.
        type: what it is; a hard link is a file like the one it repeats.
        mode: the permission bits, with setuid, setgid and sticky.
        owner: the owner's user id.
        group: the group's id.
        target: where a symbolic link points, as written.
        program: whether it is machine code (ELF).
        interpreter: what its first line asks to run it.
        kinds: what its content says it is.
        certificates: those in it.
        capable: whether running it gives capabilities.
        text: the content, of the few files whose words are asked for.
    """

    path: str
    type: FileType
    mode: int = 0o755
    owner: int = 0
    group: int = 0
    target: str | None = None
    program: bool = False
    interpreter: str | None = None
    kinds: frozenset[Kind] = frozenset()
    certificates: Certificates | None = None
    capable: bool = False
    text: str | None = None

    @property
    def name(self) -> str:
        """Return the last part of its path."""
        return posixpath.basename(self.path)

    @property
    def runnable(self) -> bool:
        """Tell whether it is a file that someone may execute."""
        return self.type is FileType.file and bool(self.mode & 0o111)


@dataclass(frozen=True)
class FileSystem:
    """All paths of an image."""

    files: Mapping[str, File] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Iterable[File]) -> FileSystem:
        """Return a file system of these files and of the folders that they lie in."""
        known = {one.path: one for one in files}
        for path in tuple(known):
            folder = posixpath.dirname(path)
            while folder not in known and folder != "/":
                known[folder] = File(folder, FileType.folder)
                folder = posixpath.dirname(folder)
        return cls(known)

    def __iter__(self) -> Iterator[File]:
        return iter(self.files.values())

    def resolve(self, path: str) -> File | None:
        """Return what a path leads to, symbolic links followed; None when it leads nowhere."""
        done, todo, links = "/", path.split("/"), 0
        while todo:
            part = todo.pop(0)
            done = posixpath.normpath(posixpath.join(done, part))
            here = self.files.get(done)
            if here is None:
                if done != "/":
                    return None
                continue
            if here.type is FileType.symlink and here.target is not None:
                links += 1
                if links > _LINKS_LIMIT:
                    return None
                todo = [*here.target.split("/"), *todo]
                done = "/" if here.target.startswith("/") else posixpath.dirname(done)
        return self.files.get(done) or (File("/", FileType.folder) if done == "/" else None)

    def find_program(self, name: str, path: str | None, folder: str = "/") -> File | None:
        """Return the file that running `name` would run, looked up in PATH when it has no slash."""
        if "/" in name:
            candidates = [posixpath.join(folder, name)]
        else:
            searched = DEFAULT_PATH if path is None else path
            candidates = [posixpath.join(folder, one, name) for one in searched.split(":")]
        found = (self.resolve(one) for one in candidates)
        return next((one for one in found if one is not None and one.runnable), None)

    def readable(self, path: str, user: int, groups: frozenset[int]) -> bool:
        """Tell whether a user may read a file: by its own bits and those of its folders."""
        if user == 0:
            return True
        folder = posixpath.dirname(path)
        while folder != "/":
            above = self.files.get(folder)
            if above is not None and not _may(above, user, groups, 0o1):
                return False
            folder = posixpath.dirname(folder)
        return path in self.files and _may(self.files[path], user, groups, 0o4)


def read_export(stream: Iterator[bytes]) -> FileSystem:
    """Read the export of a container, a tar file in pieces, from start to end.

    Raises:
        EngineError: it is damaged, breaks off or takes too long.
    """
    files: dict[str, File] = {}
    raw = _Stream(stream)
    try:
        with (
            translated("the image's files cannot be read"),
            io.BufferedReader(raw, CHUNK_B) as buffered,
            tarfile.open(fileobj=buffered, mode="r|", errorlevel=0) as archive,
        ):
            for member in archive:
                one = _read(archive, member, files)
                files[one.path] = one
            buffered.read()
    except tarfile.TarError as error:
        raise EngineError(f"the image's files cannot be read: {error}") from error
    if not raw.ended:
        raise EngineError("the image's files cannot be read: the export breaks off")
    return FileSystem.of(files.values())


def _may(file: File, user: int, groups: frozenset[int], bit: int) -> bool:
    shift = 6 if file.owner == user else 3 if file.group in groups else 0
    return bool(file.mode >> shift & bit)


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, known: Mapping[str, File]) -> File:
    path = _absolute(member.name)
    if member.islnk():
        first = known.get(_absolute(member.linkname))
        if first is None:
            raise EngineError(
                f"the image's files cannot be read: {path} repeats {member.linkname}, not yet seen"
            )
        return File(**{**vars(first), "path": path})
    file = File(
        path=path,
        type=_type(member),
        mode=stat.S_IMODE(member.mode),
        owner=member.uid,
        group=member.gid,
        target=member.linkname if member.issym() else None,
        capable=_CAPABILITY in member.pax_headers,
    )
    content = archive.extractfile(member) if member.isreg() else None
    return file if content is None else _examined(file, content, member.size)


def _examined(file: File, content: IO[bytes], size: int) -> File:
    examination = Examination()
    kept: list[bytes] | None = [] if size <= PEM_LIMIT_B else None
    while chunk := content.read(CHUNK_B):
        examination.feed(chunk)
        if examination.is_program:
            kept = None
        if kept is not None:
            kept.append(chunk)
    data = b"".join(kept or ())
    wanted = file.path in _TEXTS and size <= TEXT_LIMIT_B
    return File(
        **{
            **vars(file),
            "program": examination.is_program,
            "interpreter": examination.interpreter,
            "kinds": examination.kinds,
            "certificates": read_certificates(data),
            "text": data.decode("utf-8", "replace") if wanted else None,
        }
    )


def _type(member: tarfile.TarInfo) -> FileType:
    if member.isreg():
        return FileType.file
    if member.isdir():
        return FileType.folder
    return FileType.symlink if member.issym() else FileType.other


def _absolute(name: str) -> str:
    return posixpath.normpath("/" + name.lstrip("/"))


class _Stream(io.RawIOBase):
    """Read an iterator of bytes as a file, within a bound of time."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")
        self._tail = b""
        self._deadline_s = time.monotonic() + EXPORT_LIMIT_S

    @property
    def ended(self) -> bool:
        """Tell whether it came to an end as a tar file does, and was not cut off."""
        return self._tail == _END

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: object, /) -> int:
        """Fill a part of `buffer`; return how much, 0 at the end."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            if time.monotonic() > self._deadline_s:
                raise EngineError(f"the image's files take more than {EXPORT_LIMIT_S:g} s to read")
            self._left = memoryview(piece)
            self._tail = (self._tail + piece[-len(_END) :])[-len(_END) :]
        space = memoryview(buffer)  # type: ignore[arg-type]  # whatever offers a buffer
        size = min(len(space), len(self._left))
        space[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
