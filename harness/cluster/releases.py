"""What can be read off the number of a server's release."""

from __future__ import annotations

NONE = (0, 0)
PREFERRED_SINCE = (2, 11)  # a leader that steps down may say who is to follow


def release_of(version: str) -> tuple[int, int]:
    """Return the major and the minor number of a release; `NONE` of what has none."""
    numbers = version.removeprefix("v").split(".")[:2]
    if len(numbers) < len(NONE) or not all(map(str.isdigit, numbers)):
        return NONE
    return int(numbers[0]), int(numbers[1])
