"""The version: what the server says equals what the tag says."""

from __future__ import annotations

import re

from harness.inspection.facts import Facts
from harness.inspection.model import Finding, failed, passed, unknown

NAME = "version"
_TAG = re.compile(
    r"v?(?P<numbers>\d{1,3}(?:\.\d{1,3}){0,2})"
    r"(?:-(?P<pre>(?:alpha|beta|preview|rc)[.-]?\d*(?:\.\d+)*))?(?P<variant>[-_+].*)?",
    re.IGNORECASE,
)
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-(.+))?")


def check(facts: Facts) -> Finding:
    """Fail when the server is another release than the tag names; unknown without a release."""
    tag, said = facts.image.tag, facts.version
    evidence = [f"tag: {tag or '(none)'}"]
    if said is None:
        return unknown(NAME, "the server did not say its version", *evidence)
    version, source = said
    evidence.append(f"server: {version} ({source})")
    agrees = tag_agrees(tag or "", version)
    if agrees is None:
        return unknown(NAME, "the tag names no release", *evidence)
    if not agrees:
        return failed(NAME, f"the tag says {tag}, the server {version}", *evidence)
    return passed(NAME, "the server is what the tag says", *evidence)


def tag_agrees(tag: str, version: str) -> bool | None:
    """Tell whether a tag names a version; None when it names none.

    ``2.15`` and ``2`` name all releases that begin so, but no pre-release. What follows
    the release is a variant (``-alpine3.22``, ``-dev``), unless the server says the same.
    """
    match = _TAG.fullmatch(tag)
    parts = _VERSION.fullmatch(version)
    if match is None or parts is None:
        return None
    if tag.removeprefix("v") == version.removeprefix("v"):
        return True
    numbers = match["numbers"].split(".")
    if numbers != list(parts.groups()[: len(numbers)]):
        bare = len(numbers) == 1 and not tag.startswith("v")
        return None if bare else False  # a lone number may count builds
    wanted, pre = match["pre"], parts[4]
    if pre is not None and wanted is None:
        return (match["variant"] or "").lower().startswith(f"-{pre.lower()}")
    return _plain(wanted) == _plain(pre)


def _plain(pre: str | None) -> str:
    return re.sub(r"[^a-z0-9]", "", (pre or "").lower())
