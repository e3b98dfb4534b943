"""What an image claims by its configuration and its tag, for trials and checks alike."""

from __future__ import annotations

import re

from harness.engine.images import Image

STRICT = ("on", "only", "debug")


def fips_claims(image: Image) -> tuple[str, ...]:
    """Return where an image claims FIPS mode; nothing when it claims none.

    GODEBUG is a list of settings of which the last counts (Go, FIPS 140-3 Compliance).
    """
    found = []
    setting = None
    for one in image.environment.get("GODEBUG", "").split(","):
        key, _, value = one.strip().partition("=")
        if key == "fips140":
            setting = value
    if setting in STRICT:
        found.append(f"config: GODEBUG fips140={setting}")
    if "fips" in re.split(r"[^a-z]+", (image.tag or "").lower()):
        found.append(f"tag: {image.tag}")
    return tuple(found)


def store_folders(image: Image, *, data_folder: bool) -> tuple[str, ...]:
    """Return where users of an image would mount a volume for streams.

    Its declared volumes; without any ``/data``, when it has such a folder.
    """
    return image.volumes or (("/data",) if data_folder else ())
