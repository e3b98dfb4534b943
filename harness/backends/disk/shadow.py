"""A shadow of a store: what would be left of it if the power went now.

What is modelled is a journalling file system with delayed allocation, such as ext4 as it
is mounted by default, at its least forgiving:

- The *content* of a file is what it was at the last completed fsync or fdatasync of it; a
  file that was never synced is empty. What is written through a descriptor opened with
  O_SYNC or O_DSYNC is synced as it is written.
- The *names*, of files and folders, are those at the last sync of anything in the store,
  since a sync commits the journal, and with it all that was done to names before.

A real disk may have kept more: what the kernel happened to write back by itself (after 5 s
to 30 s, as a rule) is not counted as synced. It keeps less where a sync has nothing to
commit, such as one of a file that has not changed since its last one: here that commits the
names all the same. See `harness.backends.disk.device` for a real one.

Writes at an offset are followed exactly. Of a file that is written otherwise (write(2)),
each sync takes what was appended, and all of it while it is small or new; only a write(2)
into the midst of a synced file above `SMALL_BYTES`, that was not truncated, would be missed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.backends.disk.trees import exchange, remove
from harness.cluster.disks import Loss

SMALL_BYTES = 1 << 16
PIECE_BYTES = 1 << 20
ENDLESS = 1 << 62
DOUBT_S = 2.0  # after which a call that was let through has been done

Key = tuple[int, int]  # device and inode
Span = tuple[int, int]  # from an offset to one


@dataclass
class Kept:
    """A file of which something is synced.

    Attributes:
        handle: keeps the inode from being given to another file.
        size: its size at the last sync.
        dirty: what was written since.
        live: whether all that is written is synced at once.
    """

    handle: int
    copy: Path
    size: int = 0
    dirty: list[Span] = field(default_factory=list)
    live: bool = False

    @property
    def file(self) -> Path:
        """Return a path to the file itself, whatever its name is by now."""
        return Path(f"/proc/self/fd/{self.handle}")

    @property
    def content(self) -> Path:
        """Return where its synced content is."""
        return self.file if self.live else self.copy

    @property
    def mode(self) -> int:
        """Return its permissions."""
        return stat.S_IMODE(os.fstat(self.handle).st_mode)


class Shadow:
    """The shadow of one store.

    A call is noted before it is done, and whether it has been done is known for certain
    only once its thread makes another one. What may not have been done when a sync is
    counts as not synced by that.
    """

    def __init__(self, store: Path, folder: Path) -> None:
        """Take an empty store, or none, for what is there; `folder` holds the copies."""
        self.store = store
        self._folder = folder
        self._kept: dict[Key, Kept] = {}
        self._names: dict[str, Key | None] = {}  # None: a folder
        self._names_changed = True
        self._synced_opens: dict[str, float] = {}
        self._last_write: dict[int, tuple[Key, Span]] = {}
        self._last_name_s: dict[int, float] = {}
        self._numbers = 0
        folder.mkdir(parents=True, exist_ok=True)
        if store.exists():
            self.rebase()

    def moved_on(self, thread: int) -> None:
        """Note that a thread makes another call, so that its last one has been done."""
        self._last_write.pop(thread, None)
        self._last_name_s.pop(thread, None)

    def wrote(self, thread: int, key: Key, span: Span) -> None:
        """Note a change of a file's content that is about to be made."""
        self._last_write[thread] = (key, span)
        kept = self._kept.get(key)
        if kept is None:
            return
        if kept.dirty and kept.dirty[-1][1] == span[0]:  # files mostly grow
            kept.dirty[-1] = (kept.dirty[-1][0], span[1])
        else:
            kept.dirty.append(span)

    def named(self, thread: int, now_s: float, *, source: str | None = None) -> None:
        """Note a change of names that is about to be made; of a rename, the name it takes away."""
        self._names_changed = True
        self._last_name_s[thread] = now_s
        if source is not None and source in self._synced_opens:
            self._enlive(source, now_s)

    def opened(self, thread: int, path: str, flags: int, now_s: float) -> None:
        """Note that a file is about to be opened to be written."""
        synced = flags & os.O_DSYNC != 0
        if path in self._synced_opens and not synced:
            self._enlive(path, now_s)
            self._synced_opens.pop(path, None)
        found = _stat(path)
        if found is None:
            self.named(thread, now_s)
        else:
            key = (found.st_dev, found.st_ino)
            kept = self._kept.get(key)
            if kept is not None and kept.live and not synced:
                self._freeze(kept)
            if flags & os.O_TRUNC:
                self.wrote(thread, key, (0, ENDLESS))
        if synced:
            self._synced_opens[path] = now_s

    def synced(self, thread: int, path: str, now_s: float) -> None:
        """Take over what a file or folder of the store is now; `path` may be a descriptor's."""
        found = stat_of(path)
        if stat.S_ISREG(found.st_mode):
            self._take(thread, path, (found.st_dev, found.st_ino))
        self.commit(now_s)

    def synced_all(self, thread: int, now_s: float) -> None:
        """Take over all that there is."""
        for name, key in _walk(self.store):
            if key is not None:
                with contextlib.suppress(FileNotFoundError):
                    self._take(thread, str(self.store / name), key)
        self.commit(now_s)

    def commit(self, now_s: float) -> None:
        """Take over the names, as any sync does."""
        doubtful = any(now_s - at_s < DOUBT_S for at_s in self._last_name_s.values())
        if not (self._names_changed or self._synced_opens):
            return
        self._names_changed = doubtful
        self._names = dict(_walk(self.store))
        for path in tuple(self._synced_opens):
            self._enlive(path, now_s)
        named = {key for key in self._names.values() if key is not None}
        for key in [key for key in self._kept if key not in named]:
            if not any(key == doubted for doubted, _ in self._last_write.values()):
                self._forget(key)

    def lose(self) -> Loss:
        """Set the store back to what is synced, which must be nobody's any more."""
        fresh = self._folder / "fresh"
        remove(fresh)
        fresh.mkdir()
        for name, key in sorted(self._names.items()):
            target = fresh / name
            if key is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            kept = self._kept.get(key)
            if kept is None:
                target.touch(0o600)
            else:
                shutil.copyfile(kept.content, target)
                target.chmod(kept.mode)
        loss = exchange(self.store, fresh)
        self.rebase()
        return loss

    def rebase(self) -> None:
        """Take all that is in the store for synced, whatever was there before."""
        self.release()
        self._folder.mkdir(parents=True, exist_ok=True)  # a cut of the device may have taken it
        self._names = dict(_walk(self.store))
        self._names_changed = False
        for name, key in self._names.items():
            if key is not None:
                self._take(0, str(self.store / name), key)

    def release(self) -> None:
        """Let go of all files, so that what they are on can be unmounted; `rebase` comes next."""
        for known in tuple(self._kept):
            self._forget(known)
        self._last_write.clear()
        self._last_name_s.clear()
        self._synced_opens.clear()

    def audit(self) -> Mapping[str, bytes]:
        """Return what would be left of each file, by its name."""
        kept = {name: self._kept.get(key) for name, key in self._names.items() if key is not None}
        return {
            name: b"" if one is None else one.content.read_bytes() for name, one in kept.items()
        }

    def _take(self, thread: int, path: str, key: Key) -> None:
        """Copy what changed of a file since its last sync, and all of it the first time."""
        kept = self._kept.get(key)
        if kept is None:
            self._numbers += 1
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            kept = self._kept[key] = Kept(handle, self._folder / str(self._numbers))
        if not kept.live:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._copy_changes(kept, source)
            finally:
                os.close(source)
        kept.dirty = [
            span
            for other, (one, span) in self._last_write.items()
            if one == key and other != thread
        ]

    def _copy_changes(self, kept: Kept, source: int) -> None:
        size = os.fstat(source).st_size
        spans = [*kept.dirty, (kept.size, size)]
        if size <= SMALL_BYTES or kept.size == 0:
            spans = [(0, size)]
        copy = os.open(kept.copy, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for start, end in spans:
                _copy_span(source, copy, start, min(end, size))
            os.ftruncate(copy, size)
        finally:
            os.close(copy)
        kept.size = size

    def _enlive(self, path: str, now_s: float) -> None:
        """Follow a file that was opened so that every write is synced."""
        found = _stat(path)
        if found is None:  # not made yet, or removed since
            if now_s - self._synced_opens[path] > DOUBT_S:
                del self._synced_opens[path]
            return
        del self._synced_opens[path]
        key = (found.st_dev, found.st_ino)
        if key not in self._kept:
            self._take(0, path, key)
        self._kept[key].live = True

    def _freeze(self, kept: Kept) -> None:
        """End that every write to a file is synced: what it has now is what is synced of it."""
        kept.live = False
        kept.size, kept.dirty = 0, []
        source = os.open(kept.file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._copy_changes(kept, source)
        finally:
            os.close(source)

    def _forget(self, key: Key) -> None:
        kept = self._kept.pop(key)
        os.close(kept.handle)
        kept.copy.unlink(missing_ok=True)


def _walk(store: Path) -> Iterator[tuple[str, Key | None]]:
    """Yield the names below a folder, with the files' inodes; what goes meanwhile is left out."""
    device = _stat(str(store))
    pending = [""] if device is not None else []
    while pending:
        below = pending.pop()
        try:
            entries = list(os.scandir(store / below))
        except FileNotFoundError:
            continue
        for entry in entries:
            name = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                pending.append(f"{name}/")
                yield name, None
            elif device is not None:
                yield name, (device.st_dev, entry.inode())


def stat_of(path: str) -> os.stat_result:
    """Return what a path leads to: a Path would take twice as long, and each call waits for it."""
    return os.stat(path)  # noqa: PTH116 - as said


def _stat(path: str) -> os.stat_result | None:
    try:
        return stat_of(path)
    except OSError:
        return None


def _copy_span(source: int, copy: int, start: int, end: int) -> None:
    while start < end:
        piece = os.pread(source, min(PIECE_BYTES, end - start), start)
        if not piece:
            return
        start += os.pwrite(copy, piece, start)
