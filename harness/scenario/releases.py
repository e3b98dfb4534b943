"""How a scenario names a release of nats-server."""

from __future__ import annotations

import re

from harness.scenario.problems import nearest, show

BUNDLED = "bundled"

_RELEASE = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}")


def misread_version(text: object) -> str | None:
    """Return what is wrong with the name of a release; None when it is one."""
    if isinstance(text, str) and (text == BUNDLED or "/" in text or _RELEASE.fullmatch(text)):
        return None
    meant = nearest(text, (BUNDLED,))
    if isinstance(text, str) and text[:1] in ("v", "V") and _RELEASE.fullmatch(text[1:]):
        meant = text[1:]
    hint = f" (did you mean {meant!r}?)" if meant else ""
    expected = f"{BUNDLED!r}, a release such as '2.12.1' or a path with a '/'"
    return f"expected {expected}, found {show(text)}{hint}"
