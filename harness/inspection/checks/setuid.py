"""No setuid or setgid files: nothing in the image gives whoever runs it another user's rights."""

from __future__ import annotations

import stat

from harness.inspection.facts import Facts
from harness.inspection.filesystem import FileType
from harness.inspection.model import Finding, failed, passed

NAME = "no_setuid"
SHOWN = 8


def check(facts: Facts) -> Finding:
    """Fail for regular files with setuid or setgid; a folder's setgid only sets groups."""
    files = [one for one in facts.files if one.type is FileType.file]
    found = [one for one in files if one.mode & (stat.S_ISUID | stat.S_ISGID)]
    capable = [f"{one.path}: gives capabilities (no setuid)" for one in files if one.capable]
    evidence = [f"{one.path}: mode {one.mode:04o}, owner {one.owner}" for one in found[:SHOWN]]
    if len(found) > SHOWN:
        evidence.append(f"and {len(found) - SHOWN} more")
    evidence += [f"looked at {len(files)} files", *capable[:SHOWN]]
    if found:
        return failed(NAME, f"{len(found)} found", *evidence)
    return passed(NAME, "none found", *evidence)
