"""No shell, busybox or package manager anywhere in the image's files."""

from __future__ import annotations

import re

from harness.inspection.content import Kind
from harness.inspection.facts import Facts
from harness.inspection.filesystem import File, FileSystem, FileType
from harness.inspection.model import Finding, failed, passed, unknown

NAME = "no_shell"
SHELLS = re.compile(
    r"sh|ash|bash|dash|zsh|ksh|ksh93|mksh|oksh|lksh|csh|tcsh|fish|rbash|rksh|yash|posh|nu|pwsh|"
    r"elvish|xonsh|hush"
)
BOXES = re.compile(r"busybox|toybox|sbase-box")
MANAGERS = re.compile(
    r"apk|apt|apt-get|apt-cache|aptitude|dpkg|dpkg-deb|dpkg-query|rpm|yum|dnf|dnf5|microdnf|tdnf|"
    r"zypper|pacman|opkg|ipkg|xbps-install|emerge|nix|nix-env|brew|snap"
)
DATABASES = (
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/status.d",
    "/lib/apk/db/installed",
    "/usr/lib/apk/db/installed",
    "/var/lib/rpm",
    "/usr/lib/sysimage/rpm",
    "/var/lib/pacman",
)
SHOWN = 8
_SUFFIXES = (".static", ".dynamic", "-static")


def check(facts: Facts) -> Finding:
    """Fail for each such program, by name or by content; unknown when one cannot be read.

    A database of packages alone is none: hardened images keep one for scanners. A script
    is only a hint that a shell is missed.
    """
    found = {one.path: what for one in facts.files if (what := intruder(facts.files, one))}
    count = sum(one.type is FileType.file for one in facts.files)
    evidence = [f"{path}: {what}" for path, what in sorted(found.items())]
    hidden = len(evidence) - SHOWN
    evidence = [*evidence[:SHOWN], *([f"and {hidden} more"] if hidden > 0 else [])]
    looked = f"looked at {count} files by name and content"
    hints = [looked, *_databases(facts.files), *_scripts(facts.files)]
    if found:
        return failed(NAME, f"{len(found)} found", *evidence, *hints)
    packed = [one.path for one in facts.files if Kind.packed in one.kinds]
    if packed:
        return unknown(NAME, "packed programs hide what they are", *packed[:SHOWN], *hints)
    return passed(NAME, "none found", *hints)


def intruder(files: FileSystem, file: File) -> str | None:
    """Return what a file is when it should not be there, and by what that was told."""
    if file.type is FileType.symlink:
        return _link(files, file)
    if file.type is not FileType.file:
        return None
    for kind in (Kind.busybox, Kind.packages, Kind.shell):
        if kind in file.kinds:
            return f"{kind} by content"
    named = _by_name(file.name)
    runs = file.program or (file.runnable and file.interpreter is not None)
    if named and runs and Kind.server not in file.kinds:
        return f"{named} by name"
    return None


def _link(files: FileSystem, file: File) -> str | None:
    """Judge a symbolic link called like a shell by what it leads to; nothing is no shell."""
    target = files.resolve(file.path)
    named = _by_name(file.name)
    if named is None or target is None or target.type is not FileType.file:
        return None
    if Kind.server in target.kinds or not (target.program or target.interpreter):
        return None
    return f"{named} by name, a link to {target.path}"


def _by_name(name: str) -> str | None:
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    if SHELLS.fullmatch(name):
        return Kind.shell
    if BOXES.fullmatch(name):
        return Kind.busybox
    return Kind.packages if MANAGERS.fullmatch(name) else None


def _databases(files: FileSystem) -> list[str]:
    return [
        f"{path}: a database of packages, no manager" for path in DATABASES if files.resolve(path)
    ]


def _scripts(files: FileSystem) -> list[str]:
    scripts = [one for one in files if one.runnable and one.interpreter is not None]
    if not scripts:
        return []
    first = scripts[0]
    return [f"{len(scripts)} scripts, such as {first.path} for {first.interpreter}"]
