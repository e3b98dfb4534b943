"""Labels: what scanners and people ask an image (OCI image specification, Annotations)."""

from __future__ import annotations

from harness.inspection.checks.version import tag_agrees
from harness.inspection.facts import Facts
from harness.inspection.model import Finding, passed, unknown

NAME = "labels"
PREFIX = "org.opencontainers.image."
WANTED = ("title", "version", "revision", "source")


def check(facts: Facts) -> Finding:
    """Pass when all are there and fit the server; never fail, for nothing breaks without them.

    A version label that names another release is often the base image's: unknown, told.
    """
    found = {
        key.removeprefix(PREFIX): value
        for key, value in facts.image.labels.items()
        if key.startswith(PREFIX)
    }
    evidence = [f"{key}: {found[key]}" for key in sorted(found)] or ["none of " + PREFIX + "*"]
    missing = [key for key in WANTED if not found.get(key, "").strip()]
    if missing:
        return unknown(NAME, f"missing: {', '.join(missing)}", *evidence)
    said = facts.version
    if said is not None and tag_agrees(found["version"], said[0]) is False:
        detail = f"the label says {found['version']}, the server {said[0]}; inherited?"
        return unknown(NAME, detail, *evidence)
    return passed(NAME, f"{', '.join(WANTED)} are there", *evidence)
