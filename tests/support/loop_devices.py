"""The loop devices of this machine, by what they are backed by."""

from __future__ import annotations

from pathlib import Path


def loops_of(folder: Path) -> list[str]:
    """Return the loop devices whose image is, or was, in a folder or below it."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            image = backing.read_text(encoding="utf-8")
        except OSError:
            continue  # it was freed meanwhile
        if image.startswith(f"{folder}/"):
            found.append(backing.parts[3])
    return sorted(found)
