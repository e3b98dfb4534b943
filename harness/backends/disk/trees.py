"""Folders of files that are copied, exchanged and compared as a whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.cluster.disks import Loss

BLOCK_BYTES = 4096


def files_below(folder: Path) -> Mapping[str, Path]:
    """Return the files below a folder by their names from there; none if it is missing."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            found[str(path.relative_to(folder))] = path
    return found


def compare(now: Path, left: Path) -> Loss:
    """Return what is lost when `left` takes the place of `now`."""
    here, there = files_below(now), files_below(left)
    lost = [_difference(here.get(name), there.get(name)) for name in here.keys() | there.keys()]
    changes = [one for one in lost if one is not None]
    return Loss(len(changes), sum(changes))


def exchange(store: Path, other: Path) -> Loss:
    """Let `other` be the store, which is removed; return what that loses."""
    loss = compare(store, other)
    remove(store)
    other.rename(store)
    return loss


def copy(source: Path, target: Path) -> None:
    """Copy a folder, if it exists; else make an empty one. The target must not exist."""
    if source.exists():
        shutil.copytree(source, target, symlinks=True)
    else:
        target.mkdir(parents=True)


def remove(folder: Path) -> None:
    """Remove a folder, if it exists."""
    if folder.exists():
        shutil.rmtree(folder)


def _difference(now: Path | None, left: Path | None) -> int | None:
    """Return how many bytes of a file are lost; None if nothing changed."""
    before = None if now is None else now.read_bytes()
    after = None if left is None else left.read_bytes()
    if before == after:
        return None
    if before is None or after is None:
        return len(before or b"")
    common = min(len(before), len(after))
    changed = sum(
        end - start
        for start in range(0, common, BLOCK_BYTES)
        if before[start : (end := min(start + BLOCK_BYTES, common))] != after[start:end]
    )
    return changed + max(0, len(before) - common)
