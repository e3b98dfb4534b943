"""What the package index has: which releases of a distribution there are, and their files.

Everything goes through pip, so that whatever index and proxy the user has set up is asked.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cluster.command import run_bounded
from harness.errors import BinaryError

LIMIT_S = 300.0
NEIGHBOURS = 2  # releases named on either side of one that does not exist

_NAMED = re.compile(r"\(from versions: ([^)]*)\)")
_LISTED = re.compile(r"^Available versions: (.*)$", re.MULTILINE)
_RELEASE = re.compile(r"\d+\.\d+\.\d+")
_UNREACHABLE = re.compile(
    r"NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Retrying|Connection",
)
_REASON = re.compile(
    r"\[Errno -?\d+\] ([A-Za-z][A-Za-z ]+)|(timed out)|(certificate verify failed)"
)


def order(version: str) -> tuple[int, ...]:
    """Return what releases such as ``2.15.1`` are sorted by."""
    return tuple(int(part) for part in version.split("."))


def list_releases(distribution: str, product: str) -> tuple[str, ...]:
    """Return all plain releases that can be had, the oldest first; no release candidates.

    Raises:
        BinaryError: the index cannot be asked, or knows none.
    """
    said = _ask(["index", "versions", distribution], product)
    match = _LISTED.search(said)
    known = {one.strip() for one in match[1].split(",")} if match else set()
    found = sorted(filter(_RELEASE.fullmatch, known), key=order)
    if not found:
        raise BinaryError(f"the package index knows no release of {product}")
    return tuple(found)


def download(distribution: str, product: str, version: str, folder: Path) -> Path:
    """Put the wheel of a release into `folder` and return its path.

    Args:
        distribution: its name in the index.
        product: what people call it.
        version: the release.
        folder: where nothing else lies.

    Raises:
        BinaryError: it does not exist for this machine, or cannot be reached.
    """
    argv = ["download", "--quiet", "--no-deps", "--retries", "2", "--only-binary", ":all:"]
    argv += ["--dest", str(folder), f"{distribution}=={version}"]
    _ask(argv, f"{product} {version}", cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(distribution: str, product: str, version: str, folder: Path) -> None:
    """Install a release, without what it depends on, into a folder for the import path.

    Raises:
        BinaryError: it does not exist, or cannot be reached or built.
    """
    argv = ["install", "--quiet", "--no-deps", "--retries", "2", "--no-compile"]
    argv += ["--target", str(folder), f"{distribution}=={version}"]
    _ask(argv, f"{product} {version}", cwd=folder.parent)


def _ask(argv: Sequence[str], wanted: str, cwd: Path | None = None) -> str:
    """Return what pip says; BinaryError with one line when it fails."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    try:
        done = run_bounded([*pip, *argv], LIMIT_S, cwd=cwd)
    except TimeoutError as error:
        raise BinaryError(f"{wanted} cannot be had: pip has not ended in {LIMIT_S:g} s") from error
    if done.returncode != 0:
        raise BinaryError(explain(wanted, done.output))
    return done.output


def explain(wanted: str, output: str) -> str:
    """Return one line that says why pip could not get what was `wanted`, without addresses.

    `wanted` ends with the release, if one was asked for.
    """
    if "No module named pip" in output:
        return (
            f"{wanted} cannot be downloaded: this Python has no pip; "
            f"{sys.executable} -m ensurepip, or give version: a path"
        )
    if "No space left" in output:
        return f"{wanted} cannot be downloaded: no space left on device"
    if _UNREACHABLE.search(output):
        found = _REASON.search(output)
        reason = next(filter(None, found.groups()), "no answer") if found else "no answer"
        return (
            f"{wanted} cannot be downloaded: the package index is out of reach "
            f"({reason.strip().lower()}); go online, or give version: bundled or a path"
        )
    match = _NAMED.search(output)
    known = [name.strip() for name in match[1].split(",")] if match else []
    known = [name for name in known if _RELEASE.fullmatch(name)]
    version = wanted.rpartition(" ")[2]
    if known and _RELEASE.fullmatch(version):
        return (
            f"{wanted} is not a release that can be had; "
            f"nearest: {', '.join(_nearest(version, known))}"
        )
    if match:
        return (
            f"{wanted} cannot be downloaded: the package index has no release "
            f"for this machine ({platform.machine()}); give version: bundled or a path"
        )
    return f"{wanted} cannot be downloaded: {_last_error(output)}"


def _nearest(version: str, known: list[str]) -> list[str]:
    ordered = sorted(known, key=order)
    place = sum(order(name) < order(version) for name in ordered)
    return ordered[max(0, place - NEIGHBOURS) : place + NEIGHBOURS]


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = (
        [line for line in lines if line.startswith("ERROR:")] or lines or ["pip gave no reason"]
    )
    return re.sub(r"\S+://\S+", "(address)", errors[-1].removeprefix("ERROR:").strip())[:160]
